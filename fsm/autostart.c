#include "fsm/autostart.h"

#include <string.h>

#include "fsm/change.h"
#include "fsm/node.h"
#include "fsm/vm_change.h"
#include "fsm/vm_set.h"

static bool any_marked(const struct cluster *c)
{
	cluster_each(c->nodes, struct node, node) if (node->rebooted) return true;
	return false;
}

void autostart_hello(struct cluster *c, struct node *node, const char *boot_id)
{
	/* A cold start that goes on goes on. */
	bool another = *node->boot_id && *boot_id && strcmp(node->boot_id, boot_id) != 0 &&
		       !c->settings.autostarting;
	if (another && !any_marked(c)) {
		c->settings.cold_ms = c->settings.time_ms;
		change_settings(c);
	}
	node->rebooted |= another;
	if (*boot_id)
		memcpy(node->boot_id, boot_id, sizeof(node->boot_id));
}

static bool has_survivor(const struct cluster *c)
{
	cluster_each(c->nodes, struct node, node)
	{
		uint64_t patience_ms = node_patience_ms(c, node, AUTOSTART_FRESH_MS);
		if (node->hypervisor && !node->rebooted && node_silence_ms(c, node) <= patience_ms)
			return true;
	}
	return false;
}

static void clear_marks(struct cluster *c)
{
	cluster_each(c->nodes, struct node, node)
	{
		if (!node->rebooted)
			continue;
		node->rebooted = false;
		change_touch(c, &c->nodes, node);
	}
}

static void judge(struct cluster *c)
{
	uint64_t since_ms = c->settings.time_ms - c->settings.cold_ms;
	if (since_ms < AUTOSTART_WAIT_MS)
		return;
	bool survivor = has_survivor(c);
	if (survivor && since_ms < AUTOSTART_SURVIVOR_MS)
		return;
	clear_marks(c);
	if (survivor)
		return;
	c->settings.autostarting = true;
	c->settings.cold_ms = c->settings.time_ms;
	change_settings(c);
}

/* What somebody has stopped since is stopped by his will. */
static struct vm *next(struct cluster *c)
{
	struct vm *best = NULL;
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->state != VM_STOP || !vm->autostart || vm->changed_ms >= c->settings.cold_ms)
			continue;
		if (!best || vm_compare(&vm, &best) < 0)
			best = vm;
	}
	return best;
}

static void start_some(struct cluster *c)
{
	for (unsigned i = 0; i < AUTOSTART_AT_ONCE; i++) {
		struct vm *vm = next(c);
		if (vm) {
			vm_set_reason(c, vm, "");
			vm_change_start(c, vm);
			continue;
		}
		c->settings.autostarting = false;
		change_settings(c);
		return;
	}
}

void autostart_tick(struct cluster *c)
{
	if (any_marked(c))
		judge(c);
	if (c->settings.autostarting)
		start_some(c);
}
