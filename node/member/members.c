#include "node/member/members.h"

#include <stdio.h>
#include <string.h>

#include "fsm/node.h"

unsigned members_voters_wanted(unsigned eligible)
{
	unsigned most = eligible < MEMBERS_VOTERS_MAX ? eligible : MEMBERS_VOTERS_MAX;
	return most < 3 || most % 2 ? most : most - 1;
}

static bool may_vote(const struct seat *s)
{
	return s->known && s->mode != NODE_HYPERVISOR;
}

/* The voters as they are, and of those who may vote. */
struct count {
	unsigned voters, live; /* all that raft counts */
	unsigned eligible, seated; /* who may vote, and who of them does */
};

static struct count count_of(const struct seats *seats)
{
	struct count count = {0};
	for (unsigned i = 0; i < seats->n; i++) {
		const struct seat *s = &seats->items[i];
		count.voters += s->voter;
		count.live += s->voter && s->live;
		count.eligible += may_vote(s);
		count.seated += s->voter && may_vote(s);
	}
	return count;
}

static unsigned majority(unsigned voters)
{
	return voters / 2 + 1;
}

static bool leads(const struct seats *seats, const struct seat *s)
{
	return s->id == seats->leader;
}

static struct member_change change_of(
    enum member_change_type type, const struct seat *s, enum member_role role)
{
	return (struct member_change){.type = type, .id = s->id, .role = role};
}

/* 1. */
static const struct seat *successor(const struct seats *seats)
{
	const struct seat *best = NULL;
	for (unsigned i = 0; i < seats->n; i++) {
		const struct seat *s = &seats->items[i];
		if (leads(seats, s) && s->known && s->mode == NODE_COORDINATOR)
			return NULL;
		if (leads(seats, s) || !s->known || s->mode != NODE_COORDINATOR || !s->voter ||
		    !s->live)
			continue;
		if (!best || s->heard_ms > best->heard_ms)
			best = s;
	}
	return best;
}

/* 3. Who is to have a place that is free; NULL: nobody. */
static const struct seat *waiting(const struct seats *seats, enum node_mode mode)
{
	for (unsigned i = 0; i < seats->n; i++) {
		const struct seat *s = &seats->items[i];
		if (s->known && s->member && !s->voter && s->live && s->mode == mode)
			return s;
	}
	return NULL;
}

/* 4. Who is to vote beside one that is then too many; NULL: nobody. */
static const struct seat *substitute(const struct seats *seats, const struct count *count)
{
	const struct seat *coordinator = waiting(seats, NODE_COORDINATOR);
	const struct seat *anybody = coordinator ? coordinator : waiting(seats, NODE_WITNESS);
	for (unsigned i = 0; i < seats->n; i++) {
		const struct seat *s = &seats->items[i];
		if (!s->voter || !may_vote(s))
			continue;
		if (s->gone && anybody)
			return anybody;
		if (s->mode == NODE_WITNESS && coordinator)
			return coordinator;
	}
	return NULL;
}

/* Would a majority be in touch without this voter? */
static bool survives(const struct count *count, const struct seat *s)
{
	return count->live - s->live >= majority(count->voters - 1);
}

/* 5. */
static struct member_change dismiss(const struct seats *seats, const struct count *count)
{
	for (unsigned i = 0; i < seats->n; i++) {
		const struct seat *s = &seats->items[i];
		if (!s->member || may_vote(s) || leads(seats, s))
			continue;
		if (s->voter && !survives(count, s))
			continue;
		if (!s->known)
			return change_of(MEMBER_CHANGE_REMOVE, s, MEMBER_STANDBY);
		if (s->voter)
			return change_of(MEMBER_CHANGE_SET, s, MEMBER_STANDBY);
	}
	return (struct member_change){0};
}

/* 6. The higher, the sooner it gives its place up. */
static unsigned dispensable(const struct seat *s)
{
	return (s->gone ? 4 : 0) + (s->live ? 0 : 2) + (s->mode == NODE_WITNESS);
}

static const struct seat *surplus(const struct seats *seats, const struct count *count)
{
	const struct seat *best = NULL;
	for (unsigned i = 0; i < seats->n; i++) {
		const struct seat *s = &seats->items[i];
		if (!s->voter || !may_vote(s) || leads(seats, s))
			continue;
		if (!best || dispensable(s) >= dispensable(best))
			best = s;
	}
	if (!best)
		return NULL;
	/* The tolerance: how many of the live are more than the majority. */
	bool lowers = count->live - best->live + majority(count->voters) <
		      count->live + majority(count->voters - 1);
	return lowers ? NULL : best;
}

