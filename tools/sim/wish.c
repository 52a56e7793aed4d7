#include "tools/sim/wish.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/vm.h"
#include "tools/sim/request.h"

#define LIMIT_MAX 3

struct wish {
	struct world *world;
	const struct vm *vm;
	struct command command;
	/* What the command's lists point to. */
	struct node_ref limit[LIMIT_MAX];
	struct vm_tag tag;
};

static uint64_t draw(struct wish *wish, uint64_t below)
{
	return world_random(wish->world, below);
}

/* Where something of it is, as often as anywhere: a place that was left is worth coming back to. */
static uint32_t draw_node(struct wish *wish)
{
	struct world *w = wish->world;
	for (unsigned i = 1; wish->vm && i <= w->node_count; i++) {
		const struct sim_vm *vm = sim_hypervisor_vm(w->nodes[i], wish->vm->uuid);
		bool left = vm && vm->state != SIM_VM_OFF && w->nodes[i]->raft_id != wish->vm->node;
		if (left && draw(wish, 2))
			return w->nodes[i]->raft_id;
	}
	return 1 + (uint32_t)draw(wish, wish->world->node_count);
}

/* How many of the nodes that it may be placed on; mostly any, which is none. */
static uint32_t draw_limit(struct wish *wish)
{
	uint32_t count = draw(wish, 6) ? 0 : 2 + (uint32_t)draw(wish, LIMIT_MAX - 1);
	uint32_t first = draw_node(wish);
	if (count > wish->world->node_count)
		count = 0;
	for (uint32_t i = 0; i < count; i++)
		wish->limit[i].node = 1 + (first + i) % wish->world->node_count;
	return count;
}

static enum migration_method draw_method(struct wish *wish)
{
	static const enum migration_method methods[] = {MIGRATION_LIVE, MIGRATION_LIVE,
	    MIGRATION_LIVE, MIGRATION_LIVE, MIGRATION_SHUTDOWN, MIGRATION_NONE};
	return methods[draw(wish, sizeof(methods) / sizeof(*methods))];
}

void wish_uuid(unsigned who, char uuid[37])
{
	snprintf(uuid, 37, "00000000-0000-4000-8000-%012u", who);
}

static void name_of(unsigned who, char name[64])
{
	snprintf(name, 64, "vm-%u", who);
}

static void make_define(struct wish *wish, unsigned who)
{
	struct command_vm_define *define = &wish->command.vm_define;
	wish->command.number = COMMAND_vm_define;
	name_of(who, define->name);
	wish_uuid(who, define->uuid);
	define->memory_mib = 256 + 256 * draw(wish, WISH_MEMORY_MIB_MAX / 256);
	define->vcpus = 1;
	define->selector = (enum selector)draw(wish, SELECTOR_VMS + 1);
	define->method = draw_method(wish);
	define->autostart = draw(wish, 2);
	define->priority = (uint32_t)draw(wish, 3);
	define->provision = draw(wish, 10) == 0;
	define->limit.items = wish->limit;
	define->limit.count = draw_limit(wish);
}

static void make_state(struct wish *wish, enum vm_state state)
{
	wish->command.number = COMMAND_vm_state;
	wish->command.vm_state.vm = wish->vm->id;
	wish->command.vm_state.state = state;
	wish->command.vm_state.strict = draw(wish, 8) == 0;
}

static void make_start(struct wish *wish)
{
	make_state(wish, VM_START);
}

static void make_shutdown(struct wish *wish)
{
	make_state(wish, VM_SHUTDOWN);
}

static void make_stop(struct wish *wish)
{
	make_state(wish, VM_STOP);
}

static void make_restart(struct wish *wish)
{
	make_state(wish, VM_RESTART);
}

static void make_disable(struct wish *wish)
{
	make_state(wish, VM_DISABLE);
}

static void make_vm_migrate(struct wish *wish, enum move_reason why)
{
	wish->command.number = COMMAND_vm_migrate;
	wish->command.vm_migrate.vm = wish->vm->id;
	wish->command.vm_migrate.why = why;
	wish->command.vm_migrate.live_only = draw(wish, 2);
}

static void make_migrate(struct wish *wish)
{
	make_vm_migrate(wish, MOVE_MIGRATE);
	wish->command.vm_migrate.node = draw(wish, 2) ? draw_node(wish) : 0;
}

