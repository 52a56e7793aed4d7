/* Changes of the configuration, and the transfer of leadership.
 *
 * A change is worked off by level: look at the newest configuration, make the next entry
 * that brings it nearer to what is wanted, wait until that is applied, look again. */
#include <errno.h>
#include <string.h>

#include "raft/core.h"

static void current(const struct replica *r, struct configuration *out)
{
	const struct raft_configuration *c = &r->raft.configuration;
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < c->n; i++)
		configuration_set(out, c->servers[i].id, c->servers[i].address,
		    (enum member_role)c->servers[i].role);
}

static int wanted(struct configuration *c, const struct change *change)
{
	const struct configuration_member *m = &change->member;
	if (change->remove)
		return configuration_remove(c, m->id);
	return configuration_set(c, m->id, m->address, m->role);
}

static void finish(struct replica *r, int result, uint64_t index)
{
	r->change.stage = CHANGE_NONE;
	core_answer(r, r->change.request, result, index);
}

void membership_begin(struct replica *r, const struct change *change)
{
	struct configuration c;
	int refused = 0;
	current(r, &c);
	if (!core_leads(r))
		refused = -ENOTCONN;
	/* Not itself: if it goes down before others have the entry, it alone has the longest log,
	 * and by its own newest configuration may neither campaign nor vote (libraft does not
	 * follow thesis 4.2.2 there). */
	else if (change->member.id == r->options.id)
		refused = -EINVAL;
	else if (r->change.stage != CHANGE_NONE || r->transferring || r->disk_failed)
		refused = -EBUSY;
	else
		refused = wanted(&c, change);
	if (refused) {
		core_answer(r, change->request, refused, 0);
		return;
	}
	r->change = *change;
	r->change.stage = CHANGE_WAIT;
	core_deadline(r, change->deadline_ms);
}

static void submit(struct replica *r, const struct configuration *c)
{
	struct buffer bytes = {0};
	configuration_encode(c, &bytes);
	if (core_submit(r, DISK_CHANGE, bytes.data, bytes.size) == 0) {
		r->change.stage = CHANGE_COMMIT;
		r->change.submitted = true;
		r->change.index = entries_last(&r->log);
	}
	buffer_close(&bytes);
}

static void catch_up(struct replica *r)
{
	struct raft_event event = {.type = RAFT_CATCH_UP};
	event.catch_up.server_id = r->change.member.id;
	core_step(r, &event);
	r->change.stage = CHANGE_CATCH_UP;
}

/* A leader changes nothing before an entry of its own term is committed: libraft does not see
 * to it, and two leaders' changes could then make majorities that do not meet. */
static bool may_change(const struct replica *r)
{
	return r->applied >= r->term_start && !r->transferring && !r->disk_failed &&
	       r->raft.configuration_uncommitted_index == 0 &&
	       r->raft.leader_state.promotee_id == 0;
}

static void next_step(struct replica *r)
{
	struct change *change = &r->change;
	struct configuration c;
	current(r, &c);
	struct configuration_member *m = configuration_find(&c, change->member.id);
	bool promotion = !change->remove && change->member.role == MEMBER_VOTER;
	bool done = change->remove ? !m : m && m->role == change->member.role;
	if (done) {
		finish(r, 0, change->submitted ? change->index : r->applied);
		return;
	}
	if (promotion && m && core_match(r, m->id) != entries_last(&r->log)) {
		catch_up(r);
		return;
	}
	struct change step = *change;
	if (promotion && !m)
		step.member.role = MEMBER_STANDBY;
	if (wanted(&c, &step) != 0)
		finish(r, -EINVAL, 0);
	else
		submit(r, &c);
}

