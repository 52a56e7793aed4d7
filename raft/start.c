/* A member from what its disk holds. */
#include <errno.h>
#include <stdlib.h>

#include "raft/core.h"

static int check_entries(const struct disk_state *s, struct err *err)
{
	uint64_t term = 1;
	for (unsigned i = 0; i < s->n; i++) {
		const struct disk_entry *e = &s->entries[i];
		uint64_t index = s->first + i;
		if (e->term < term || e->term >= MESSAGE_NUMBER_MAX || !message_entry_valid(e))
			return err_set(
			    err, -EBADMSG, "entry %llu does not decode", (unsigned long long)index);
		term = e->term;
	}
	if (s->n && (s->first == 0 || s->first >= MESSAGE_NUMBER_MAX))
		return err_set(err, -EBADMSG, "the log does not begin with an index");
	bool rooted = s->n == 0 || (s->first == 1 && s->entries[0].type == DISK_CHANGE);
	if (!s->has_snapshot && !rooted)
		return err_set(err, -EBADMSG,
		    "the log begins at %llu, and there is no snapshot before it",
		    (unsigned long long)s->first);
	return 0;
}

static int check_snapshot(const struct disk_state *s, struct err *err)
{
	const struct disk_snapshot *d = &s->snapshot;
	struct configuration scratch;
	if (!s->has_snapshot)
		return 0;
	if (d->index == 0 || d->term == 0 || d->configuration_index == 0 ||
	    d->configuration_index > d->index || d->index >= MESSAGE_NUMBER_MAX ||
	    configuration_decode(d->configuration, d->configuration_size, &scratch) != 0)
		return err_set(err, -EBADMSG, "the snapshot at %llu does not decode",
		    (unsigned long long)d->index);
	if (s->n && s->first > d->index + 1)
		return err_set(err, -EBADMSG,
		    "the log begins at %llu, but the snapshot ends at %llu",
		    (unsigned long long)s->first, (unsigned long long)d->index);
	return 0;
}

/* Entries that do not lead up to the snapshot are what its installation was to replace. */
static bool entries_count(const struct disk_state *s)
{
	if (s->n == 0 || !s->has_snapshot)
		return s->n > 0;
	uint64_t at = s->snapshot.index, last = s->first + s->n - 1;
	if (last < at)
		return false;
	return s->first > at || s->entries[at - s->first].term == s->snapshot.term;
}

static void load_log(struct replica *r, const struct disk_state *s)
{
	uint64_t first = s->has_snapshot ? s->snapshot.index + 1 : 1;
	bool count = entries_count(s);
	entries_init(&r->log, count ? s->first : first);
	for (unsigned i = 0; count && i < s->n; i++) {
		const struct disk_entry *e = &s->entries[i];
		entries_append(&r->log, (struct entry){.term = e->term,
					    .type = e->type,
					    .payload = payload_new(e->data, e->size)});
	}
}

static int load_snapshot(struct replica *r, const struct disk_state *s, struct err *err)
{
	const struct disk_snapshot *d = &s->snapshot;
	if (!s->has_snapshot)
		return 0;
	struct buffer bytes = {0};
	buffer_append(&bytes, d->configuration, d->configuration_size);
	buffer_append(&bytes, d->data, d->size);
	r->image = image_new(&bytes, d->configuration_size);
	r->image->index = d->index;
	r->image->term = d->term;
	r->image->configuration_index = d->configuration_index;
	r->applied = d->index;
	buffer_append(&r->configuration, d->configuration, d->configuration_size);
	r->configuration_index = d->configuration_index;
	const struct machine *machine = &r->ports.machine;
	int code = machine->restore(machine->data, d->index, d->data, d->size);
	if (code != 0)
		return err_set(err, code, "the snapshot at %llu cannot be restored",
		    (unsigned long long)d->index);
	return 0;
}

