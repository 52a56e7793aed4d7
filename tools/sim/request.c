#include "tools/sim/request.h"

#define READ_TIMEOUT_MS 2000
#define NUMBER_BITS	56

static uint64_t request_of(enum ask_kind kind, uint64_t number)
{
	return (uint64_t)kind << NUMBER_BITS | number;
}

void request_bytes(
    struct sim_node *n, const struct buffer *operation, enum ask_kind kind, uint64_t number)
{
	uint64_t now_ms = sim_node_clock(n);
	if (n->replica)
		replica_propose(n->replica, request_of(kind, number), operation->data,
		    operation->size, now_ms + n->world->options.patience_ms, now_ms);
}

void request_propose(
    struct sim_node *n, struct command *command, enum ask_kind kind, uint64_t number)
{
	struct buffer bytes = {0};
	/* A tick is the leader's word for the whole cluster: nobody's client (fsm/command.h). */
	if (command->number != COMMAND_tick && command->number != COMMAND_probe) {
		command->client = n->client;
		command->sequence = ++n->sequence;
	}
	command_encode(command, &bytes);
	request_bytes(n, &bytes, kind, number);
	buffer_close(&bytes);
}

void request_read(struct sim_node *n, uint64_t number)
{
	uint64_t now_ms = sim_node_clock(n);
	if (n->replica)
		replica_read(
		    n->replica, request_of(ASK_READ, number), now_ms + READ_TIMEOUT_MS, now_ms);
}

static void joined(struct sim_node *newcomer, int result)
{
	if (result <= 0 || newcomer->raft_id)
		return;
	newcomer->raft_id = (uint32_t)result;
	sim_node_daemon(newcomer, true);
}

void request_answered(void *node, uint64_t request, int result, uint64_t index)
{
	struct sim_node *n = node;
	struct world *w = n->world;
	uint64_t number = request & ((1ull << NUMBER_BITS) - 1);
	enum ask_kind kind = (enum ask_kind)(request >> NUMBER_BITS);
	struct sim_answer answer = {n, kind, number, result, index};
	switch (kind) {
	case ASK_HELLO:
		n->agent.hello_done |= result >= 0;
		break;
	case ASK_JOIN:
		joined(w->nodes[number], result);
		break;
	case ASK_FENCE:
		w->nodes[number]->fence_pending = false;
		break;
	case ASK_USER:
	case ASK_READ:
		w->answered(w, &answer);
		break;
	case ASK_MEMBER:
	case ASK_NONE:
		break;
	}
}
