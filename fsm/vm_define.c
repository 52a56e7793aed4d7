#include "fsm/vm_define.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/blobs.h"
#include "fsm/hash.h"
#include "fsm/place.h"
#include "fsm/text.h"
#include "fsm/vm.h"
#include "fsm/vm_set.h"

/* Neither a name nor a UUID may be taken for another VM's; except: the VM itself. */
static int check_name(
    const struct cluster *c, const char *name, const struct vm *except, struct err *err)
{
	if (!text_is_vm_name(name))
		return err_set(err, -EINVAL,
		    "a VM's name has no '/' and no control character in it, and is not . or ..");
	const struct vm *vm = cluster_vm_named(c, name);
	if (vm && vm != except)
		return err_set(err, -EEXIST, "there is a VM %s already", name);
	return 0;
}

static int check_limit(
    const struct cluster *c, const struct node_ref *nodes, uint32_t count, struct err *err)
{
	if (count > VM_LIMIT_MAX)
		return err_set(err, -E2BIG, "a VM is limited to %d nodes at most", VM_LIMIT_MAX);
	for (uint32_t i = 0; i < count; i++) {
		if (!cluster_node(c, nodes[i].node))
			return err_set(err, -ENOENT, "there is no node %" PRIu32, nodes[i].node);
		for (uint32_t k = 0; k < i; k++)
			if (nodes[k].node == nodes[i].node)
				return err_set(err, -EINVAL, "%s is in the limit twice",
				    cluster_node(c, nodes[i].node)->name);
	}
	return 0;
}

static int check_tags(const struct vm_tag *tags, uint32_t count, struct err *err)
{
	if (count > VM_TAGS_MAX)
		return err_set(err, -E2BIG, "a VM has %d tags at most", VM_TAGS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		if (!text_is_node_name(tags[i].name))
			return err_set(err, -EINVAL,
			    "a tag is of letters, digits, '-', '_' and '.', the first a letter or "
			    "digit");
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(tags[k].name, tags[i].name))
				return err_set(
				    err, -EINVAL, "the tag %s is given twice", tags[i].name);
	}
	return 0;
}

static int check_new(struct cluster *c, const struct command_vm_define *command, struct err *err)
{
	if (!*command->name || !*command->uuid || !command->memory_mib || !command->vcpus)
		return err_set(err, -EINVAL, "a VM needs a name, a UUID, memory and vCPUs");
	int result = check_name(c, command->name, NULL, err);
	if (result)
		return result;
	if (!text_is_uuid(command->uuid))
		return err_set(err, -EINVAL,
		    "a VM's UUID is as 01234567-89ab-4cde-8f01-23456789abcd, in small letters");
	const struct vm *vm = cluster_vm_named(c, command->uuid);
	if (vm)
		return err_set(
		    err, -EEXIST, "the VM %s has the UUID %s already", vm->name, command->uuid);
	if (c->vms.count >= CLUSTER_VMS_MAX)
		return err_set(err, -ENOSPC, "the cluster has %u VMs already", c->vms.count);
	result = check_limit(c, command->limit.items, command->limit.count, err);
	if (!result)
		result = check_tags(command->tags.items, command->tags.count, err);
	return result ? result : blobs_room(c, 0, command->xml.size, err);
}

/* As it will be; its lists and XML are still the command's. */
static struct vm made_of(const struct command_vm_define *command)
{
	struct vm vm = {
	    .memory_mib = command->memory_mib,
	    .vcpus = command->vcpus,
	    .state = command->provision ? VM_PROVISION : VM_STOP,
	    .selector = command->selector,
	    .autostart = command->autostart,
	    .method = command->method,
	    .priority = command->priority,
	    .limit = {command->limit.items, command->limit.count},
	    .tags = {command->tags.items, command->tags.count},
	    .xml = command->xml,
	};
	memcpy(vm.name, command->name, sizeof(vm.name));
	memcpy(vm.uuid, command->uuid, sizeof(vm.uuid));
	return vm;
}

static int check_place(struct cluster *c, const struct command_vm_define *command, struct err *err)
{
	if (!command->node)
		return 0;
	const struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	struct vm candidate = made_of(command);
	return place_check(c, &candidate, node, err);
}

int apply_vm_define(struct cluster *c, struct command_vm_define *command, struct err *err)
{
	int result = check_new(c, command, err);
	if (!result)
		result = check_place(c, command, err);
	if (result)
		return result;
	struct vm *vm = must_alloc(sizeof(*vm));
	*vm = made_of(command);
	vm->id = c->settings.next_vm++;
	vm->xml_hash = hash_bytes(0, vm->xml.data, vm->xml.size);
	blobs_replaced(c, 0, vm->xml.size);
	memset(&command->limit, 0, sizeof(command->limit));
	memset(&command->tags, 0, sizeof(command->tags));
	command->xml = (struct blob){0};
	change_settings(c);
	change_insert(c, &c->vms, vm);
	if (command->node)
		vm_set_owner(c, vm, command->node);
	else
		vm_place(c, vm);
	return (int)vm->id;
}