/* Whether the newest configuration, committed or not, has this member as its only voter. */
static bool starts_alone(const struct replica *r)
{
	struct configuration c = {0};
	const struct buffer *b = &r->configuration;
	const struct entry *change = NULL;
	for (uint64_t i = entries_last(&r->log); i >= r->log.first && !change; i--)
		if (entries_at(&r->log, i)->type == DISK_CHANGE)
			change = entries_at(&r->log, i);
	int code = change ? configuration_decode(change->payload->data, change->payload->size, &c)
			  : configuration_decode(b->data, b->size, &c);
	if (code != 0 || configuration_voters(&c) != 1)
		return false;
	const struct configuration_member *self = configuration_find(&c, r->options.id);
	return self && self->role == MEMBER_VOTER;
}

static struct raft_entry *start_entries(const struct replica *r)
{
	const struct entries *l = &r->log;
	if (l->n == 0)
		return NULL;
	struct raft_entry *entries = raft_malloc(l->n * sizeof(*entries));
	void *batch = raft_malloc(1);
	for (unsigned i = 0; i < l->n; i++) {
		const struct entry *e = entries_at(l, l->first + i);
		entries[i] = (struct raft_entry){.term = e->term,
		    .type = (enum raft_entry_type)e->type,
		    .buf = {.base = e->payload->data, .len = e->payload->size},
		    .batch = batch};
	}
	return entries;
}

static int start(struct replica *r, uint64_t term, uint64_t vote)
{
	struct raft_snapshot_metadata metadata = {0};
	struct raft_event event = {.type = RAFT_START};
	struct raft_entry *entries = start_entries(r);
	event.start.term = term;
	event.start.voted_for = vote;
	event.start.start_index = r->log.first;
	event.start.entries = entries;
	event.start.n_entries = r->log.n;
	if (r->image) {
		struct raft_buffer b = {
		    .base = r->image->bytes.data, .len = r->image->configuration_size};
		metadata.index = r->image->index;
		metadata.term = r->image->term;
		metadata.configuration_index = r->image->configuration_index;
		if (raft_configuration_decode(&b, &metadata.configuration) != 0)
			abort();
		event.start.metadata = &metadata;
	}
	int code = core_step(r, &event);
	if (code == 0 && entries) {
		raft_free(entries[0].batch);
		raft_free(entries);
	}
	return code;
}

int core_start(struct replica *r, const struct disk_state *s, struct err *err)
{
	int code = check_entries(s, err);
	if (code == 0)
		code = check_snapshot(s, err);
	if (code == 0)
		code = load_snapshot(r, s, err);
	if (code != 0)
		return code;
	load_log(r, s);
	uint64_t term = s->term, vote = s->vote;
	r->promise_before_ms = s->promise_ms;
	uint64_t newest = r->log.n ? entries_term(&r->log, entries_last(&r->log))
				   : (r->image ? r->image->term : 0);
	if (term < newest) {
		term = newest;
		vote = 0;
	}
	if (starts_alone(r) && term / REPLICA_GENERATION > newest / REPLICA_GENERATION)
		return err_set(err, -EBADMSG,
		    "the others have gone on without this member, by a recovery in term %llu",
		    (unsigned long long)term);
	bool alone = starts_alone(r);
	if (alone) { /* see take_own_term() in step.c */
		term++;
		vote = r->options.id;
		r->raft.current_term = term;
		r->raft.voted_for = vote;
		writes_vote(r);
	} else if (newest) {
		uint32_t before_ms = s->promise_ms ? s->promise_ms : r->promise_ms;
		r->vote_after_ms = r->promised_until_ms = r->now_ms + before_ms;
		r->promised_to = NOBODY;
	}
	code = start(r, term, vote);
	/* Nothing is promised, nor anything else said, before the next life can know of it. */
	if (code == 0 && newest && !alone && s->promise_ms < r->promise_ms)
		writes_vote(r);
	if (code != 0)
		return err_set(err, -EBADMSG, "libraft: %s", raft_strerror(code));
	return 0;
}
