#include "node/primary/coordinator.h"

#include <stdio.h>
#include <string.h>

#include "fsm/node.h"
#include "fsm/primary.h"

/* A command whose effect does not show is proposed again after this. */
#define TELL_AGAIN_MS	  1000
#define TRANSFER_AGAIN_MS 1000

/* Propose command unless the very same was proposed a moment ago. */
static void tell(
    struct coordinator *co, uint64_t epoch, struct coordinator_turn *turn, uint64_t now_ms)
{
	const struct command *command = &turn->command;
	if (co->told == command->number && co->epoch_told == epoch &&
	    now_ms - co->told_ms < TELL_AGAIN_MS)
		return;
	co->told = command->number;
	co->epoch_told = epoch;
	co->told_ms = now_ms;
	turn->propose = true;
}

static void tell_takeover(struct coordinator *co, const struct standing *standing,
    struct coordinator_turn *turn, uint64_t now_ms)
{
	turn->command = (struct command){
	    .number = COMMAND_takeover,
	    .takeover = {.node = standing->id, .epoch = standing->term},
	};
	tell(co, standing->term, turn, now_ms);
}

static void tell_step(struct coordinator *co, const struct cluster *c, const char *step,
    struct coordinator_turn *turn, uint64_t now_ms)
{
	if (!strcmp(c->primary.step, step))
		return;
	if (strcmp(co->step_told, step) != 0)
		co->told = COMMAND_NONE;
	snprintf(co->step_told, sizeof(co->step_told), "%s", step);
	turn->command = (struct command){
	    .number = COMMAND_primary_step,
	    .primary_step = {.node = c->primary.node, .epoch = c->primary.epoch},
	};
	snprintf(
	    turn->command.primary_step.step, sizeof(turn->command.primary_step.step), "%s", step);
	tell(co, c->primary.epoch, turn, now_ms);
}

uint64_t coordinator_serve_ms(
    const struct standing *standing, const struct coordinator_options *options)
{
	uint64_t stopped_ms = standing->leader_since_ms + options->lease_ms;
	return standing->free_ms > stopped_ms ? standing->free_ms : stopped_ms;
}

/* 1. Nobody may hold what we are about to take: the others said so, or no lease
 *    of theirs is left. An election called early broke a promise that such a lease
 *    stands on, and free_ms says how long it would have lasted. Beyond that
 *    services get the time of a lease to stop. */
static void may_hold(const struct cluster *c, const struct standing *standing,
    const struct coordinator_options *options, uint64_t now_ms, struct coordinator_turn *turn)
{
	bool said = primary_may_begin(c, standing->id);
	turn->hold = said || now_ms >= standing->free_ms;
	turn->serve = said || now_ms >= coordinator_serve_ms(standing, options);
}

/* 2. Everything answers, or was tried and failed and is shown: NULL. Otherwise what is awaited. */
static const char *step_under_way(const struct holding *h, const struct coordinator_turn *turn)
{
	bool addresses = h->addresses_held + h->addresses_failed >= h->addresses_wanted;
	bool services = h->services_tried >= h->services_wanted;
	if (!turn->hold)
		return "waiting for the old primary's lease";
	if (addresses && services)
		return NULL;
	if (*h->text)
		return h->text;
	return addresses && !turn->serve ? "waiting for the old primary's services"
					 : "taking addresses";
}

static void primary_turn(struct coordinator *co, const struct cluster *c,
    const struct standing *standing, const struct coordinator_options *options,
    const struct holding *holding, uint64_t now_ms, struct coordinator_turn *turn)
{
	may_hold(c, standing, options, now_ms, turn);
	const char *step = step_under_way(holding, turn);
	if (turn->hold && c->primary.state == COORDINATOR_PRIMARY)
		return;
	if (step) {
		tell_step(co, c, step, turn, now_ms);
		return;
	}
	turn->command = (struct command){
	    .number = COMMAND_primary,
	    .primary = {.node = standing->id, .epoch = c->primary.epoch},
	};
	tell(co, c->primary.epoch, turn, now_ms);
}

static void let_go_turn(struct coordinator *co, const struct cluster *c,
    const struct standing *standing, const struct holding *holding, uint64_t now_ms,
    struct coordinator_turn *turn)
{
	const struct node *me = cluster_node(c, standing->id);
	if (!me || me->coordinator_state != COORDINATOR_RELINQUISH)
		return;
	if (!holding->addresses_gone || !holding->services_gone)
		return;
	turn->command = (struct command){
	    .number = COMMAND_relinquished,
	    .relinquished = {.node = me->id, .epoch = c->primary.epoch},
	};
	tell(co, c->primary.epoch, turn, now_ms);
}

/* Somebody asked for another primary: only a node that is heard can become it. */
static void wish_turn(struct coordinator *co, const struct cluster *c,
    const struct standing *standing, uint64_t now_ms, struct coordinator_turn *turn)
{
	const struct node *wanted = cluster_node(c, c->primary.wanted);
	if (!wanted || wanted->id == standing->id || wanted->mode != NODE_COORDINATOR)
		return;
	if (co->transfer_ms && now_ms - co->transfer_ms < TRANSFER_AGAIN_MS)
		return;
	co->transfer_ms = now_ms;
	turn->transfer_to = wanted->id;
}

void coordinator_turn(struct coordinator *co, const struct cluster *c,
    const struct standing *standing, const struct coordinator_options *options,
    const struct holding *holding, uint64_t now_ms, struct coordinator_turn *turn)
{
	*turn = (struct coordinator_turn){0};
	const struct node *me = cluster_node(c, standing->id);
	if (!me)
		return;
	bool mine = c->primary.node == standing->id && c->primary.epoch == standing->term;
	if (standing->leader && mine)
		primary_turn(co, c, standing, options, holding, now_ms, turn);
	else if (standing->leader && me->mode == NODE_COORDINATOR &&
		 c->primary.epoch < standing->term)
		tell_takeover(co, standing, turn, now_ms);
	if (!turn->hold && !turn->propose)
		let_go_turn(co, c, standing, holding, now_ms, turn);
	if (standing->leader)
		wish_turn(co, c, standing, now_ms, turn);
}