static int check_off(const struct cluster *c, const struct vm *vm, struct err *err)
{
	if (vm_is_off(c, vm))
		return 0;
	return err_set(err, -EBUSY, "%s is not off (%s, %s): stop it first", vm->name,
	    state_name(vm_state_names, vm->state), state_name(vm_observed_names, vm->observed));
}

int apply_vm_undefine(struct cluster *c, struct command_vm_undefine *command, struct err *err)
{
	int result = 0;
	struct vm *vm = vm_find(c, command->vm, &result, err);
	if (vm)
		result = check_off(c, vm, err);
	if (result)
		return result;
	blobs_replaced(c, vm->xml.size, 0);
	change_remove(c, &c->vms, vm);
	return 0;
}

static void set_xml(struct cluster *c, struct vm *vm, struct blob *xml)
{
	blobs_replaced(c, vm->xml.size, xml->size);
	free(vm->xml.data);
	vm->xml = *xml;
	vm->xml_hash = hash_bytes(0, vm->xml.data, vm->xml.size);
	*xml = (struct blob){0};
	vm_touch(c, vm);
}

/* What runs keeps the memory that it was started with until it was off. */
static int check_memory(
    const struct cluster *c, const struct vm *vm, uint64_t memory_mib, struct err *err)
{
	const struct node *owner = cluster_node(c, vm->node);
	struct memory m;
	if (memory_mib < vm->memory_mib && !vm_is_off(c, vm))
		return err_set(err, -EBUSY,
		    "%s has %" PRIu64 " MiB and is not off: it can get less, %" PRIu64
		    " MiB, only while it is",
		    vm->name, vm->memory_mib, memory_mib);
	if (!owner || memory_mib == vm->memory_mib)
		return 0;
	memory_of(c, owner, &m);
	if (memory_promisable(&m) >= memory_mib - vm->memory_mib)
		return 0;
	return err_set(err, -ENOMEM, "%s can promise %" PRIu64 " MiB more, %s needs %" PRIu64,
	    owner->name, memory_promisable(&m), vm->name, memory_mib - vm->memory_mib);
}

int apply_vm_modify(struct cluster *c, struct command_vm_modify *command, struct err *err)
{
	int result = 0;
	struct vm *vm = vm_find(c, command->vm, &result, err);
	if (!vm)
		return result;
	if (vm->xml_hash != command->xml_hash)
		return err_set(err, -ESTALE,
		    "somebody else has modified %s meanwhile: begin with the present definition",
		    vm->name);
	if (!command->memory_mib || !command->vcpus)
		return err_set(err, -EINVAL, "a VM needs memory and vCPUs");
	if (vm->target)
		return err_set(
		    err, -EBUSY, "%s is moving: ask again when it has arrived", vm->name);
	result = check_memory(c, vm, command->memory_mib, err);
	if (!result)
		result = blobs_room(c, vm->xml.size, command->xml.size, err);
	if (result)
		return result;
	vm->memory_mib = command->memory_mib;
	vm->vcpus = command->vcpus;
	set_xml(c, vm, &command->xml);
	return 0;
}

int apply_vm_rename(struct cluster *c, struct command_vm_rename *command, struct err *err)
{
	int result = 0;
	struct vm *vm = vm_find(c, command->vm, &result, err);
	if (vm)
		result = check_name(c, command->name, vm, err);
	if (!result)
		result = check_off(c, vm, err);
	if (!result)
		result = blobs_room(c, vm->xml.size, command->xml.size, err);
	if (result)
		return result;
	memcpy(vm->name, command->name, sizeof(vm->name));
	set_xml(c, vm, &command->xml);
	return 0;
}

/* The lists change owners: what the VM had goes with the command. */
static void swap_lists(struct vm *vm, struct command_vm_meta *command)
{
	struct node_ref *nodes = vm->limit.items;
	struct vm_tag *tags = vm->tags.items;
	uint32_t node_count = vm->limit.count, tag_count = vm->tags.count;
	if (command->given & VM_META_LIMIT) {
		vm->limit.items = command->limit.items;
		vm->limit.count = command->limit.count;
		command->limit.items = nodes;
		command->limit.count = node_count;
	}
	if (command->given & VM_META_TAGS) {
		vm->tags.items = command->tags.items;
		vm->tags.count = command->tags.count;
		command->tags.items = tags;
		command->tags.count = tag_count;
	}
}

int apply_vm_meta(struct cluster *c, struct command_vm_meta *command, struct err *err)
{
	int result = 0;
	struct vm *vm = vm_find(c, command->vm, &result, err);
	if (!vm)
		return result;
	if (command->given & ~(unsigned)VM_META_ALL)
		return err_set(err, -EINVAL, "this version does not know all that is to change");
	result = check_limit(c, command->limit.items, command->limit.count, err);
	if (!result)
		result = check_tags(command->tags.items, command->tags.count, err);
	if (result)
		return result;
	if (command->given & VM_META_SELECTOR)
		vm->selector = command->selector;
	if (command->given & VM_META_METHOD)
		vm->method = command->method;
	if (command->given & VM_META_AUTOSTART)
		vm->autostart = command->autostart;
	if (command->given & VM_META_PRIORITY)
		vm->priority = command->priority;
	swap_lists(vm, command);
	vm_touch(c, vm);
	return 0;
}