static struct member_change change_voters(const struct seats *seats, const struct count *count)
{
	unsigned wanted = members_voters_wanted(count->eligible);
	const struct seat *s = NULL;
	/* It is more likely that we are the ones who cannot hear. */
	if (count->live * 2 < count->voters)
		return (struct member_change){0};
	if (count->seated < wanted) {
		s = waiting(seats, NODE_COORDINATOR);
		s = s ? s : waiting(seats, NODE_WITNESS);
	} else if (count->seated == wanted) {
		s = substitute(seats, count);
	}
	if (s)
		return change_of(MEMBER_CHANGE_SET, s, MEMBER_VOTER);
	struct member_change change = dismiss(seats, count);
	if (change.type == MEMBER_CHANGE_NONE && count->seated > wanted)
		s = surplus(seats, count);
	return s ? change_of(MEMBER_CHANGE_SET, s, MEMBER_STANDBY) : change;
}

struct member_change seats_change(const struct seats *seats)
{
	struct count count = count_of(seats);
	const struct seat *next = successor(seats);
	if (next)
		return change_of(MEMBER_CHANGE_LEAD, next, MEMBER_VOTER);
	for (unsigned i = 0; i < seats->n; i++) {
		const struct seat *s = &seats->items[i];
		if (!s->known || s->member)
			continue;
		if (s->follows && s->follows != seats->leader)
			return (struct member_change){MEMBER_CHANGE_REMOVE, .id = s->follows};
		return change_of(MEMBER_CHANGE_SET, s, MEMBER_STANDBY);
	}
	return change_voters(seats, &count);
}

static struct seat *seat_find(struct seats *seats, uint64_t id)
{
	for (unsigned i = 0; i < seats->n; i++)
		if (seats->items[i].id == id)
			return &seats->items[i];
	return NULL;
}

/* No two members have one address. */
static void find_follower(
    struct seats *seats, const struct cluster *c, const struct replica_member *former)
{
	cluster_each(c->nodes, struct node, node)
	{
		struct seat *s = seat_find(seats, node->id);
		if (!strcmp(node->address, former->address))
			s->follows = former->id;
	}
}

void seats_of(
    struct seats *seats, const struct cluster *c, const struct replica_member *members, unsigned n)
{
	seats->n = 0;
	seats->leader = 0;
	cluster_each(c->nodes, struct node, node) seats->items[seats->n++] =
	    (struct seat){.id = node->id, .mode = node->mode, .known = true};
	for (unsigned i = 0; i < n; i++) {
		struct seat *s = seat_find(seats, members[i].id);
		if (!s) {
			s = &seats->items[seats->n++];
			*s = (struct seat){.id = members[i].id};
		}
		s->heard_ms = members[i].heard_ms;
		s->member = true;
		s->voter = members[i].role == MEMBER_VOTER;
		if (!s->known)
			find_follower(seats, c, &members[i]);
	}
}

static bool in_touch(const struct members_view *view, const struct seat *s)
{
	return s->id == view->self ||
	       (s->heard_ms && view->now_ms <= s->heard_ms + MEMBERS_TOUCH_MS);
}

static bool gone_for_good(const struct members_view *view, const struct node *node)
{
	const struct cluster *c = view->cluster;
	return node->daemon_state == DAEMON_FENCED ||
	       c->settings.time_ms - node->seen_ms >= view->replace_after_ms;
}

struct member_change members_change(const struct members_view *view)
{
	const struct cluster *c = view->cluster;
	struct seats seats;
	/* Before `found` is applied the value says nothing about anybody. */
	if (!c->settings.schema)
		return (struct member_change){0};
	seats_of(&seats, c, view->members, view->n);
	seats.leader = view->self;
	for (unsigned i = 0; i < seats.n; i++) {
		struct seat *s = &seats.items[i];
		const struct node *node = cluster_node(c, (uint32_t)s->id);
		s->live = in_touch(view, s);
		s->gone = !s->live && node && gone_for_good(view, node);
	}
	struct member_change change = seats_change(&seats);
	const struct node *node = cluster_node(c, (uint32_t)change.id);
	if (node)
		snprintf(change.address, sizeof(change.address), "%s", node->address);
	return change;
}
