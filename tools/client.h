/* A client of the control socket that waits for its answers: for the command
 * line. One request at a time. */
#ifndef TOOLS_CLIENT_H
#define TOOLS_CLIENT_H

#include <jansson.h>
#include <stdint.h>

#include "fsm/err.h"
#include "node/operation/operation.h"

#define CLIENT_SOCKET "/run/pvc/pvcnoded.sock"
/* An operation is answered within TURN_TIMEOUT_MS; a daemon that says nothing for this long
 * is stuck. */
#define CLIENT_TIMEOUT_MS 20000

struct client;

/* 0 or -errno, with "cannot reach pvcnoded at PATH: ...". */
int client_open(struct client **client, const char *path, struct err *err);
void client_close(struct client *client);

struct client_answer {
	json_t *result; /* owned; NULL when it was refused */
	char code[32]; /* "" when it was not refused */
	char message[1024];
	char hint[256];
};
void client_answer_close(struct client_answer *answer);

/* 0: there is an answer, perhaps a refusal. -errno: the daemon is gone, with err. */
int client_ask(struct client *client, const struct operation_call *call,
    struct client_answer *answer, struct err *err);

/* How far it has come: the same, of operation_progress(). */
int client_ask_progress(struct client *client, const struct operation_call *call,
    struct client_answer *answer, struct err *err);

/* Wait until the value has changed since the last answer, or for timeout_ms. 0 in both cases,
 * -errno with err when the daemon is gone. */
int client_wait(struct client *client, unsigned timeout_ms, struct err *err);

#endif
