#include "node/operation/operation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/guess.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"

#define ARGUMENT_TEXT_MAX (1u << 20)
#define JUDGED_TIMES_MAX  8

#include "node/operation/operation_arguments.def"
#define OPERATION(identifier, words, method, path, access, help, traits, ...)                      \
	static const struct operation_argument identifier##_arguments[] = {__VA_ARGS__{0}};
#include "node/operation/operation.def"
#undef OPERATION

#define OPERATION(identifier, words, verb, route, who, text, traits, ...)                          \
	{.name = words,                                                                            \
	    .method = METHOD_##verb,                                                               \
	    .path = route,                                                                         \
	    .access = ACCESS_##who,                                                                \
	    .help = text,                                                                          \
	    .arguments = identifier##_arguments,                                                   \
	    .handle = operation_##identifier,                                                      \
	    traits},
const struct operation operations[] = {
#include "node/operation/operation.def"
    {0}};
#undef OPERATION

const char *const operation_method_names[] = {"GET", "POST", "PUT", "DELETE", NULL};
const char *const operation_access_names[] = {"read", "operate", "admin", NULL};

const struct operation *operation_named(const char *name)
{
	for (const struct operation *o = operations; o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

void operation_call_close(struct operation_call *call)
{
	json_decref(call->arguments);
	*call = (struct operation_call){0};
}

static const char *const switch_names[] = {"no", "yes", NULL};

const char *const *operation_choices(enum argument_type type)
{
	switch (type) {
	case TYPE_DAEMON_STATE:
		return daemon_state_names;
	case TYPE_VM_STATE:
		return vm_state_names;
	case TYPE_OBSERVED:
		return vm_observed_names;
	case TYPE_SELECTOR:
		return selector_names;
	case TYPE_METHOD:
		return migration_method_names;
	case TYPE_SWITCH:
		return switch_names;
	default:
		return NULL;
	}
}

bool operation_type_is_list(enum argument_type type)
{
	return type == TYPE_NODES || type == TYPE_TAGS;
}

const char *operation_type_text(enum argument_type type)
{
	switch (type) {
	case TYPE_NODE:
		return "NODE";
	case TYPE_VM:
		return "VM";
	case TYPE_NUMBER:
		return "N";
	case TYPE_DURATION:
		return "TIME";
	case TYPE_FILE:
		return "FILE";
	case TYPE_DIRECTORY:
		return "DIR";
	case TYPE_DAEMON_STATE:
	case TYPE_VM_STATE:
	case TYPE_OBSERVED:
		return "STATE";
	case TYPE_SELECTOR:
		return "SELECTOR";
	case TYPE_METHOD:
		return "METHOD";
	case TYPE_SWITCH:
		return "YES|NO";
	case TYPE_NODES:
		return "NODE,...";
	case TYPE_TAGS:
		return "TAG,...";
	case TYPE_TEXT:
		break;
	}
	return "TEXT";
}

int operation_duration(const char *text, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {
	    {"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 9)
		return -EINVAL;
	uint64_t count = strtoull(text, NULL, 10);
	for (unsigned i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		*ms = count * units[i].ms;
		return 0;
	}
	return -EINVAL;
}

bool operation_positional(const struct operation_argument *argument)
{
	return argument->kind == ARGUMENT_NEEDED || argument->kind == ARGUMENT_MAYBE ||
	       argument->kind == ARGUMENT_MANY;
}

/* "daemon_state" as people type it. */
static const char *dashed(const char *name, char buffer[64])
{
	snprintf(buffer, 64, "%s", name);
	for (char *c = buffer; *c; c++)
		if (*c == '_')
			*c = '-';
	return buffer;
}

static int check_choice(const struct operation_argument *a, const char *value, struct err *err)
{
	const char *const *choices = operation_choices(a->type);
	struct guess guess = guess_of(value);
	char all[160] = "";
	if (!choices || state_value(choices, value) >= 0)
		return 0;
	for (unsigned i = 0; choices[i]; i++) {
		guess_offer(&guess, choices[i]);
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
		    choices[i]);
	}
	err_set(err, 0, "'%.64s' is not one of %s", value, all);
	if (err)
		guess_append(&guess, err->text, sizeof(err->text));
	return -EINVAL;
}

/* "a,,b", ",a", "a," */
static bool has_gap(const char *text)
{
	return *text == ',' || text[strlen(text) - 1] == ',' || strstr(text, ",,");
}

static int check_one(const struct operation_argument *a, const json_t *value, struct err *err)
{
	if (a->kind == ARGUMENT_DEMAND && !json_is_true(value))
		return err_set(err, -EINVAL, "must be true");
	if (a->kind == ARGUMENT_DEMAND || a->kind == ARGUMENT_FLAG)
		return json_is_boolean(value) ? 0 : err_set(err, -EINVAL, "must be true or false");
	if (a->type == TYPE_NUMBER)
		return json_is_integer(value) && json_integer_value(value) >= 0
			   ? 0
			   : err_set(err, -EINVAL, "must be a number");
	const char *text = json_string_value(value);
	uint64_t ms;
	if (!text || strlen(text) != json_string_length(value))
		return err_set(err, -EINVAL, "must be a text");
	if (json_string_length(value) > ARGUMENT_TEXT_MAX)
		return err_set(err, -EINVAL, "is longer than 1 MiB");
	if (!*text)
		return err_set(err, -EINVAL, "must not be empty");
	if (operation_type_is_list(a->type) && has_gap(text))
		return err_set(err, -EINVAL, "'%.64s' has an empty word between its commas", text);
	if (a->type == TYPE_DURATION && operation_duration(text, &ms))
		return err_set(err, -EINVAL, "'%.64s' is not a time such as 90s, 30m or 2h", text);
	return check_choice(a, text, err);
}

static int check_value(const struct operation_argument *a, const json_t *value, struct err *err)
{
	size_t i;
	const json_t *item;
	if (a->kind != ARGUMENT_MANY)
		return check_one(a, value, err);
	if (!json_array_size(value))
		return err_set(err, -EINVAL, "must be a list");
	json_array_foreach(value, i, item)
	{
		if (check_one(a, item, err))
			return -EINVAL;
	}
	return 0;
}

static int take_preset(const struct operation_argument *a, json_t *arguments)
{
	json_t *value = a->type == TYPE_NUMBER ? json_integer(strtoll(a->preset, NULL, 10))
					       : json_string(a->preset);
	return json_object_set_new(arguments, a->name, value);
}

int operation_check(const struct operation *o, json_t *arguments, struct err *err)
{
	size_t known = 0;
	char name[64];
	for (const struct operation_argument *a = o->arguments; a->name; a++) {
		const json_t *value = json_object_get(arguments, a->name);
		known += value != NULL;
		if (!value && (a->kind == ARGUMENT_NEEDED || a->kind == ARGUMENT_MANY))
			return err_set(
			    err, -EINVAL, "%s: %s is missing: %s", o->name, a->name, a->help);
		if (!value && a->kind == ARGUMENT_DEMAND)
			return err_set(err, -EINVAL, "%s: say --%s when that is so: %s", o->name,
			    dashed(a->name, name), a->help);
		if (!value && a->preset) {
			take_preset(a, arguments);
			known++;
		}
		if (value && check_value(a, value, err))
			return err_wrap(err, -EINVAL, "%s: %s", o->name, dashed(a->name, name));
	}
	if (known != json_object_size(arguments))
		return err_set(err, -EINVAL, "%s: an argument that it does not have", o->name);
	return 0;
}

int operation_read(
    const char *name, json_t *arguments, struct operation_call *call, struct err *err)
{
	*call = (struct operation_call){.operation = operation_named(name)};
	if (!call->operation) {
		struct guess guess = guess_of(name);
		for (const struct operation *o = operations; o->name; o++)
			guess_offer(&guess, o->name);
		err_set(err, 0, "there is no operation '%.64s'", name);
		if (err)
			guess_append(&guess, err->text, sizeof(err->text));
		return -ENOENT;
	}
	if (arguments && !json_is_object(arguments))
		return err_set(err, -EINVAL, "%s: the arguments are not an object", name);
	call->arguments = arguments ? json_copy(arguments) : json_object();
	int result = operation_check(call->operation, call->arguments, err);
	if (result)
		operation_call_close(call);
	return result;
}

void operation_run(const struct context *context, const struct operation_call *call,
    operation_done done, void *data)
{
	struct operation_turn *turn = must_alloc(sizeof(*turn));
	turn->context = context;
	turn->operation = call->operation;
	turn->arguments = json_incref(call->arguments);
	memcpy(turn->caller, call->caller, sizeof(turn->caller));
	turn->done = done;
	turn->done_data = data;
	call->operation->handle(turn);
}

/* A daemon that was just started knows nothing, or what its last snapshot knew, until a leader
 * tells it what is committed: what is missing here may well be there. */
static bool hears_nobody(const struct context *context)
{
	struct replica_status status;
	const struct replica *r = context->replica(context->data);
	if (!r)
		return false;
	replica_status(r, &status);
	return !status.leader;
}

int operation_progress(const struct context *context, const struct operation_call *call,
    struct operation_progress *progress)
{
	if (!call->operation->progress)
		return -EINVAL;
	*progress = (struct operation_progress){0};
	call->operation->progress(context, call->arguments, progress);
	if (progress->state == PROGRESS_FAILED && hears_nobody(context))
		progress_set(progress, PROGRESS_PENDING, "this node hears no leader");
	return 0;
}

const char *operation_hint(int status)
{
	switch (status) {
	case -ENOTCONN:
		return "nothing was done: the log has no leader that can be reached; is a majority "
		       "of the coordinators up?";
	case -ETIMEDOUT:
		return "whether it was done is not known: look before you ask again";
	case -EAGAIN:
		return "nothing was done: too much is waiting; ask again in a moment";
	case -EUNATCH:
		return "pvc cluster bootstrap founds a cluster, pvc cluster join enters one";
	default:
		return "";
	}
}

static void turn_end(struct operation_turn *turn, int status, json_t *result, const struct err *err)
{
	operation_done done = turn->done;
	void *data = turn->done_data;
	json_decref(turn->arguments);
	json_decref(turn->facts);
	free(turn);
	done(data, status, result, err);
}

void turn_answer(struct operation_turn *turn, json_t *result)
{
	turn_end(turn, 0, result, NULL);
}

void turn_refuse(struct operation_turn *turn, int status, const struct err *err)
{
	struct err why;
	if (status == -ENOENT && hears_nobody(turn->context)) {
		err_set(&why, 0, "this node hears no leader; to its knowledge %s",
		    err ? err->text : strerror(ENOENT));
		turn_end(turn, -ENOTCONN, NULL, &why);
		return;
	}
	turn_end(turn, status, NULL, err);
}

void turn_deny(struct operation_turn *turn, int status, const char *format, ...)
{
	struct err err;
	va_list args;
	va_start(args, format);
	vsnprintf(err.text, sizeof(err.text), format, args);
	va_end(args);
	turn_refuse(turn, status, &err);
}

void turn_forwarded(void *data, int status, json_t *result, const struct err *err)
{
	struct operation_turn *turn = data;
	/* Of what is only looked at nobody has to ask himself whether it was done. */
	if (status == -ETIMEDOUT && turn->operation->follow)
		status = -EHOSTUNREACH;
	if (status)
		turn_refuse(turn, status, err);
	else
		turn_answer(turn, result);
}

bool turn_reaches(struct operation_turn *turn, const struct node *node)
{
	if (node->daemon_state != DAEMON_STOP && node->daemon_state != DAEMON_FENCED)
		return true;
	turn_deny(turn, -EHOSTDOWN, "%s is %s: nobody answers there", node->name,
	    state_name(daemon_state_names, node->daemon_state));
	return false;
}

void turn_say(struct operation_turn *turn, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(turn->message, sizeof(turn->message), format, args);
	va_end(args);
}

/* What the log itself answers, before the operation has come to the value; NULL: it is the
 * value that refused, and said why. */
static const char *log_reason(int status)
{
	switch (status) {
	case -ENOTCONN:
		return "no leader";
	case -ETIMEDOUT:
		return "no answer in time";
	case -EAGAIN:
		return "too many operations are waiting";
	case -EMSGSIZE:
		return "too large for the log";
	default:
		return NULL;
	}
}

static json_t *answer_of(struct operation_turn *turn, int result)
{
	json_t *json = turn->finish ? turn->finish(turn, result)
				    : json_pack("{s:o}", "message", json_text(turn->message));
	if (turn->facts)
		json_object_update(json, turn->facts);
	return json;
}

void turn_warn(struct operation_turn *turn, const char *format, ...)
{
	struct err err;
	va_list args;
	va_start(args, format);
	vsnprintf(err.text, sizeof(err.text), format, args);
	va_end(args);
	if (!turn->facts)
		turn->facts = json_object();
	const char *before = argument_text(turn->facts, "warning");
	json_object_set_new(turn->facts, "warning",
	    before ? json_sprintf("%s; %s", before, err.text) : json_text(err.text));
}

/* The value that it was judged on is of the past: carried out once more from its beginning. */
static bool judged_again(struct operation_turn *turn, int result)
{
	if (result != -ESTALE || !turn->judged || turn->judged == JUDGED_TIMES_MAX)
		return false;
	json_decref(turn->facts);
	turn->facts = NULL;
	turn->operation->handle(turn);
	return true;
}

static void proposed(void *data, int result, uint64_t index, const struct err *err)
{
	struct operation_turn *turn = data;
	if (result >= 0) {
		turn_answer(turn, answer_of(turn, result));
		return;
	}
	if (judged_again(turn, result))
		return;
	struct err own;
	const char *reason = log_reason(result);
	if (!reason && (!err || !*err->text))
		reason = strerror(-result);
	if (reason) {
		err_set(&own, result, "%s: %s", turn->operation->name, reason);
		err = &own;
	}
	turn_refuse(turn, result, err);
}

void turn_propose(struct operation_turn *turn, struct command *command)
{
	const struct context *context = turn->context;
	context->propose(context->data, command, TURN_TIMEOUT_MS, proposed, turn);
}

const char *argument_text(const json_t *arguments, const char *name)
{
	return json_string_value(json_object_get(arguments, name));
}

uint64_t argument_number(const json_t *arguments, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(arguments, name));
}

uint64_t argument_duration_ms(const json_t *arguments, const char *name)
{
	const char *text = argument_text(arguments, name);
	uint64_t ms = 0;
	if (text)
		operation_duration(text, &ms);
	return ms;
}

bool argument_given(const json_t *arguments, const char *name)
{
	const json_t *value = json_object_get(arguments, name);
	return value && !json_is_false(value);
}

struct node *argument_node(const struct context *context, const json_t *arguments, struct err *err)
{
	return argument_node_of(context, arguments, "node", err);
}

struct node *argument_node_of(
    const struct context *context, const json_t *arguments, const char *argument, struct err *err)
{
	return node_of_name(context->cluster, argument_text(arguments, argument), err);
}

struct node *node_of_name(const struct cluster *c, const char *name, struct err *err)
{
	struct node *found = cluster_node_named(c, name);
	struct guess guess = guess_of(name);
	if (found)
		return found;
	cluster_each(c->nodes, struct node, node) guess_offer(&guess, node->name);
	err_set(err, 0, "there is no node %.128s", name);
	if (err)
		guess_append(&guess, err->text, sizeof(err->text));
	return NULL;
}

struct vm *argument_vm(const struct context *context, const json_t *arguments, struct err *err)
{
	const struct cluster *c = context->cluster;
	const char *name = argument_text(arguments, "vm");
	struct vm *found = cluster_vm_named(c, name);
	struct guess guess = guess_of(name);
	if (found)
		return found;
	cluster_each(c->vms, struct vm, vm) guess_offer(&guess, vm->name);
	err_set(err, 0, "there is no VM %.128s", name);
	if (err)
		guess_append(&guess, err->text, sizeof(err->text));
	return NULL;
}

const struct node *turn_node(struct operation_turn *turn, const char *argument)
{
	struct err err;
	const struct node *node = argument_node_of(turn->context, turn->arguments, argument, &err);
	if (!node)
		turn_refuse(turn, -ENOENT, &err);
	return node;
}

const struct vm *turn_vm(struct operation_turn *turn)
{
	struct err err;
	const struct vm *vm = argument_vm(turn->context, turn->arguments, &err);
	if (!vm)
		turn_refuse(turn, -ENOENT, &err);
	return vm;
}

void turn_ask(struct operation_turn *turn, const struct node *node, json_t *arguments)
{
	const struct context *context = turn->context;
	struct operation_call call = {.operation = turn->operation, .arguments = arguments};
	if (context->ask && turn_reaches(turn, node))
		context->ask(context->data, node->id, &call, turn_forwarded, turn);
	else if (!context->ask)
		turn_deny(
		    turn, -EREMOTE, "the log of %s is on %s: ask there", node->name, node->name);
}

void progress_set(struct operation_progress *p, int state, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	p->state = state;
	vsnprintf(p->text, sizeof(p->text), format, args);
	va_end(args);
}

struct replica *turn_replica(const struct context *context, struct err *err)
{
	struct replica *r = context->replica(context->data);
	const char *trouble = r ? "" : context->trouble(context->data);
	if (!r)
		err_set(
		    err, -EIO, "this node's log is not open%s%s", *trouble ? ": " : "", trouble);
	return r;
}

const char *node_name(const struct cluster *c, uint32_t id)
{
	const struct node *node = cluster_node(c, id);
	return node ? node->name : "-";
}

json_t *node_name_json(const struct cluster *c, uint64_t id)
{
	char text[32];
	if (!id)
		return json_null();
	const struct node *node = id <= UINT32_MAX ? cluster_node(c, (uint32_t)id) : NULL;
	if (node)
		return json_text(node->name);
	snprintf(text, sizeof(text), "node %" PRIu64, id);
	return json_string(text);
}

static json_t *argument_table(const struct operation_argument *a)
{
	static const char *const kinds[] = {
	    "positional", "optional", "list", "option", "flag", "demanded flag"};
	json_t *json =
	    json_pack("{s:s, s:s, s:s}", "name", a->name, "kind", kinds[a->kind], "help", a->help);
	const char *const *choices = operation_choices(a->type);
	if (a->kind != ARGUMENT_FLAG && a->kind != ARGUMENT_DEMAND)
		json_object_set_new(json, "type", json_string(operation_type_text(a->type)));
	if (a->preset)
		json_object_set_new(json, "default", json_string(a->preset));
	if (!choices)
		return json;
	json_t *list = json_array();
	for (unsigned i = 0; choices[i]; i++)
		json_array_append_new(list, json_string(choices[i]));
	json_object_set_new(json, "choices", list);
	return json;
}

json_t *operation_table(void)
{
	json_t *table = json_array();
	for (const struct operation *o = operations; o->name; o++) {
		json_t *arguments = json_array();
		for (const struct operation_argument *a = o->arguments; a->name; a++)
			json_array_append_new(arguments, argument_table(a));
		json_array_append_new(
		    table, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "name", o->name, "method",
			       operation_method_names[o->method], "path", o->path, "access",
			       operation_access_names[o->access], "help", o->help, "arguments",
			       arguments));
	}
	return table;
}

void operation_operation_list(struct operation_turn *turn)
{
	turn_answer(turn, operation_table());
}
