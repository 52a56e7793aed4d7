#include "tools/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/member/members.h"
#include "tools/sim/guest.h"
#include "tools/sim/node.h"
#include "tools/sim/request.h"
#include "tools/sim/verify.h"

#define JOIN_AGAIN_MS	 2000
#define REPLACE_AFTER_MS 600000 /* as raft.replace_after */
#define EVENTS_MAX	 100000 /* within a second; some hundreds are usual */

/* splitmix64: small, good enough, the same everywhere. */
uint64_t world_random(struct world *w, uint64_t below)
{
	uint64_t z = (w->random += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % (below ? below : 1);
}

void world_at(struct world *w, uint64_t time_ms, event_run run, unsigned node, uint64_t number)
{
	events_add(&w->events,
	    (struct event){.time_ms = time_ms, .run = run, .node = node, .number = number});
}

void world_trace(struct world *w, unsigned node, const char *format, ...)
{
	char text[512], who[16] = "log";
	va_list args;
	if (w->options.quiet)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (node)
		snprintf(who, sizeof(who), "n%u", node);
	struct buffer line = {0};
	buffer_print(&line, "%4llu.%03llu  %-4s %s\n", (unsigned long long)w->now_ms / 1000,
	    (unsigned long long)w->now_ms % 1000, who, text);
	if (w->options.printed)
		fwrite(line.data, 1, line.size, stdout);
	else
		buffer_append(&w->trace, line.data, line.size);
	buffer_close(&line);
}

void world_fail(struct world *w, const char *format, ...)
{
	va_list args;
	if (*w->failure)
		return;
	va_start(args, format);
	vsnprintf(w->failure, sizeof(w->failure), format, args);
	va_end(args);
	world_trace(w, 0, "WRONG: %s", w->failure);
}

static void found(struct world *w)
{
	struct buffer configuration = {0};
	struct sim_node *first = w->nodes[1];
	first->raft_id = 1;
	if (replica_first_entry(1, "sim:1", &configuration))
		abort();
	sim_disk_found(&first->disk, &configuration);
	buffer_close(&configuration);
	sim_node_daemon(first, true);
	struct command command = {.number = COMMAND_found, .found = {.schema = 1}};
	snprintf(command.found.name, sizeof(command.found.name), "sim");
	snprintf(command.found.uuid, sizeof(command.found.uuid), "sim");
	snprintf(command.found.node, sizeof(command.found.node), "1");
	snprintf(command.found.address, sizeof(command.found.address), "sim:1");
	snprintf(command.found.incarnation, sizeof(command.found.incarnation), "sim-1");
	request_propose(first, &command, ASK_NONE, 0);
	sim_node_settle(first);
}

bool world_is_witness(const struct world *w, unsigned node)
{
	return w->options.witnesses >> node & 1;
}

static enum node_mode mode_of(const struct world *w, unsigned node)
{
	if (world_is_witness(w, node))
		return NODE_WITNESS;
	return node <= w->options.coordinators ? NODE_COORDINATOR : NODE_HYPERVISOR;
}

unsigned world_voters_wanted(const struct world *w)
{
	unsigned eligible = 0;
	for (unsigned i = 1; i <= w->options.nodes; i++)
		eligible += mode_of(w, i) != NODE_HYPERVISOR;
	return members_voters_wanted(eligible);
}

/* As `pvc cluster token` and `pvc cluster join` do it, asked of anybody who is there. */
static void join(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	struct sim_node *by = w->nodes[number ? 1 + world_random(w, w->node_count) : 1];
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 3600000}};
	struct command command = {.number = COMMAND_join};
	if (w->nodes[node]->raft_id)
		return;
	snprintf(token.token.hash, sizeof(token.token.hash), "%064u", node);
	snprintf(command.join.name, sizeof(command.join.name), "%u", node);
	snprintf(command.join.address, sizeof(command.join.address), "sim:%u", node);
	snprintf(command.join.incarnation, sizeof(command.join.incarnation), "sim-%u", node);
	snprintf(command.join.hash, sizeof(command.join.hash), "%064u", node);
	command.join.mode = mode_of(w, node);
	command.join.hypervisor = !world_is_witness(w, node);
	if (sim_node_serves(by)) {
		request_propose(by, &token, ASK_NONE, 0);
		request_propose(by, &command, ASK_JOIN, node);
		sim_node_settle(by);
	}
	world_at(w, w->now_ms + JOIN_AGAIN_MS, join, node, 1);
}

void world_join(struct world *w, unsigned node)
{
	join(w, node, 1, NULL);
}

void world_init(struct world *w, const struct world_options *options)
{
	*w = (struct world){.options = *options,
	    .random = options->seed,
	    .verify = verify_new(),
	    .guests = guests_new()};
	if (!w->options.replace_after_ms)
		w->options.replace_after_ms = REPLACE_AFTER_MS;
	for (unsigned i = 1; i <= options->nodes; i++)
		sim_node_add(w);
	found(w);
	for (unsigned i = 2; i <= options->founders; i++)
		world_at(w, 100 * i, join, i, 0);
}

void world_close(struct world *w)
{
	for (unsigned i = 1; i <= w->node_count; i++)
		sim_node_free(w->nodes[i]);
	events_close(&w->events);
	verify_free(w->verify);
	guests_free(w->guests);
	buffer_close(&w->trace);
}

/* Each second has room for what happens in it: messages that beget messages do not end. */
static void count_event(struct world *w)
{
	if (w->now_ms / 1000 != w->counted_s)
		w->counted = 0;
	w->counted_s = w->now_ms / 1000;
	if (++w->counted > EVENTS_MAX)
		world_fail(w, "more than %u events within one second: a storm", EVENTS_MAX);
}

void world_run(struct world *w, uint64_t until_ms)
{
	struct event event;
	while (!*w->failure && events_time(&w->events) <= until_ms) {
		events_next(&w->events, &event);
		w->now_ms = event.time_ms;
		count_event(w);
		event.run(w, event.node, event.number, event.bytes);
		free(event.bytes);
	}
	if (!*w->failure)
		w->now_ms = until_ms;
}

unsigned world_primary(const struct world *w)
{
	for (unsigned i = 1; i <= w->node_count; i++) {
		const struct sim_node *n = w->nodes[i];
		if (!n->powered || !n->daemon || !n->replica || !n->guard.held)
			continue;
		if (n->value.primary.node == n->raft_id &&
		    n->value.primary.state == COORDINATOR_PRIMARY)
			return i;
	}
	return 0;
}
