#include "fsm/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/history.h"
#include "fsm/session.h"

void cluster_init(struct cluster *c)
{
	*c = (struct cluster){
#define PART(name, record)
#define TABLE_PART(name, record) .name = TABLE(record),
#include "fsm/parts.def"
	};
	change_singles(c);
	change_settle(c);
}

void cluster_close(struct cluster *c)
{
#define PART(name, record)
#define TABLE_PART(name, record) table_close(&c->name);
#include "fsm/parts.def"
	free(c->touched);
	free(c->history);
	buffer_close(&c->scratch);
	*c = (struct cluster){0};
}

static int dispatch(struct cluster *c, struct command *command, struct err *err)
{
	if (!c->settings.schema && command->number != COMMAND_found)
		return err_set(err, -EUNATCH, "the cluster has not been founded");
	switch (command->number) {
#define COMMAND(number, name, ...)                                                                 \
	case COMMAND_##name:                                                                       \
		return apply_##name(c, &command->name, err);
#include "fsm/command.def"
	default:
		return -ENOTSUP;
	}
}

int cluster_apply(
    struct cluster *c, uint64_t index, const uint8_t *operation, size_t size, struct err *err)
{
	struct command command;
	int result = command_decode(&command, operation, size);
	c->index = index;
	if (result == -ENOTSUP)
		return err_set(err, result, "this version does not know that command");
	if (result)
		return err_set(err, result, "not a command");
	if (!session_seen(c, &command, &result, err)) {
		result = dispatch(c, &command, err);
		session_note(c, &command, result);
	}
	change_settle(c);
	history_note(c);
	command_clear(&command);
	return result;
}

struct node *cluster_node(const struct cluster *c, uint32_t id)
{
	return table_find(&c->nodes, &id);
}

struct node *cluster_node_named(const struct cluster *c, const char *name)
{
	cluster_each(c->nodes, struct node, node) if (!strcmp(node->name, name)) return node;
	return NULL;
}

struct vm *cluster_vm(const struct cluster *c, uint32_t id)
{
	return table_find(&c->vms, &id);
}

struct vm *cluster_vm_named(const struct cluster *c, const char *name)
{
	cluster_each(c->vms, struct vm,
	    vm) if (!strcmp(vm->name, name) || !strcmp(vm->uuid, name)) return vm;
	return NULL;
}

const struct fact *cluster_fact(const struct cluster *c, const char *key)
{
	return table_find(&c->facts, key);
}

static const char *name_of(const void *data, const char *field, uint32_t id)
{
	const struct cluster *c = data;
	const struct node *node = !strcmp(field, "node") ? cluster_node(c, id) : NULL;
	const struct vm *vm = !strcmp(field, "vm") ? cluster_vm(c, id) : NULL;
	if (node)
		return node->name;
	return vm ? vm->name : NULL;
}

struct record_names cluster_names(const struct cluster *c)
{
	return (struct record_names){.data = c, .name = name_of};
}
