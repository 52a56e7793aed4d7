#include "tools/sim/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/check.h"
#include "fsm/history.h"
#include "raft/message.h"
#include "tools/sim/guest.h"
#include "tools/sim/node.h"

#define WHOLE_EVERY 16 /* entries */
#define TOUCH_TIMES                                                                                \
	4 /* election time-outs without a leader: no node may start anything after that */

struct statement { /* what a node says of itself by sending a message */
	uint64_t term; /* 0: nothing that must last */
	uint64_t vote; /* in that term; 0: nothing about it */
};

struct numbers { /* 64 bits by a small number; 0: not seen yet */
	uint64_t *items;
	uint64_t size;
};

struct verify {
	uint64_t terms[WORLD_NODES_MAX + 1]; /* the newest that each ever spoke of */
	struct numbers votes[WORLD_NODES_MAX + 1]; /* by term: whom each said it voted for */
	struct numbers leaders; /* by term: who led */
	struct numbers primaries; /* by epoch: who was primary */
	struct numbers hashes; /* by index: as the first replica had it */
	uint64_t checked_index; /* values up to here were looked at whole */
	uint64_t whole_index; /* and what runs, by them */
	uint64_t epochs[WORLD_NODES_MAX + 1]; /* of the value of each, since it was opened */
};

struct verify *verify_new(void)
{
	return must_alloc(sizeof(struct verify));
}

void verify_free(struct verify *v)
{
	for (unsigned i = 0; i <= WORLD_NODES_MAX; i++)
		free(v->votes[i].items);
	free(v->leaders.items);
	free(v->primaries.items);
	free(v->hashes.items);
	free(v);
}

/* What is there, after putting value there if nothing was. */
static uint64_t note(struct numbers *n, uint64_t at, uint64_t value)
{
	if (at >= n->size) {
		uint64_t size = at * 2 + 64;
		n->items = must_realloc(n->items, size * sizeof(*n->items));
		memset(n->items + n->size, 0, (size - n->size) * sizeof(*n->items));
		n->size = size;
	}
	if (!n->items[at])
		n->items[at] = value;
	return n->items[at];
}

/* Holders. */

static void check_address(struct world *w)
{
	unsigned holder = 0;
	for (unsigned i = 1; i <= w->node_count; i++) {
		if (!w->nodes[i]->guard.held)
			continue;
		if (holder)
			world_fail(
			    w, "n%u and n%u hold the floating address at one instant", holder, i);
		holder = i;
	}
}

void verify_holders(struct world *w)
{
	check_address(w);
}

void verify_starts(struct sim_node *n)
{
	struct replica_status s;
	replica_status(n->replica, &s);
	uint64_t silence_ms = sim_node_clock(n) - s.heard_ms;
	if (!s.leader || (s.leader != n->raft_id && silence_ms > TOUCH_TIMES * n->election_ms))
		world_fail(n->world, "n%u starts a VM, %" PRIu64 " ms after it heard a leader",
		    n->id, silence_ms);
	if (s.applied < s.leader_commit)
		world_fail(n->world,
		    "n%u starts a VM by index %" PRIu64 ", and has heard of %" PRIu64, n->id,
		    s.applied, s.leader_commit);
}

/* Terms and votes. */

/* To ask for a vote or to lead is to say that one voted for oneself. */
static struct statement statement_of(const struct message *m, uint64_t self, uint64_t to)
{
	switch (m->kind) {
	case MESSAGE_vote_request:
		if (m->vote_request.flags & VOTE_PRE)
			break;
		return (struct statement){m->vote_request.term, self};
	case MESSAGE_vote:
		if (m->vote.flags & VOTE_PRE)
			break;
		return (struct statement){m->vote.term, m->vote.flags & VOTE_GRANTED ? to : 0};
	case MESSAGE_append:
		return (struct statement){m->append.term, self};
	case MESSAGE_committed:
		return (struct statement){m->committed.term, self};
	case MESSAGE_ping:
		return (struct statement){m->ping.term, self};
	case MESSAGE_timeout_now:
		return (struct statement){m->timeout_now.term, self};
	case MESSAGE_appended:
		return (struct statement){m->appended.term, 0};
	case MESSAGE_pong:
		return (struct statement){m->pong.term, 0};
	default:
		break;
	}
	return (struct statement){0};
}

