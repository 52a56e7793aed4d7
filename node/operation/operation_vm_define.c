/* What a VM is: its XML, its name, and what is said of it beside that. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsm/text.h"
#include "fsm/vm.h"
#include "node/config/config.h"
#include "node/operation/domain_check.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"
#include "node/operation/vm_json.h"
#include "node/operation/vm_options.h"

/* XML that came with the turn, read and held against what the cluster has. self: the VM that it
 * is for, 0: a new one. */
static int read_xml(
    const struct operation_turn *turn, uint32_t self, struct domain *domain, struct err *err)
{
	const json_t *xml = json_object_get(turn->arguments, "xml");
	int status = domain_read(json_string_value(xml), json_string_length(xml), domain, err);
	return status ? status : domain_check(turn->context->cluster, self, domain, err);
}

static struct blob xml_of(const struct operation_turn *turn)
{
	const json_t *xml = json_object_get(turn->arguments, "xml");
	/* A command only borrows it. */
	return (struct blob){.data = (uint8_t *)(uintptr_t)json_string_value(xml),
	    .size = (uint32_t)json_string_length(xml)};
}

static void validated(void *data, int status, const struct err *err)
{
	struct operation_turn *turn = data;
	const struct context *context = turn->context;
	if (status == -EINVAL) {
		/* Another node's may take it: it is there that it is to be asked for. */
		turn_deny(turn, status, "the hypervisor of %s would not start it: %s",
		    node_name(context->cluster, context->id), err->text);
		return;
	}
	if (status == -ESHUTDOWN) {
		turn_refuse(turn, status, err);
		return;
	}
	/* A hypervisor that does not answer keeps nobody from describing a VM. */
	if (status && status != -EOPNOTSUPP)
		turn_warn(turn, "the XML was not shown to the hypervisor: %s", err->text);
	turn->next(turn);
}

/* Have this node's hypervisor look at the XML, too, then go on. */
static void validate(struct operation_turn *turn, void (*next)(struct operation_turn *turn))
{
	const struct context *context = turn->context;
	turn->next = next;
	if (context->validate)
		context->validate(
		    context->data, argument_text(turn->arguments, "xml"), validated, turn);
	else
		next(turn);
}

static json_t *defined(struct operation_turn *turn, int result)
{
	const struct cluster *c = turn->context->cluster;
	const struct vm *vm = cluster_vm(c, (uint32_t)result);
	if (!vm)
		return json_object();
	json_t *json = vm_json(c, vm);
	json_object_set_new(json, "message",
	    json_sprintf(vm->node ? "%s is defined on %s" : "%s is defined, and waits for a place",
		vm->name, node_name(c, vm->node)));
	return json;
}

/* It takes room from the day on which it is placed. */
static void warn_of_room(struct operation_turn *turn, const struct command_vm_define *define)
{
	struct vm vm = {.memory_mib = define->memory_mib, .selector = define->selector};
	vm.limit.items = define->limit.items;
	vm.limit.count = define->limit.count;
	turn_warn_place(turn, &vm, define->node);
}

static void define(struct operation_turn *turn)
{
	struct err err;
	struct domain domain;
	struct vm_options options;
	struct command command = {.number = COMMAND_vm_define};
	struct command_vm_define *define = &command.vm_define;
	int status = read_xml(turn, 0, &domain, &err);
	if (!status)
		status = vm_options_read(turn, &options, &err);
	if (!status && argument_given(turn->arguments, "node")) {
		const struct node *node = argument_node(turn->context, turn->arguments, &err);
		status = node ? 0 : -ENOENT;
		define->node = node ? node->id : 0;
	}
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	memcpy(define->name, domain.name, sizeof(define->name));
	memcpy(define->uuid, domain.uuid, sizeof(define->uuid));
	define->memory_mib = domain.memory_mib;
	define->vcpus = domain.vcpus;
	define->selector = options.selector;
	define->method = options.method;
	define->autostart = options.autostart;
	define->priority = options.priority;
	define->limit.items = options.limit;
	define->limit.count = options.limit_count;
	define->tags.items = options.tags.items;
	define->tags.count = options.tags.count;
	define->provision = argument_given(turn->arguments, "provision");
	define->xml = xml_of(turn);
	turn->finish = defined;
	warn_of_room(turn, define);
	turn_propose(turn, &command);
}

void operation_vm_define(struct operation_turn *turn)
{
	struct domain domain;
	struct err err;
	int status = read_xml(turn, 0, &domain, &err);
	if (status)
		turn_refuse(turn, status, &err);
	else
		validate(turn, define);
}

/* The VM it is about, with its new XML read; NULL when that was refused. */
static const struct vm *vm_to_modify(struct operation_turn *turn, struct domain *domain)
{
	const struct vm *vm = turn_vm(turn);
	struct err err;
	if (!vm)
		return NULL;
	int status = read_xml(turn, vm->id, domain, &err);
	if (!status && strcmp(domain->uuid, vm->uuid) != 0)
		status = err_set(&err, -EINVAL,
		    "line %u: the UUID of %s is %s, and stays so: another is another VM",
		    domain->uuid_line, vm->name, vm->uuid);
	if (!status && strcmp(domain->name, vm->name) != 0)
		status = err_set(&err, -EINVAL,
		    "line %u: this is the XML of %s, not of %s: pvc vm rename gives it another "
		    "name",
		    domain->name_line, domain->name, vm->name);
	if (!status)
		return vm;
	turn_refuse(turn, status, &err);
	return NULL;
}

