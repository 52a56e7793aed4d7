/* Elections: when one need not wait for libraft's time-out, and what libraft asks only once. */
#include "raft/core.h"

#define CAMPAIGN_STEP_MS 15 /* between the members when all call an election early */

/* Its place among the voters that are left. */
static unsigned rank_without(const struct replica *r, uint64_t gone)
{
	unsigned rank = 0;
	for (unsigned i = 0; i < r->n_members; i++) {
		const struct member *m = &r->members[i];
		rank += m->role == MEMBER_VOTER && m->id != gone && m->id < r->options.id;
	}
	return rank;
}

void election_leader_gone(struct replica *r)
{
	uint64_t leader = core_leader(r);
	/* Without a leader libraft grants pre-votes; it does not without its own time-out
	 * otherwise. */
	r->raft.follower_state.current_leader.id = 0;
	r->campaign_ms = r->now_ms + 1 + CAMPAIGN_STEP_MS * rank_without(r, leader);
}

/* Whoever has heard of no leader for an election time-out may vote for another (thesis 4.2.3).
 * libraft has it wait until its own, random time-out is over too, so that an election had to wait
 * for the second of them. */
void election_forget_silent_leader(struct replica *r)
{
	if (r->raft.state == RAFT_FOLLOWER &&
	    r->now_ms - r->raft.election_timer_start >= r->options.election_ms)
		r->raft.follower_state.current_leader.id = 0;
}

/* Everything has to be on the disk first: libraft would wait for another whole time-out. */
static void campaign(struct replica *r)
{
	bool ready = r->raft.state == RAFT_FOLLOWER && !r->installing &&
		     r->raft.last_stored == entries_last(&r->log) && r->now_ms >= r->vote_after_ms;
	if (r->raft.state != RAFT_FOLLOWER) {
		r->campaign_ms = 0;
		return;
	}
	if (!ready) {
		r->campaign_ms = r->now_ms + CAMPAIGN_STEP_MS;
		return;
	}
	r->campaign_ms = 0;
	r->raft.follower_state.randomized_election_timeout = 0;
	core_timeout(r);
}

/* libraft asks for votes once in a time-out. But somebody may just have been started, and may not
 * vote yet, or have no connection yet. */
static void ask_again(struct replica *r)
{
	const struct raft *raft = &r->raft;
	bool pre = raft->candidate_state.in_pre_vote;
	struct message m = {.kind = MESSAGE_vote_request};
	r->ask_ms = r->now_ms + r->options.heartbeat_ms;
	/* What waits for the disk has still to be asked for the first time. */
	if (r->vote_ticket > r->vote_written)
		return;
	m.vote_request.term = raft->current_term + pre;
	m.vote_request.last_index = raft->last_stored;
	m.vote_request.last_term = core_term_of(r, raft->last_stored);
	m.vote_request.flags =
	    (pre ? VOTE_PRE : 0) | (raft->candidate_state.disrupt_leader ? VOTE_DISRUPT : 0);
	for (unsigned i = 0; i < r->n_members; i++)
		if (r->members[i].role == MEMBER_VOTER)
			core_send(r, r->members[i].id, &m);
}

/* A vote for oneself is one, too. */
static uint64_t timeout_of(const struct replica *r)
{
	uint64_t next = raft_timeout(&r->raft);
	bool waits = r->raft.state == RAFT_FOLLOWER && next < r->vote_after_ms;
	return waits ? r->vote_after_ms : next;
}

void election_tick(struct replica *r)
{
	bool asks = r->raft.state == RAFT_CANDIDATE;
	if (r->campaign_ms && r->now_ms >= r->campaign_ms)
		campaign(r);
	else if (!core_leads(r) && r->now_ms >= timeout_of(r))
		core_timeout(r);
	else if (asks && r->now_ms >= r->ask_ms)
		ask_again(r);
}

uint64_t election_timeout(const struct replica *r)
{
	uint64_t next = core_leads(r) ? UINT64_MAX : timeout_of(r);
	if (r->campaign_ms && r->campaign_ms < next)
		next = r->campaign_ms;
	if (r->raft.state == RAFT_CANDIDATE && r->ask_ms < next)
		next = r->ask_ms;
	return next;
}
