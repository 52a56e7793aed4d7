/* What an operation or the agent may use of the node it runs on.
 *
 * The daemon fills it with the real things, the simulator with its own, so that
 * the same operations run in both. Everything here returns at once; answers
 * come through callbacks, in the thread of the loop. */
#ifndef NODE_OPERATION_CONTEXT_H
#define NODE_OPERATION_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/cluster.h"
#include "fsm/err.h"
#include "raft/replica.h"

struct config;
struct console_query;
struct console_sight;
struct execute_flush;
struct journal;
struct json_t;
struct operation_call;
struct peers_status;
struct wal_status;

/* A join token's text and the hash of its secret (fsm: token). */
struct context_token {
	char text[1024];
	char hash[65];
};

/* A decided proposal: result as replica.h's `answered`, and why it was refused. */
typedef void (*context_done)(void *data, int result, uint64_t index, const struct err *err);

/* Something was looked at: 0, or -errno with err. */
typedef void (*context_checked)(void *data, int status, const struct err *err);

struct context {
	void *data; /* for the functions below */
	uint32_t id;
	struct cluster *cluster; /* this node's replica of the value; read only */
	const struct config *config; /* NULL in the simulator */
	uint64_t (*now_ms)(void *data);
	/* NULL while the log is not open. */
	struct replica *(*replica)(void *data);
	/* Why it is not; "": not known. */
	const char *(*trouble)(void *data);
	/* Propose; client and sequence are filled in here, the command's blobs and lists
	 * stay the caller's. done may be NULL. */
	void (*propose)(void *data, struct command *command, unsigned timeout_ms, context_done done,
	    void *done_data);

	/* The rest is NULL where there is none of it. */
	const struct journal *journal; /* the last operations applied here */
	/* Make a secret and the token that carries it; proposing its hash is the caller's. */
	int (*token)(void *data, struct context_token *token, struct err *err);
	/* As log_after() of node/log/log.h. */
	uint64_t (*lines)(void *data, uint64_t after, unsigned most, struct buffer *out);
	/* What speaks for this node's removal: as removal_text() of node/member/removal.h. */
	const char *(*removal)(void *data);
	/* The same clock as now_ms, finer. */
	uint64_t (*now_us)(void *data);
	/* The log's files; all zero while they are closed. */
	void (*files)(void *data, struct wal_status *status);
	/* The connections with the other members, as peers_status(). */
	unsigned (*peers)(void *data, struct peers_status *status, unsigned max);
	/* Have another node carry out an operation that only it can: node/control/forward.h. */
	void (*ask)(void *data, uint32_t node, const struct operation_call *call,
	    void (*done)(void *data, int status, struct json_t *result, const struct err *err),
	    void *done_data);
	/* Read a VM's console, of a file on this node: console_ask() of
	 * node/worker/console_client.h, whatever comes of it. */
	void (*console)(void *data, const struct console_query *query,
	    void (*done)(
		void *data, int status, const struct console_sight *sight, const struct err *err),
	    void *done_data);
	/* Have this node's hypervisor look whether it would start a VM of this XML; nothing is
	 * started. done is called once, perhaps within the call: 0; -EINVAL: it would not;
	 * -EOPNOTSUPP: this node runs no VMs; -ESHUTDOWN: its daemon ends; others: it could not be
	 * asked; with err. */
	void (*validate)(void *data, const char *xml, context_checked done, void *done_data);
	/* Free a VM's volumes of locks: execute_flush() of this node. */
	void (*flush)(void *data, const struct execute_flush *flush);
};

#endif
