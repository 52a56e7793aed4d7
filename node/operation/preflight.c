#include "node/operation/preflight.h"

#include <errno.h>
#include <stdio.h>

#include "node/member/members.h"

/* Higher than any node's. */
#define NEWCOMER UINT64_MAX

static struct seat *seat_find(struct seats *seats, uint64_t id)
{
	for (unsigned i = 0; i < seats->n; i++)
		if (seats->items[i].id == id)
			return &seats->items[i];
	return NULL;
}

bool preflight_in_touch(const struct cluster *c, const struct health_log *log, uint64_t id)
{
	const struct replica_status *status = &log->status;
	if (status->role != REPLICA_LEADER || id == status->leader)
		return id == status->leader || health_member_well(c, id);
	for (unsigned i = 0; i < log->members_count; i++) {
		const struct replica_member *m = &log->members[i];
		/* A leader hears itself now. */
		if (m->id == id)
			return m->heard_ms && status->heard_ms <= m->heard_ms + MEMBERS_TOUCH_MS;
	}
	return false;
}

static void seats_look(struct seats *seats, const struct cluster *c, const struct health_log *log)
{
	seats_of(seats, c, log->members, log->members_count);
	seats->leader = log->status.leader;
	for (unsigned i = 0; i < seats->n; i++) {
		struct seat *s = &seats->items[i];
		const struct node *node = cluster_node(c, (uint32_t)s->id);
		s->live = preflight_in_touch(c, log, s->id);
		s->gone = !s->live && node && node->daemon_state == DAEMON_FENCED;
	}
}

static struct preflight_quorum quorum_of(const struct seats *seats, const struct seat *without)
{
	struct preflight_quorum q = {0};
	for (unsigned i = 0; i < seats->n; i++) {
		const struct seat *s = &seats->items[i];
		q.voters += s->voter && s != without;
		q.live += s->voter && s->live && s != without;
	}
	unsigned majority = q.voters / 2 + 1;
	q.holds = q.live >= majority;
	q.tolerance = q.holds ? q.live - majority : 0;
	return q;
}

/* What the command makes of the value. */
static void change_apply(struct seats *seats, const struct preflight_change *change)
{
	struct seat *node = seat_find(seats, change->node);
	struct seat *successor = seat_find(seats, change->successor);
	switch (change->kind) {
	case PREFLIGHT_ADD:
		if (seats->n < MEMBERS_SEATS_MAX)
			seats->items[seats->n++] = (struct seat){
			    .id = NEWCOMER, .mode = NODE_COORDINATOR, .known = true, .live = true};
		break;
	case PREFLIGHT_REPLACE:
		if (successor)
			successor->mode = NODE_COORDINATOR;
		/* fallthrough */
	case PREFLIGHT_REMOVE:
		if (node)
			node->known = false;
		break;
	case PREFLIGHT_PROMOTE:
		if (node)
			node->mode = NODE_COORDINATOR;
		break;
	case PREFLIGHT_DEMOTE:
		if (node)
			node->mode = NODE_HYPERVISOR;
		break;
	}
}

static void seat_remove(struct seats *seats, struct seat *s)
{
	*s = (struct seat){.id = s->id};
}

/* Until nothing is due any more: each change brings it nearer, so there is an end. */
static void settle(struct seats *seats)
{
	for (unsigned left = 4 * MEMBERS_SEATS_MAX; left > 0; left--) {
		struct member_change change = seats_change(seats);
		struct seat *s = seat_find(seats, change.id);
		if (change.type == MEMBER_CHANGE_NONE || !s)
			return;
		if (change.type == MEMBER_CHANGE_LEAD)
			seats->leader = change.id;
		else if (change.type == MEMBER_CHANGE_REMOVE)
			seat_remove(seats, s);
		else
			s->voter = change.role == MEMBER_VOTER;
		s->member = change.type != MEMBER_CHANGE_REMOVE;
	}
}

struct preflight preflight_of(
    const struct cluster *c, const struct health_log *log, const struct preflight_change *change)
{
	struct seats seats;
	struct preflight p = {.leaderless = !log->status.leader};
	seats_look(&seats, c, log);
	p.before = quorum_of(&seats, NULL);
	change_apply(&seats, change);
	settle(&seats);
	const struct seat *node = seat_find(&seats, change->node);
	const struct seat *comes = change->kind == PREFLIGHT_ADD ? seat_find(&seats, NEWCOMER)
				   : change->kind == PREFLIGHT_REPLACE
				       ? seat_find(&seats, change->successor)
				       : node;
	p.kept = node && node->voter && (!node->known || node->mode == NODE_HYPERVISOR);
	p.votes = comes && comes->voter;
	p.after = quorum_of(&seats, p.kept ? node : NULL);
	return p;
}

bool preflight_settled(const struct cluster *c, const struct health_log *log)
{
	struct seats seats;
	seats_look(&seats, c, log);
	if (seats_change(&seats).type != MEMBER_CHANGE_NONE)
		return false;
	for (unsigned i = 0; i < seats.n; i++) {
		const struct seat *s = &seats.items[i];
		if (s->voter && (!s->known || s->mode == NODE_HYPERVISOR))
			return false;
	}
	return true;
}

void preflight_print(const struct preflight *p, char text[PREFLIGHT_TEXT_MAX])
{
	snprintf(text, PREFLIGHT_TEXT_MAX,
	    "voters %u → %u, in touch %u → %u, failure tolerance %u → %u", p->before.voters,
	    p->after.voters, p->before.live, p->after.live, p->before.tolerance,
	    p->after.tolerance);
}

int preflight_judge(const struct preflight *p, struct err *err)
{
	char text[PREFLIGHT_TEXT_MAX];
	preflight_print(p, text);
	if (p->leaderless)
		return err_set(err, -EPERM,
		    "this node hears no leader, and without one nothing can be agreed on: start "
		    "the other voters, or, if they are lost for good, see pvc raft recover --help");
	if (!p->before.holds)
		return err_set(err, -EPERM,
		    "%s: with %u of %u voters in touch nothing can be agreed on: start the others, "
		    "or, if they are lost for good, see pvc raft recover --help",
		    text, p->before.live, p->before.voters);
	if (!p->after.holds)
		return err_set(err, -EPERM,
		    "%s: the quorum would not survive it: start the voters that are silent or "
		    "remove them first (pvc cluster member list), or repeat it with --force",
		    text);
	if (p->before.tolerance > 0 && p->after.tolerance == 0)
		return err_set(err, -EPERM,
		    "%s: no voter might fail any more: first add a coordinator or a witness (pvc "
		    "cluster member add NAME) or promote one (pvc cluster member promote NODE), or "
		    "repeat it with --force",
		    text);
	return 0;
}