void verify_sends(struct sim_node *n, uint64_t to, const uint8_t *bytes, size_t size)
{
	struct verify *v = n->world->verify;
	struct message m;
	if (message_decode(bytes, size, &m))
		world_fail(n->world, "n%u sends what does not decode", n->id);
	struct statement s = statement_of(&m, n->raft_id, to);
	if (!s.term)
		return;
	bool voted = !s.vote || s.vote == n->disk.vote;
	if (n->disk.term < s.term || (n->disk.term == s.term && !voted))
		world_fail(n->world,
		    "n%u says %s of term %" PRIu64 ", and has term %" PRIu64 " vote %" PRIu64
		    " on its disk",
		    n->id, message_name(m.kind), s.term, n->disk.term, n->disk.vote);
	if (s.term < v->terms[n->id])
		world_fail(n->world, "n%u went back from term %" PRIu64 " to %" PRIu64, n->id,
		    v->terms[n->id], s.term);
	v->terms[n->id] = s.term;
	if (s.vote && note(&v->votes[n->id], s.term, s.vote) != s.vote)
		world_fail(n->world, "n%u voted twice in term %" PRIu64, n->id, s.term);
}

static void check_leader(struct sim_node *n)
{
	struct replica_status s;
	replica_status(n->replica, &s);
	if (s.role != REPLICA_LEADER)
		return;
	uint64_t other = note(&n->world->verify->leaders, s.term, n->id);
	if (other != n->id)
		world_fail(
		    n->world, "n%u and n%" PRIu64 " both led term %" PRIu64, n->id, other, s.term);
}

/* Values. */

static void check_hash(struct sim_node *n)
{
	uint64_t index = n->value.index;
	if (n->spoiled)
		return;
	uint64_t hash = note(&n->world->verify->hashes, index, n->value.hash);
	if (hash != n->value.hash)
		world_fail(n->world, "n%u: index %" PRIu64 ": another state hash than its peers",
		    n->id, index);
}

void verify_opened(struct sim_node *n)
{
	n->world->verify->epochs[n->id] = 0;
}

/* Between two entries: in the middle of one is a value that nobody acts by. */
static void check_whole(struct sim_node *n)
{
	struct verify *v = n->world->verify;
	check_hash(n);
	if (n->value.index <= v->whole_index || n->spoiled)
		return;
	v->whole_index = n->value.index;
	guests_verify(n);
}

void verify_turn(struct sim_node *n)
{
	check_leader(n);
	check_whole(n);
	if (history_diverged_at(&n->value) && !n->spoiled)
		world_fail(n->world, "n%u found that it has diverged at index %" PRIu64, n->id,
		    history_diverged_at(&n->value));
}

void verify_before(struct sim_node *n, uint64_t index)
{
	if (index < n->value.index)
		world_fail(n->world, "n%u applies index %" PRIu64 " after %" PRIu64, n->id, index,
		    n->value.index);
	if (index != n->value.index)
		check_whole(n);
}

static void check_epoch(struct sim_node *n)
{
	struct verify *v = n->world->verify;
	const struct primary *p = &n->value.primary;
	if (p->epoch < v->epochs[n->id])
		world_fail(n->world, "n%u: epoch %" PRIu64 " came after %" PRIu64, n->id, p->epoch,
		    v->epochs[n->id]);
	v->epochs[n->id] = p->epoch;
	if (p->epoch && note(&v->primaries, p->epoch, p->node) != p->node)
		world_fail(n->world, "epoch %" PRIu64 " has two primaries", p->epoch);
}

void verify_applied(struct sim_node *n, uint64_t index)
{
	struct verify *v = n->world->verify;
	struct err err = {{0}};
	check_epoch(n);
	/* The others have the same value, or another hash: looking once is enough. */
	if (index < v->checked_index)
		return;
	v->checked_index = index;
	/* A hash that went wrong stays wrong, and adding it up anew takes long. */
	bool whole = index % WHOLE_EVERY == 0;
	if (whole ? check_cluster(&n->value, &err) : check_rules(&n->value, &err))
		world_fail(n->world, "n%u: index %" PRIu64 ": %s", n->id, index, err.text);
}

void verify_acknowledged(struct sim_node *n, uint64_t index)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	unsigned voters = 0, have = 0;
	unsigned count = replica_members(n->replica, members, REPLICA_MEMBERS_MAX);
	if (n->value.index < index)
		world_fail(n->world,
		    "n%u says that index %" PRIu64 " is done and has applied %" PRIu64, n->id,
		    index, n->value.index);
	for (unsigned i = 0; i < count; i++) {
		if (members[i].role != MEMBER_VOTER)
			continue;
		const struct sim_node *voter = sim_node_by_raft_id(n->world, members[i].id);
		voters++;
		have += voter && sim_disk_last(&voter->disk) >= index;
	}
	/* One voter more may be on its way in, of which the entry did not need to know. */
	if (have * 2 < voters)
		world_fail(n->world,
		    "index %" PRIu64 " was acknowledged, but is on the disks of %u of %u voters",
		    index, have, voters);
}