static void modify(struct operation_turn *turn)
{
	struct domain domain;
	const struct vm *vm = vm_to_modify(turn, &domain);
	if (!vm)
		return;
	struct command command = {.number = COMMAND_vm_modify};
	command.vm_modify.vm = vm->id;
	command.vm_modify.xml_hash = vm->xml_hash;
	command.vm_modify.memory_mib = domain.memory_mib;
	command.vm_modify.vcpus = domain.vcpus;
	command.vm_modify.xml = xml_of(turn);
	turn_say(turn,
	    vm_is_off(turn->context->cluster, vm)
		? "%s is modified"
		: "%s is modified; it runs as it was started until it is started anew",
	    vm->name);
	turn_propose(turn, &command);
}

void operation_vm_modify(struct operation_turn *turn)
{
	struct domain domain;
	const struct vm *vm = vm_to_modify(turn, &domain);
	char hash[17];
	if (!vm)
		return;
	const char *expected = argument_text(turn->arguments, "expect");
	snprintf(hash, sizeof(hash), "%016" PRIx64, vm->xml_hash);
	if (expected && strcmp(expected, hash) != 0)
		turn_deny(turn, -ESTALE,
		    "the XML of %s has the hash %s by now, not %.32s: somebody was faster; look at "
		    "pvc vm dump %s",
		    vm->name, hash, expected, vm->name);
	else
		validate(turn, modify);
}

void operation_vm_undefine(struct operation_turn *turn)
{
	const struct vm *vm = turn_vm(turn);
	if (!vm)
		return;
	struct command command = {.number = COMMAND_vm_undefine};
	command.vm_undefine.vm = vm->id;
	turn_say(turn, "%s is no longer defined", vm->name);
	turn_propose(turn, &command);
}

void operation_vm_rename(struct operation_turn *turn)
{
	const struct vm *vm = turn_vm(turn);
	struct command command = {.number = COMMAND_vm_rename};
	struct buffer xml = {0};
	struct err err;
	if (!vm)
		return;
	const char *name = argument_text(turn->arguments, "name");
	int status = strlen(name) < sizeof(command.vm_rename.name) && text_is_vm_name(name)
			 ? 0
			 : err_set(&err, -EINVAL,
			       "'%.80s' is no name of a VM: at most 63 bytes, no '/' and no "
			       "control character, not . or ..",
			       name);
	if (!status)
		status = domain_rename(&vm->xml, name, &xml, &err);
	if (status) {
		turn_refuse(turn, status, &err);
	} else {
		command.vm_rename.vm = vm->id;
		memcpy(command.vm_rename.name, name, strlen(name));
		command.vm_rename.xml = (struct blob){xml.data, (uint32_t)xml.size};
		turn_say(turn, "%s is %s from now on", vm->name, name);
		turn_propose(turn, &command);
	}
	buffer_close(&xml);
}

static json_t *described(struct operation_turn *turn, int result)
{
	const struct cluster *c = turn->context->cluster;
	const struct vm *vm = cluster_vm(c, turn->about);
	if (!vm)
		return json_object();
	json_t *json = vm_info_json(c, vm);
	json_object_set_new(json, "message", json_text(turn->message));
	return json;
}

static void propose_meta(
    struct operation_turn *turn, const struct vm *vm, struct vm_options *options)
{
	struct command command = {.number = COMMAND_vm_meta};
	command.vm_meta.vm = vm->id;
	vm_options_put(options, &command.vm_meta);
	turn->about = vm->id;
	turn->finish = described;
	turn_propose(turn, &command);
}

void operation_vm_meta(struct operation_turn *turn)
{
	const struct vm *vm = turn_vm(turn);
	struct vm_options options;
	struct err err;
	if (!vm)
		return;
	int status = vm_options_read(turn, &options, &err);
	if (!status && !options.given)
		status = err_set(&err, -EINVAL,
		    "vm meta: say what is to change: --limit, --no-limit, --selector, --method, "
		    "--autostart or --priority");
	if (!status && options.limit_count && argument_given(turn->arguments, "no_limit"))
		status = err_set(&err, -EINVAL, "vm meta: --limit and --no-limit are one too many");
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	turn_say(turn, "%s is described anew", vm->name);
	propose_meta(turn, vm, &options);
}

/* Its present tags, changed by each word that was given. */
static int change_tags(const struct operation_turn *turn, const struct vm *vm,
    int (*change)(struct vm_tags *tags, const char *text, struct err *err), struct vm_options *o,
    struct err *err)
{
	size_t i;
	const json_t *word;
	*o = (struct vm_options){.given = VM_META_TAGS};
	for (uint32_t n = 0; n < vm->tags.count && n < VM_TAGS_MAX; n++)
		o->tags.items[o->tags.count++] = vm->tags.items[n];
	json_array_foreach(json_object_get(turn->arguments, "tag"), i, word)
	{
		int status = change(&o->tags, json_string_value(word), err);
		if (status)
			return err_wrap(err, status, "%s", vm->name);
	}
	return 0;
}

static void want_tags(struct operation_turn *turn,
    int (*change)(struct vm_tags *tags, const char *text, struct err *err))
{
	const struct vm *vm = turn_vm(turn);
	struct vm_options options;
	struct err err;
	if (!vm)
		return;
	int status = change_tags(turn, vm, change, &options, &err);
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	struct buffer said = {0};
	for (uint32_t i = 0; i < options.tags.count; i++)
		buffer_print(&said, " %s", options.tags.items[i].name);
	buffer_append_u8(&said, 0);
	turn_say(
	    turn, "%s has%s", vm->name, options.tags.count ? (const char *)said.data : " no tags");
	buffer_close(&said);
	propose_meta(turn, vm, &options);
}

void operation_vm_tag_add(struct operation_turn *turn)
{
	want_tags(turn, vm_tags_add);
}

void operation_vm_tag_remove(struct operation_turn *turn)
{
	want_tags(turn, vm_tags_remove);
}