static void check_catch_up(struct replica *r)
{
	int status = RAFT_CATCH_UP_ABORTED;
	if (raft_catch_up(&r->raft, r->change.member.id, &status) != 0 ||
	    status == RAFT_CATCH_UP_ABORTED)
		r->change.stage = CHANGE_WAIT; /* once more, until the deadline */
	if (status != RAFT_CATCH_UP_FINISHED || !may_change(r))
		return;
	struct configuration c;
	current(r, &c);
	if (wanted(&c, &r->change) == 0)
		submit(r, &c);
}

/* A transfer that failed after the other was told to campaign: it may still do so, at any time
 * later, and the voters would follow it whatever they promised. Only a new term ends that. */
static void settle_transfer(struct replica *r)
{
	if (!r->transferring || raft_transferee(&r->raft) != 0)
		return;
	r->transferring = false;
	if (r->transfer_sent)
		core_bump_term(r);
}

void membership_settle(struct replica *r)
{
	if (core_leads(r))
		settle_transfer(r);
	if (!core_leads(r))
		return;
	switch (r->change.stage) {
	case CHANGE_WAIT:
		if (may_change(r))
			next_step(r);
		break;
	case CHANGE_CATCH_UP:
		check_catch_up(r);
		break;
	case CHANGE_COMMIT:
	case CHANGE_NONE:
		break;
	}
}

void membership_applied(struct replica *r, uint64_t index)
{
	if (r->change.stage == CHANGE_COMMIT && r->change.index == index)
		r->change.stage = CHANGE_WAIT;
}

void membership_fail(struct replica *r)
{
	if (r->change.stage != CHANGE_NONE)
		finish(r, r->change.submitted ? -ETIMEDOUT : -ENOTCONN, 0);
}

uint64_t membership_expire(struct replica *r)
{
	if (r->change.stage == CHANGE_NONE)
		return UINT64_MAX;
	if (r->change.deadline_ms > r->now_ms)
		return r->change.deadline_ms;
	finish(r, -ETIMEDOUT, 0);
	return UINT64_MAX;
}

/* ---- Transfer ---- */

uint64_t membership_successor(struct replica *r)
{
	uint64_t best = 0, longest = 0;
	for (unsigned i = 0; core_leads(r) && i < r->n_members; i++) {
		const struct member *m = &r->members[i];
		bool heard = core_heard(r, m);
		if (m->role != MEMBER_VOTER || m->id == r->options.id || !heard)
			continue;
		if (best && core_match(r, m->id) <= longest)
			continue;
		best = m->id;
		longest = core_match(r, m->id);
	}
	return best;
}

int membership_transfer(struct replica *r, uint64_t to)
{
	const struct member *m = core_member(r, to ? to : membership_successor(r));
	if (!core_leads(r))
		return -ENOTCONN;
	if (r->transferring)
		return -EBUSY;
	if (!m || m->role != MEMBER_VOTER || m->id == r->options.id)
		return -EINVAL;
	/* It would cost the lease, for nothing. */
	if (!core_heard(r, m))
		return -EHOSTDOWN;
	struct raft_event event = {.type = RAFT_TRANSFER};
	event.transfer.server_id = m->id;
	r->transferring = true;
	r->transfer_sent = false;
	if (core_step(r, &event) != 0) {
		r->transferring = false;
		return -EBUSY;
	}
	return 0;
}

/* libraft says "campaign now" once, often before the other has the last entry and may; and the
 * message can be lost. */
static void say_again(struct replica *r)
{
	uint64_t to = raft_transferee(&r->raft), last = entries_last(&r->log);
	if (!r->transferring || to == 0 || core_match(r, to) != last)
		return;
	struct message m = {.kind = MESSAGE_timeout_now};
	m.timeout_now = (struct message_timeout_now){
	    .term = r->raft.current_term, .last_index = last, .last_term = core_term_of(r, last)};
	r->transfer_sent = true;
	core_send(r, to, &m);
}

void membership_appended(struct replica *r, uint64_t from)
{
	if (core_leads(r) && raft_transferee(&r->raft) == from)
		say_again(r);
}

void membership_beat(struct replica *r)
{
	say_again(r);
}
