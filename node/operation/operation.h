/* Operations: everything that can be asked of a node, from one table.
 *
 * operation.def lists each once. The control socket, the command line, its help
 * and completion, the simulator and the REST server all go by that table: an
 * operation that is added there is everywhere. Arguments are JSON: texts,
 * integers and, for flags, true. Durations are texts like "90s", "30m", "2h". */
#ifndef NODE_OPERATION_OPERATION_H
#define NODE_OPERATION_OPERATION_H

#include <jansson.h>

#include "node/operation/context.h"

enum operation_method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_DELETE };
extern const char *const operation_method_names[];

/* Each may do what the ones before may. */
enum operation_access { ACCESS_READ, ACCESS_OPERATE, ACCESS_ADMIN };
extern const char *const operation_access_names[];

enum argument_kind {
	ARGUMENT_NEEDED, /* positional */
	ARGUMENT_MAYBE, /* positional, the last */
	ARGUMENT_MANY, /* positional, the last, one or more: a list */
	ARGUMENT_OPTION, /* --name VALUE */
	ARGUMENT_FLAG, /* --name */
	ARGUMENT_DEMAND, /* --name, and not without it: so that nobody does it by accident */
};

enum argument_type {
	TYPE_TEXT,
	TYPE_NODE,
	TYPE_VM,
	TYPE_NUMBER,
	TYPE_DURATION,
	TYPE_DIRECTORY, /* a path, also everywhere else */
	TYPE_FILE, /* a path on the command line; everywhere else the file's text */
	TYPE_DAEMON_STATE,
	TYPE_VM_STATE,
	TYPE_OBSERVED,
	TYPE_SELECTOR,
	TYPE_METHOD,
	TYPE_SWITCH, /* yes or no: to be told from what is not given */
	TYPE_NODES, /* names with commas between them */
	TYPE_TAGS,
};

struct operation_argument {
	enum argument_kind kind;
	enum argument_type type;
	char letter; /* of a flag's short form; 0: none */
	const char *name; /* in JSON; --by-hand is by_hand */
	const char *preset; /* taken when it is not given; NULL: nothing is */
	const char *help;
};

/* How far what was asked for has come about, judged by the value of this node. */
struct operation_progress {
	enum { PROGRESS_PENDING, PROGRESS_DONE, PROGRESS_FAILED } state;
	char text[ERR_TEXT_MAX];
	struct movement movement; /* of a VM, as its node last told; vm 0: none is under way */
};

struct operation_turn;

struct operation {
	const char *name; /* its words */
	enum operation_method method;
	const char *path;
	enum operation_access access;
	const char *help;
	const struct operation_argument *arguments; /* ends with name NULL */
	void (*handle)(struct operation_turn *turn);
	/* What --wait waits for; NULL: nothing is left to wait for once it is answered. */
	void (*progress)(
	    const struct context *context, const json_t *arguments, struct operation_progress *p);
	const char *confirm; /* the argument that a person must type again; NULL: none */
	const char *warning; /* what that person is told first */
	bool follow; /* can be asked again with "after" for what is new: -f */
	uint64_t waits_ms; /* waited for without --wait, by default that long; 0: it is not */
	bool members; /* may be asked by other members too, though not everybody may read it */
	/* What the exit status of the command line says, where that is not "0 done, 1 refused or
	 * failed, 2 usage": the answer's "exit_status" is it. */
	const char *exits;
};

extern const struct operation operations[]; /* ends with name NULL */

struct operation_call {
	const struct operation *operation;
	json_t *arguments; /* owned: operation_call_close */
	char caller[32]; /* who asks, for the log: "uid 0" */
	/* Of the command line alone: */
	bool wait, yes, follow;
	uint64_t timeout_ms; /* of the wait */
	unsigned answer_ms; /* how long another node may take to answer; 0: as forward.h has it */
};

void operation_call_close(struct operation_call *call);

/* The operation with that name, or NULL. */
const struct operation *operation_named(const char *name);

/* What a value of this type may be, for help and completion; NULL: not a choice. */
const char *const *operation_choices(enum argument_type type);
/* Is it known by its place, not by a name? */
bool operation_positional(const struct operation_argument *argument);
/* Is it one text that holds several, with commas between them? */
bool operation_type_is_list(enum argument_type type);
/* "NODE", "30m|2h", ...: how help writes a value. */
const char *operation_type_text(enum argument_type type);

/* Words of the command line, without global options, to a call. Returns 0, or
 * -EINVAL with err (and call is empty). Files are not read: their names stand in
 * for them in the arguments. */
int operation_parse(
    const char *const *words, unsigned n, struct operation_call *call, struct err *err);

/* The same for an operation that is known, maybe none of the table's, from the words behind its
 * name. */
int operation_parse_arguments(const struct operation *o, const char *const *words, unsigned n,
    struct operation_call *call, struct err *err);

/* Every argument of o that was given is right, every one that is needed is there, and nothing
 * else: 0, or -EINVAL with err. Presets are filled in. */
int operation_check(const struct operation *o, json_t *arguments, struct err *err);

/* A name and arguments that somebody sent, to a call. arguments may be NULL; a reference
 * is taken. Everything is checked: 0, -EINVAL or -ENOENT with err. */
int operation_read(
    const char *name, json_t *arguments, struct operation_call *call, struct err *err);

/* How many of the first words name is made of; 0: they are others. */
unsigned operation_words(const char *name, const char *const *words, unsigned n);

/* How many of the first words name an operation, or 0; *found gets it. */
unsigned operation_match(const char *const *words, unsigned n, const struct operation **found);

/* Answered once, perhaps before operation_run returns: status 0 with result (the callee's
 * to keep: it takes the reference over), or -errno with err and result NULL. */
typedef void (*operation_done)(void *data, int status, json_t *result, const struct err *err);

/* The call stays the caller's. context must last until done was called. */
void operation_run(const struct context *context, const struct operation_call *call,
    operation_done done, void *data);

/* -EINVAL: this operation has nothing to wait for. */
int operation_progress(const struct context *context, const struct operation_call *call,
    struct operation_progress *progress);

/* What may be done about this errno; "" when there is nothing to say. */
const char *operation_hint(int status);

/* "90s", "30m", "2h", "1d", "500ms", or seconds without a letter. 0 or -EINVAL. */
int operation_duration(const char *text, uint64_t *ms);

/* The whole table, for programs. */
json_t *operation_table(void);

#endif
