/* A node that is proven off: what it owned may run elsewhere. */
#include <errno.h>
#include <inttypes.h>

#include "fsm/apply.h"
#include "fsm/node.h"
#include "fsm/vm.h"

/* A node that was heard this lately, or within two of its keepalive intervals, is on,
 * whoever says otherwise. */
#define FENCE_SILENCE_MS 2000

int apply_node_fenced(struct cluster *c, struct command_node_fenced *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	if (node->daemon_state == DAEMON_FENCED)
		return 0;
	uint64_t silence_ms = node_silence_ms(c, node);
	if (silence_ms < node_patience_ms(c, node, FENCE_SILENCE_MS))
		return err_set(err, -EBUSY, "%s sent a keepalive %" PRIu64 " ms ago: it is not off",
		    node->name, silence_ms);
	node->daemon_state = DAEMON_FENCED;
	/* What is off holds no floating address. */
	if (node->coordinator_state == COORDINATOR_RELINQUISH)
		node->coordinator_state = COORDINATOR_SECONDARY;
	change_touch(c, &c->nodes, node);
	vm_recover(c, node);
	return 0;
}
