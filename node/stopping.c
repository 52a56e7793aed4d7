#include "node/stopping.h"

#include <stdio.h>

#include "fsm/history.h"
#include "node/member/health.h"

static const struct node *myself(const struct stopping_view *view)
{
	return cluster_node(view->cluster, view->node);
}

static bool late(const struct stopping *s, const struct stopping_view *view)
{
	return view->lost || view->now_ms - s->since_ms >= STOPPING_WORD_MS;
}

/* A VM on its way from here, or to here from a node that is there to send it. One that only waits
 * for its attempt does not count: nobody begins one from or to a node that is shutting down. */
static const struct vm *moving(const struct stopping_view *view)
{
	cluster_each(view->cluster->vms, struct vm, vm)
	{
		bool goes = vm->node == view->node && (vm->target || vm->arrived);
		bool comes = vm->target == view->node && vm->by == MIGRATION_LIVE &&
			     health_member_well(view->cluster, vm->node);
		if (goes || comes)
			return vm;
	}
	return NULL;
}

/* Who follows waits for our word that nothing is held here any more. */
static bool owes_word(const struct stopping *s, const struct stopping_view *view)
{
	const struct node *me = myself(view);
	if (s->step != STOPPING_LEAVING || view->leads)
		return false;
	return me->coordinator_state == COORDINATOR_RELINQUISH ||
	       me->coordinator_state == COORDINATOR_TAKEOVER ||
	       me->coordinator_state == COORDINATOR_PRIMARY;
}

void stopping_ask(struct stopping *s, uint64_t now_ms)
{
	if (s->step == STOPPING_NOT)
		*s = (struct stopping){.step = STOPPING_SAYING, .since_ms = now_ms};
	else
		s->hurried = true;
}

bool stopping_hands_on(const struct stopping *s)
{
	return s->step >= STOPPING_HANDING;
}

bool stopping_lets_go(const struct stopping *s, const struct stopping_view *view)
{
	bool nobody = !view->follower || late(s, view);
	return s->step >= STOPPING_LEAVING || (s->step == STOPPING_HANDING && nobody);
}

enum awaited {
	AWAITED_NOTHING,
	AWAITED_WORD,
	AWAITED_MOVE,
	AWAITED_ACTION,
	AWAITED_LEAD,
	AWAITED_HELD
};

static enum awaited saying_awaits(const struct stopping *s, const struct stopping_view *view)
{
	const struct node *me = myself(view);
	bool said = !me || (me->daemon_state == stopping_says(s) && !owes_word(s, view));
	return said || late(s, view) ? AWAITED_NOTHING : AWAITED_WORD;
}

static enum awaited ending_awaits(const struct stopping *s, const struct stopping_view *view)
{
	if (s->hurried)
		return AWAITED_NOTHING;
	/* Of a migration only the log can say that it is over. */
	bool told = !view->lost && !history_diverged_at(view->cluster);
	if (told && moving(view))
		return AWAITED_MOVE;
	return view->busy ? AWAITED_ACTION : AWAITED_NOTHING;
}

static enum awaited handing_awaits(const struct stopping *s, const struct stopping_view *view)
{
	bool lets_go = stopping_lets_go(s, view);
	if (view->leads && !lets_go)
		return AWAITED_LEAD;
	return view->gone ? AWAITED_NOTHING : AWAITED_HELD;
}

static enum awaited awaits(const struct stopping *s, const struct stopping_view *view)
{
	switch (s->step) {
	case STOPPING_SAYING:
	case STOPPING_LEAVING:
		return saying_awaits(s, view);
	case STOPPING_ENDING:
		return ending_awaits(s, view);
	case STOPPING_HANDING:
		return handing_awaits(s, view);
	case STOPPING_NOT:
	case STOPPING_DONE:
		break;
	}
	return AWAITED_NOTHING;
}

bool stopping_turn(struct stopping *s, const struct stopping_view *view)
{
	if (s->step == STOPPING_NOT || s->step == STOPPING_DONE || awaits(s, view))
		return false;
	s->step++;
	s->since_ms = view->now_ms;
	return true;
}

void stopping_awaits(
    const struct stopping *s, const struct stopping_view *view, char text[STOPPING_TEXT_MAX])
{
	static const char *const texts[] = {
	    [AWAITED_NOTHING] = "",
	    [AWAITED_WORD] = "the log is to say so",
	    [AWAITED_ACTION] = "a VM is being started or stopped",
	    [AWAITED_LEAD] = "another node is to lead",
	    [AWAITED_HELD] = "the primary's addresses and services are to be off",
	};
	enum awaited what = awaits(s, view);
	const struct vm *vm = what == AWAITED_MOVE ? moving(view) : NULL;
	if (!vm)
		snprintf(text, STOPPING_TEXT_MAX, "%s", texts[what]);
	else if (vm->target && vm->node == view->node)
		snprintf(text, STOPPING_TEXT_MAX, "%.63s is on its way to another node", vm->name);
	else
		snprintf(text, STOPPING_TEXT_MAX, "%.63s is on its way here", vm->name);
}

enum daemon_state stopping_says(const struct stopping *s)
{
	if (s->step == STOPPING_NOT)
		return DAEMON_INIT;
	return s->step < STOPPING_LEAVING ? DAEMON_SHUTDOWN : DAEMON_STOP;
}
