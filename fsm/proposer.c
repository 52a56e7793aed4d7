#include "fsm/proposer.h"

#include <errno.h>

#include "fsm/command.h"

enum right {
	RIGHT_ANYBODY, /* people ask for it, wherever they are */
	RIGHT_LEADER,
	RIGHT_ITSELF, /* the node that it is about: the command's first field */
};

/* Without a default: whoever adds a command decides here. */
static enum right right_of(enum command_number number)
{
	switch (number) {
	case COMMAND_tick:
	case COMMAND_takeover:
	case COMMAND_primary:
	case COMMAND_primary_step:
	case COMMAND_found:
	case COMMAND_authority_made:
		return RIGHT_LEADER;
	case COMMAND_relinquished:
	case COMMAND_node_hello:
	case COMMAND_node_state:
	case COMMAND_node_trust:
	case COMMAND_vm_report:
	case COMMAND_vm_fail:
	case COMMAND_vm_migrated:
	case COMMAND_vm_migrate_failed:
	case COMMAND_ceph_report:
	case COMMAND_probe:
		return RIGHT_ITSELF;
	case COMMAND_token:
	case COMMAND_join: /* by whoever the newcomer asked */
	case COMMAND_leave:
	case COMMAND_node_fenced:
	case COMMAND_maintenance:
	case COMMAND_vm_define:
	case COMMAND_vm_undefine:
	case COMMAND_vm_state:
	case COMMAND_vm_place:
	case COMMAND_vm_migrate:
	case COMMAND_vm_meta:
	case COMMAND_vm_modify:
	case COMMAND_vm_rename:
	case COMMAND_node_domain:
	case COMMAND_fact: /* of any key */
	case COMMAND_primary_want:
	case COMMAND_node_mode:
	case COMMAND_replace:
	case COMMAND_authority_rotate:
	case COMMAND_authority_shift: /* people force it */
	case COMMAND_NONE:
	case COMMAND_NUMBER_END:
		return RIGHT_ANYBODY;
	}
	return RIGHT_ANYBODY;
}

static int check_itself(uint32_t from, const uint8_t *operation, size_t size)
{
	struct command command;
	int result = command_decode(&command, operation, size);
	if (result)
		return result;
	/* They all begin with the node. */
	uint32_t node = command.node_state.node;
	command_clear(&command);
	return node == from ? 0 : -EPERM;
}

int proposer_check(uint32_t from, const uint8_t *operation, size_t size)
{
	struct reader in = reader_of(operation, size);
	reader_varint(&in); /* the client */
	reader_varint(&in); /* its sequence */
	uint64_t number = reader_varint(&in);
	if (in.failed)
		return -EBADMSG;
	switch (
	    number < COMMAND_NUMBER_END ? right_of((enum command_number)number) : RIGHT_ANYBODY) {
	case RIGHT_LEADER:
		return -ESTALE;
	case RIGHT_ITSELF:
		return check_itself(from, operation, size);
	case RIGHT_ANYBODY:
		break;
	}
	return 0;
}