static void make_unmigrate(struct wish *wish)
{
	make_vm_migrate(wish, MOVE_UNMIGRATE);
}

static void make_move(struct wish *wish)
{
	make_vm_migrate(wish, MOVE_MOVE);
	wish->command.vm_migrate.node = draw_node(wish);
}

static void make_place(struct wish *wish)
{
	wish->command.number = COMMAND_vm_place;
	wish->command.vm_place.vm = wish->vm->id;
	wish->command.vm_place.node = draw_node(wish);
}

static void make_undefine(struct wish *wish)
{
	wish->command.number = COMMAND_vm_undefine;
	wish->command.vm_undefine.vm = wish->vm->id;
}

static void make_meta(struct wish *wish)
{
	struct command_vm_meta *meta = &wish->command.vm_meta;
	wish->command.number = COMMAND_vm_meta;
	meta->vm = wish->vm->id;
	meta->given = (uint32_t)draw(wish, 64);
	meta->selector = (enum selector)draw(wish, SELECTOR_VMS + 1);
	meta->method = draw_method(wish);
	meta->autostart = draw(wish, 2);
	meta->priority = (uint32_t)draw(wish, 3);
	meta->limit.items = wish->limit;
	meta->limit.count = draw_limit(wish);
	snprintf(wish->tag.name, sizeof(wish->tag.name), "tag-%" PRIu64, draw(wish, 3));
	meta->tags.items = &wish->tag;
	meta->tags.count = 1;
}

static void make_modify(struct wish *wish)
{
	struct command_vm_modify *modify = &wish->command.vm_modify;
	wish->command.number = COMMAND_vm_modify;
	modify->vm = wish->vm->id;
	modify->xml_hash = wish->vm->xml_hash;
	modify->memory_mib = 256 + 256 * draw(wish, WISH_MEMORY_MIB_MAX / 256);
	modify->vcpus = 1;
}

/* As often as its weight says. */
static const struct {
	unsigned weight;
	void (*make)(struct wish *wish);
} wishes[] = {
    {40, make_start},
    {6, make_shutdown},
    {6, make_stop},
    {6, make_restart},
    {2, make_disable},
    {40, make_migrate},
    {6, make_unmigrate},
    {6, make_move},
    {6, make_place},
    {2, make_undefine},
    {6, make_meta},
    {3, make_modify},
};

static void ask(struct sim_node *n, struct wish *wish)
{
	if (!sim_node_serves(n))
		return;
	request_propose(n, &wish->command, ASK_NONE, 0);
	sim_node_settle(n);
}

/* Of VM number who; false: n knows of none, and it is defined. */
static bool wish_begin(struct sim_node *n, struct wish *wish, unsigned who)
{
	char name[64];
	*wish = (struct wish){.world = n->world};
	name_of(who, name);
	wish->vm = cluster_vm_named(&n->value, name);
	if (!wish->vm)
		make_define(wish, who);
	return wish->vm;
}

void wish_vm(struct sim_node *n, unsigned who)
{
	struct wish wish;
	unsigned sum = 0, i = 0;
	if (wish_begin(n, &wish, who)) {
		for (unsigned k = 0; k < sizeof(wishes) / sizeof(*wishes); k++)
			sum += wishes[k].weight;
		unsigned drawn = (unsigned)draw(&wish, sum);
		for (; drawn >= wishes[i].weight; i++)
			drawn -= wishes[i].weight;
		wishes[i].make(&wish);
	}
	ask(n, &wish);
}

void wish_start(struct sim_node *n, unsigned who)
{
	struct wish wish;
	if (wish_begin(n, &wish, who))
		make_start(&wish);
	ask(n, &wish);
}

static void make_domain(struct wish *wish, uint32_t node, enum domain_state domain)
{
	wish->command.number = COMMAND_node_domain;
	wish->command.node_domain.node = node;
	wish->command.node_domain.domain = domain;
}

void wish_ready(struct sim_node *n, uint32_t node)
{
	struct wish wish = {.world = n->world};
	make_domain(&wish, node, DOMAIN_READY);
	ask(n, &wish);
}

void wish_node(struct sim_node *n)
{
	struct wish wish = {.world = n->world};
	uint32_t node = draw_node(&wish);
	make_domain(&wish, node, draw(&wish, 5) < 2 ? DOMAIN_FLUSH : DOMAIN_READY);
	wish.command.node_domain.shutdown = draw(&wish, 2);
	ask(n, &wish);
}
