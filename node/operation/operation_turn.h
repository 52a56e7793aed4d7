/* What the handlers of operations share: one operation that is being carried out.
 *
 * A handler ends in exactly one of turn_answer, turn_refuse and turn_propose,
 * and does not touch the turn after it. Only for the files of this room. */
#ifndef NODE_OPERATION_OPERATION_TURN_H
#define NODE_OPERATION_OPERATION_TURN_H

#include "node/member/health.h"
#include "node/operation/operation.h"

/* How long a proposal may take; after that it is unknown whether it was done. */
#define TURN_TIMEOUT_MS 10000

struct health_log;

struct operation_turn {
	const struct context *context;
	const struct operation *operation;
	json_t *arguments;
	char caller[32];
	operation_done done;
	void *done_data;
	/* Makes the answer once a proposal was applied; NULL: {"message": message}. */
	json_t *(*finish)(struct operation_turn *turn, int result);
	char message[ERR_TEXT_MAX];
	uint32_t about; /* for finish: the id of what it is about */
	json_t *facts; /* go with the message into a proposal's answer; owned, NULL: none */
	/* Its second half, once its XML was looked at. */
	void (*next)(struct operation_turn *turn);
	/* So many times what is proposed was judged on the value: -ESTALE, the value has moved on,
	 * has it judged again. 0: it is not. */
	unsigned judged;
	/* What came of its first half. */
	int result;
	uint64_t index, took_us, began_ms;
};

void turn_answer(struct operation_turn *turn, json_t *result); /* takes the reference */
void turn_refuse(struct operation_turn *turn, int status, const struct err *err);
/* The same in words, without a result of their own to keep. */
void turn_deny(struct operation_turn *turn, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* An operation_done: what another node answered is the turn's answer. */
void turn_forwarded(void *turn, int status, json_t *result, const struct err *err);
/* false: its daemon has ended, and the turn is refused; nobody need wait for an answer. */
bool turn_reaches(struct operation_turn *turn, const struct node *node);
/* The command's blobs and lists stay the caller's. */
void turn_propose(struct operation_turn *turn, struct command *command);
void turn_say(struct operation_turn *turn, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Its answer gets a "warning" line: it is done, but somebody should know. */
void turn_warn(struct operation_turn *turn, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Arguments; they were checked against the table. NULL, 0 and false when not given. */
const char *argument_text(const json_t *arguments, const char *name);
uint64_t argument_number(const json_t *arguments, const char *name);
uint64_t argument_duration_ms(const json_t *arguments, const char *name);
bool argument_given(const json_t *arguments, const char *name);

/* What an argument names, or NULL with "there is no VM web9 (did you mean 'web1'?)". */
struct node *argument_node(const struct context *context, const json_t *arguments, struct err *err);
struct node *argument_node_of(
    const struct context *context, const json_t *arguments, const char *argument, struct err *err);
struct node *node_of_name(const struct cluster *c, const char *name, struct err *err);
struct vm *argument_vm(const struct context *context, const json_t *arguments, struct err *err);

/* What the argument names; NULL: there is none, and the turn was refused. */
const struct node *turn_node(struct operation_turn *turn, const char *argument);
const struct vm *turn_vm(struct operation_turn *turn);

/* Have the node whose log it is about carry out this very operation, with these arguments: its
 * answer is the turn's. Refused where nobody can be asked. */
void turn_ask(struct operation_turn *turn, const struct node *node, json_t *arguments);

void progress_set(struct operation_progress *p, int state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The replica, or NULL with err while the log is not open. */
struct replica *turn_replica(const struct context *context, struct err *err);

/* How the log stands, as this node knows. The caller frees it. */
struct health_log *turn_log(const struct context *context);

/* A node's name as JSON; null for 0, "node 7" for one that is not in the value. */
json_t *node_name_json(const struct cluster *c, uint64_t id);
const char *node_name(const struct cluster *c, uint32_t id); /* "-" for none */

/* What a node said last of what it measures: {"pool": {"age_ms", "state", "kills", "message"}}. */
json_t *collectors_json(const struct cluster *c, const struct node *node);

/* Host failures to tolerate: {"host_failures": 0 or 1, "message": why not 1, "losses": ...}. */
json_t *tolerance_json(const struct cluster *c);
/* The nodes that promise more than they have, and by how much. */
json_t *overprovisioned_json(const struct cluster *c);
/* Before it is proposed: the answer gets a "warning" when the start of vm ends the tolerance of a
 * host failure, or vm being on node, 0 for where it would be placed; vm may be one that is new. */
void turn_warn_start(struct operation_turn *turn, const struct vm *vm);
void turn_warn_place(struct operation_turn *turn, const struct vm *vm, uint32_t node);

#define OPERATION(identifier, ...) void operation_##identifier(struct operation_turn *turn);
#include "node/operation/operation.def"
#undef OPERATION

void progress_node_primary(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_node_secondary(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_node_flush(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_node_ready(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_cluster_member(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_raft_transfer(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_vm_start(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_vm_restart(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_vm_off(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_cluster_ca_rotate(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_vm_migrate(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_vm_unmigrate(
    const struct context *context, const json_t *arguments, struct operation_progress *p);
void progress_vm_move(
    const struct context *context, const json_t *arguments, struct operation_progress *p);

#endif
