#include "tools/sim/network.h"

#include <string.h>

#include "tools/sim/node.h"

#define LATE_MS_MAX 2000

struct packet {
	unsigned from;
	uint32_t size;
	uint8_t data[];
};

static void deliver(struct world *w, unsigned to, uint64_t number, void *bytes)
{
	const struct packet *packet = bytes;
	if (!w->cut[packet->from][to])
		sim_node_receive(w->nodes[to], packet->from, packet->data, packet->size);
}

static void send_once(
    struct world *w, unsigned from, unsigned to, const uint8_t *bytes, size_t size)
{
	struct packet *packet = must_alloc(sizeof(*packet) + size);
	packet->from = from;
	packet->size = (uint32_t)size;
	memcpy(packet->data, bytes, size);
	uint64_t delay_ms = 1 + world_random(w, w->options.delay_ms_max);
	if (w->options.late_permille && world_random(w, 1000) < w->options.late_permille)
		delay_ms += world_random(w, LATE_MS_MAX);
	events_add(&w->events,
	    (struct event){
		.time_ms = w->now_ms + delay_ms, .run = deliver, .node = to, .bytes = packet});
}

void network_send(struct world *w, unsigned from, unsigned to, const uint8_t *bytes, size_t size)
{
	if (w->cut[from][to] || world_random(w, 1000) < w->options.drop_permille)
		return;
	send_once(w, from, to, bytes, size);
	if (world_random(w, 1000) < w->options.double_permille)
		send_once(w, from, to, bytes, size);
}

static void notice(struct world *w, unsigned node, uint64_t lost, void *bytes)
{
	if (w->cut[lost][node])
		return;
	if (w->now_ms < w->nodes[node]->paused_until_ms)
		world_at(w, w->nodes[node]->paused_until_ms, notice, node, lost);
	else
		sim_node_lost(w->nodes[node], (unsigned)lost);
}

void network_closed(struct world *w, unsigned node)
{
	for (unsigned i = 1; i <= w->node_count; i++)
		if (i != node && !w->cut[node][i])
			world_at(w, w->now_ms + 1 + world_random(w, 3), notice, i, node);
}

void network_cut(struct world *w, unsigned node, bool cut)
{
	for (unsigned i = 1; i <= w->node_count; i++)
		if (i != node)
			w->cut[node][i] = w->cut[i][node] = cut;
}
