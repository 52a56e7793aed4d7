#include "node/vm/movers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/log/log.h"

/* One that has nothing to do any more is kept for so long. */
#define IDLE_MS 5000
/* Of the first call, which opens the connection before it is needed. */
#define OPEN_DEADLINE_MS 10000

struct hand { /* one process */
	struct hand *next; /* of those that come and go */
	struct movers *movers;
	char uuid[37]; /* of the VM it is for; "": any */
	struct hypervisor_client *client; /* NULL: not needed yet */
	unsigned under_way; /* orders */
	uint64_t needed_ms; /* when it last was */
};

struct movers {
	uv_loop_t *loop;
	const struct config *config;
	bool alone;
	struct hand looks, ends, questions, starts[PLAN_STARTS_MAX];
	struct hand *first; /* of VMs that come and go */
	unsigned open; /* processes, and m itself while it is not closed */
	void (*closed)(void *data);
	void *closed_data;
};

struct handed { /* an order */
	struct hand *hand;
	void (*done)(void *data, int status, const struct err *err);
	void *data;
};

/* Every change of how it answers is the collector's to tell, what came of an action execute's. */
static void told(void *data, enum worker_event event, const char *text)
{
	log_debug("hypervisor worker", "%s", text);
}

static struct hypervisor_client *client_of(struct hand *hand)
{
	struct movers *m = hand->movers;
	const struct config_hypervisor_port *port = &m->config->hypervisor;
	if (hand->client)
		return hand->client;
	m->open++;
	return hand->client = hypervisor_client_new(&(struct hypervisor_client_options){
		   .loop = m->loop,
		   .driver = config_hypervisor_names[port->driver],
		   .uri = port->uri,
		   .told = told,
		   .data = hand,
	       });
}

struct movers *movers_new(uv_loop_t *loop, const struct config *config)
{
	struct movers *m = must_alloc(sizeof(*m));
	*m = (struct movers){.loop = loop, .config = config, .open = 1};
	m->alone = strstr(config->hypervisor.uri, ":///embed") != NULL;
	m->looks.movers = m->ends.movers = m->questions.movers = m;
	for (unsigned i = 0; i < PLAN_STARTS_MAX; i++)
		m->starts[i].movers = m;
	client_of(&m->looks);
	return m;
}

bool movers_alone(const struct movers *m)
{
	return m->alone;
}

struct hypervisor_client *movers_looks(struct movers *m)
{
	return client_of(&m->looks);
}

static struct hand *hand_for_start(struct movers *m)
{
	for (unsigned i = 0; i < PLAN_STARTS_MAX; i++)
		if (!m->starts[i].under_way)
			return &m->starts[i];
	return &m->starts[0];
}

static struct hand *hand_of(const struct movers *m, const char *uuid)
{
	struct hand *hand = m->first;
	while (hand && strcmp(hand->uuid, uuid) != 0)
		hand = hand->next;
	return hand;
}

static void opened(void *data, const struct hypervisor_listing *listing)
{
	/* Who needs it hears by itself when it does not answer. */
}

static struct hand *hand_open(struct movers *m, const char *uuid)
{
	struct hand *hand = must_alloc(sizeof(*hand));
	*hand = (struct hand){.movers = m, .next = m->first};
	memcpy(hand->uuid, uuid, sizeof(hand->uuid));
	m->first = hand;
	hypervisor_list(client_of(hand), OPEN_DEADLINE_MS, opened, NULL);
	return hand;
}

static struct hand *hand_for(struct movers *m, const struct action *action)
{
	struct hand *own = hand_of(m, action->uuid);
	if (m->alone)
		return &m->looks;
	switch (action->type) {
	case ACTION_START:
		return hand_for_start(m);
	case ACTION_MIGRATE:
		return own ? own : hand_open(m, action->uuid);
	case ACTION_RESUME:
		/* One that is at something else is not waited for. */
		return own && !own->under_way ? own : &m->ends;
	case ACTION_SHUTDOWN:
	case ACTION_STOP:
	case ACTION_ABORT:
		break;
	}
	return &m->ends;
}

static void ordered(void *data, int status, const struct err *err)
{
	struct handed handed = *(struct handed *)data;
	free(data);
	handed.hand->under_way--;
	handed.done(handed.data, status, err);
}

static int hand_order(struct hand *hand, const struct hypervisor_order *order)
{
	struct hypervisor_order own = *order;
	struct handed *handed = must_alloc(sizeof(*handed));
	*handed = (struct handed){.hand = hand, .done = order->done, .data = order->data};
	own.done = ordered;
	own.data = handed;
	hand->under_way++;
	int result = hypervisor_order(client_of(hand), &own);
	if (result) {
		hand->under_way--;
		free(handed);
	}
	return result;
}

int movers_order(
    struct movers *m, const struct action *action, const struct hypervisor_order *order)
{
	return hand_order(hand_for(m, action), order);
}

int movers_question(struct movers *m, const struct hypervisor_order *order)
{
	struct hand *hand = m->alone ? &m->looks : &m->questions;
	/* Past its deadline a process is ended, with what it was doing before. */
	return m->alone && hand->under_way ? -EBUSY : hand_order(hand, order);
}

static void movers_drop(struct movers *m)
{
	if (--m->open)
		return;
	m->closed(m->closed_data);
	free(m);
}

static void hand_closed(void *data)
{
	struct hand *hand = data;
	struct movers *m = hand->movers;
	if (*hand->uuid)
		free(hand);
	movers_drop(m);
}

/* Its orders are answered, and then it is gone. */
static void hand_close(struct movers *m, struct hand *hand)
{
	struct hand **at = &m->first;
	while (*at != hand)
		at = &(*at)->next;
	*at = hand->next;
	hypervisor_client_close(hand->client, hand_closed, hand);
}

static void hand_turn(struct hand *hand, const struct local_vm *vm, uint64_t now)
{
	struct movers *m = hand->movers;
	if ((vm && vm->moving) || hand->under_way)
		hand->needed_ms = now;
	if (vm && hand->under_way && plan_is_stuck(vm, now)) {
		log_warning("VM %s: its migration does not go on: its worker is ended", vm->uuid);
		hand_close(m, hand);
	} else if (now - hand->needed_ms >= IDLE_MS) {
		hand_close(m, hand);
	}
}

uint64_t movers_turn(struct movers *m, const struct local *local, uint64_t now)
{
	if (m->alone)
		return UINT64_MAX;
	for (unsigned i = 0; i < local->count; i++)
		if (local->vms[i].moving && !hand_of(m, local->vms[i].uuid))
			hand_open(m, local->vms[i].uuid)->needed_ms = now;
	for (struct hand *hand = m->first, *next; hand; hand = next) {
		next = hand->next;
		hand_turn(hand, local_find(local, hand->uuid), now);
	}
	return m->first ? now + IDLE_MS : UINT64_MAX;
}

void movers_close(struct movers *m, void (*closed)(void *data), void *data)
{
	struct hand *fixed[3 + PLAN_STARTS_MAX] = {&m->looks, &m->ends, &m->questions};
	for (unsigned i = 0; i < PLAN_STARTS_MAX; i++)
		fixed[3 + i] = &m->starts[i];
	m->closed = closed;
	m->closed_data = data;
	while (m->first)
		hand_close(m, m->first);
	for (unsigned i = 0; i < 3 + PLAN_STARTS_MAX; i++)
		if (fixed[i]->client)
			hypervisor_client_close(fixed[i]->client, hand_closed, fixed[i]);
	movers_drop(m);
}
