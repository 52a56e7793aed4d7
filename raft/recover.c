#include "raft/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "raft/directory.h"
#include "raft/wal.h"
#include "raft/writer.h"

/* What a directory holds. */

static void finding_set(void *data, const struct inspect_finding *f)
{
	struct err *err = data;
	if (f->problem && !err->text[0])
		err_set(err, -EBADMSG, "%s: offset %" PRIu64 ": %s", f->file, f->offset, f->text);
}

static int check_damage(const struct inspect *in, struct err *err)
{
	struct err first = {{0}};
	return inspect_verify(in, finding_set, &first) ? err_set(err, -EBADMSG, "%s", first.text)
						       : 0;
}

/* The term of the entry at index, from the log or the snapshot; 0: it is not known. */
static uint64_t term_at(const struct inspect *in, const struct inspect_status *s, uint64_t index)
{
	struct disk_entry entry;
	if (!inspect_entry(in, index, &entry))
		return entry.term;
	return s->snapshot && s->snapshot->index == index ? s->snapshot->term : 0;
}

/* The newest configuration up to an entry. Empty: there is none. */
static void configuration_at(const struct inspect *in, uint64_t index, struct configuration *c)
{
	struct inspect_status status;
	struct disk_entry entry;
	inspect_status(in, &status);
	for (uint64_t i = index; i && !inspect_entry(in, i, &entry); i--)
		if (entry.type == DISK_CHANGE && !configuration_decode(entry.data, entry.size, c))
			return;
	const struct disk_snapshot *s = status.snapshot;
	if (!s || configuration_decode(s->configuration, s->configuration_size, c))
		c->n = 0;
}

int survivor_look(struct survivor *s, struct err *err)
{
	struct configuration c;
	inspect_status(s->in, &s->status);
	int result = check_damage(s->in, err);
	if (result)
		return result;
	if (!s->status.last)
		return err_set(err, -ENOENT, "there is no entry in its log");
	s->last_term = term_at(s->in, &s->status, s->status.last);
	if (s->status.snapshot && s->committed < s->status.snapshot->index)
		s->committed = s->status.snapshot->index;
	configuration_at(s->in, s->status.last, &c);
	const struct configuration_member *self = configuration_find(&c, s->id);
	s->member = self != NULL;
	s->role = self ? self->role : MEMBER_SPARE;
	return 0;
}

/* The choice. */

static bool newer(const struct survivor *a, const struct survivor *b)
{
	if (a->last_term != b->last_term)
		return a->last_term > b->last_term;
	if (a->status.last != b->status.last)
		return a->status.last > b->status.last;
	return a->role == MEMBER_VOTER && b->role != MEMBER_VOTER;
}

unsigned survivors_newest(const struct survivor *list, unsigned n)
{
	unsigned best = 0;
	for (unsigned i = 1; i < n; i++)
		if (newer(&list[i], &list[best]))
			best = i;
	return best;
}

/* Where two logs part. */

static int parted(
    const struct survivor *s, const struct survivor *chosen, uint64_t index, struct err *err)
{
	return err_set(err, -EUCLEAN,
	    "%s and %s part at entry %" PRIu64
	    ", which must be the same in both: one of them has lost or changed data; look at it "
	    "with `pvc raft diff` and leave one of them out",
	    chosen->name, s->name, index);
}

/* Entries of the same index and term are the same entry, or somebody has no log of this group. */
static int compare_entries(
    const struct survivor *s, const struct survivor *chosen, uint64_t to, struct err *err)
{
	struct disk_entry a, b;
	for (uint64_t i = to; i; i--) {
		if (inspect_entry(s->in, i, &a) || inspect_entry(chosen->in, i, &b))
			break;
		if (a.term != b.term || a.type != b.type || a.size != b.size ||
		    (a.size && memcmp(a.data, b.data, a.size) != 0))
			return parted(s, chosen, i, err);
	}
	return 0;
}

/* The last entry that is in both: keep. What cannot be compared, because the chosen one has only
 * its snapshot of that time, stays: a snapshot will replace all of it. */
int survivor_compare(struct survivor *s, const struct survivor *chosen, struct err *err)
{
	uint64_t last = chosen->status.last;
	/* A group's first entry is there from its beginning. */
	uint64_t sure = s->committed ? s->committed : 1;
	uint64_t i = s->status.last < last ? s->status.last : last;
	for (; i >= sure; i--) {
		uint64_t theirs = term_at(chosen->in, &chosen->status, i);
		if (!theirs) {
			s->behind = true;
			s->keep = i;
			return 0;
		}
		if (theirs == term_at(s->in, &s->status, i)) {
			s->keep = i;
			return compare_entries(s, chosen, i, err);
		}
	}
	return parted(s, chosen, i + 1, err);
}

/* Digests: of the snapshot, then of that and each entry. */

struct digest {
	uint8_t value[32];
};

static void digest_add(struct digest *d, const void *bytes, size_t size)
{
	struct buffer both = {0};
	buffer_append(&both, d->value, sizeof(d->value));
	buffer_append(&both, bytes, size);
	identity_sha256(both.data, both.size, d->value);
	buffer_close(&both);
}

static void digest_entry(struct digest *d, uint64_t index, const struct disk_entry *entry)
{
	struct buffer bytes = {0};
	buffer_append_u64(&bytes, index);
	buffer_append_u64(&bytes, entry->term);
	buffer_append_u32(&bytes, (uint32_t)entry->type);
	buffer_append(&bytes, entry->data, entry->size);
	digest_add(d, bytes.data, bytes.size);
	buffer_close(&bytes);
}

static void digest_snapshot(struct digest *d, const struct disk_snapshot *s)
{
	struct buffer numbers = {0};
	buffer_append_u64(&numbers, s->index);
	buffer_append_u64(&numbers, s->term);
	buffer_append_u64(&numbers, s->configuration_index);
	digest_add(d, numbers.data, numbers.size);
	digest_add(d, s->configuration, s->configuration_size);
	digest_add(d, s->data, s->size);
	buffer_close(&numbers);
}

/* Of everything up to an entry. */
static struct digest digest_until(const struct inspect *in, uint64_t to)
{
	struct inspect_status status;
	struct disk_entry entry;
	struct digest d = {{0}};
	inspect_status(in, &status);
	if (status.snapshot)
		digest_snapshot(&d, status.snapshot);
	for (uint64_t i = status.first; i <= to && !inspect_entry(in, i, &entry); i++)
		digest_entry(&d, i, &entry);
	return d;
}

static void digest_hex(const struct digest *d, char hex[IDENTITY_HEX_SIZE])
{
	for (unsigned i = 0; i < sizeof(d->value); i++)
		snprintf(hex + (size_t)i * 2, 3, "%02x", d->value[i]);
}

/* The plan. */

/* The step's entry; its data is in bytes. */
static struct disk_entry entry_of(
    uint64_t term, const struct configuration *members, struct buffer *bytes)
{
	configuration_encode(members, bytes);
	return (struct disk_entry){
	    .term = term,
	    .type = DISK_CHANGE,
	    .size = (uint32_t)bytes->size,
	    .data = bytes->data,
	};
}

static void set_digests(struct survivor *s, const struct recovery *r, uint64_t chosen)
{
	struct buffer bytes = {0};
	struct disk_entry entry = entry_of(r->term, &r->members, &bytes);
	struct digest d = digest_until(s->in, s->status.last);
	digest_hex(&d, s->before);
	if (s->id == chosen)
		digest_entry(&d, s->status.last + 1, &entry);
	digest_hex(&d, s->after);
	buffer_close(&bytes);
}

static const struct survivor *survivor_find(const struct survivor *list, unsigned n, uint64_t id)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i].id == id)
			return &list[i];
	return NULL;
}

static int check_ids(const struct survivor *list, unsigned n, struct err *err)
{
	for (unsigned i = 0; i < n; i++) {
		const struct survivor *first = survivor_find(list, n, list[i].id);
		if (first != &list[i])
			return err_set(err, -EINVAL, "%s and %s are of the same node, %" PRIu64,
			    first->name, list[i].name, list[i].id);
	}
	return 0;
}

static int check_quorum(
    struct recovery *r, const struct survivor *list, unsigned n, struct err *err)
{
	for (unsigned i = 0; i < r->old.n; i++) {
		const struct configuration_member *m = &r->old.members[i];
		if (m->role != MEMBER_VOTER)
			continue;
		r->voters++;
		r->voters_left += survivor_find(list, n, m->id) != NULL;
	}
	if (r->voters_left <= r->voters / 2)
		return 0;
	return err_set(err, -EALREADY,
	    "%u of the %u voters are here, which is a majority: nothing is to be recovered, start "
	    "their daemons",
	    r->voters_left, r->voters);
}

/* A lost voter is gone; a stand-by whose directory nobody looked at is not. */
static void choose_members(
    struct recovery *r, const struct survivor *list, unsigned n, uint64_t chosen)
{
	for (unsigned i = 0; i < r->old.n; i++) {
		struct configuration_member m = r->old.members[i];
		if (m.role == MEMBER_VOTER && !survivor_find(list, n, m.id))
			continue;
		if (m.role == MEMBER_VOTER)
			m.role = MEMBER_STANDBY;
		if (m.id == chosen)
			m.role = MEMBER_VOTER;
		r->members.members[r->members.n++] = m;
	}
}

int recover_plan(struct recovery *r, struct survivor *list, unsigned n, struct err *err)
{
	uint64_t term = 0;
	*r = (struct recovery){.chosen = survivors_newest(list, n)};
	const struct survivor *chosen = &list[r->chosen];
	int result = check_ids(list, n, err);
	if (result)
		return result;
	if (!chosen->member)
		return err_set(err, -EINVAL,
		    "%s has the newest log, by which node %" PRIu64
		    " is no member: leave that directory out",
		    chosen->name, chosen->id);
	configuration_at(chosen->in, chosen->status.last, &r->old);
	result = check_quorum(r, list, n, err);
	choose_members(r, list, n, chosen->id);
	for (unsigned i = 0; i < n; i++) {
		const struct survivor *s = &list[i];
		uint64_t newest = s->status.term > s->last_term ? s->status.term : s->last_term;
		term = newest > term ? newest : term;
	}
	r->term = (term / REPLICA_GENERATION + 1) * REPLICA_GENERATION;
	for (unsigned i = 0; i < n && !result; i++) {
		result = survivor_compare(&list[i], chosen, err);
		if (!result)
			set_digests(&list[i], r, chosen->id);
	}
	return result;
}

/* Carrying it out. */

int recover_look(const struct inspect *in, const struct recover_step *step, struct err *err)
{
	struct inspect_status s;
	char now[IDENTITY_HEX_SIZE];
	inspect_status(in, &s);
	int result = check_damage(in, err);
	if (result)
		return result;
	struct digest d = digest_until(in, s.last);
	digest_hex(&d, now);
	uint64_t last_term = term_at(in, &s, s.last);
	bool voted = s.term == step->term && s.vote == step->chosen;
	bool untouched = s.term == step->seen_term && s.vote == step->seen_vote;
	if (voted && !strcmp(now, step->after))
		return RECOVER_DONE;
	if ((voted || untouched) && !strcmp(now, step->before))
		return RECOVER_DUE;
	/* No other way leads to such terms. */
	bool heard = step->id != step->chosen && s.term > step->term;
	if (s.term >= step->term && (heard || last_term >= step->term))
		return RECOVER_PAST;
	return err_set(err, -ESTALE,
	    "this is not what the plan saw: it is in term %" PRIu64
	    " and its last entry is %" PRIu64 " of term %" PRIu64 "; make a new plan",
	    s.term, s.last, last_term);
}

static int append_entry(struct writer *w, const struct recover_step *step)
{
	struct buffer bytes = {0};
	struct disk_entry entry = entry_of(step->term, step->members, &bytes);
	const struct disk_request request = {
	    .type = DISK_APPEND, .append = {.index = step->last + 1, .entries = &entry, .n = 1}};
	const struct disk_request *requests[] = {&request};
	int result = writer_append(w, requests, 1);
	buffer_close(&bytes);
	return result;
}

static int write_step(
    int fd, const struct recover_step *step, const struct directory *d, struct err *err)
{
	struct writer *w;
	const struct writer_options options = {
	    .fd = fd,
	    .segment_bytes = WAL_SEGMENT_BYTES,
	    .reserve_bytes = WAL_RESERVE_BYTES,
	    .files = &wal_system_files,
	};
	int result = writer_open(&w, &options, d, err);
	if (result)
		return result;
	/* In this order: an entry of a term that the member is not in could not be. */
	result = writer_vote(w, step->term, step->chosen);
	if (!result && step->id == step->chosen)
		result = append_entry(w, step);
	writer_close(w);
	return result ? err_set(err, result, "write: %s", strerror(-result)) : 0;
}

int recover_apply(int fd, const struct recover_step *step, struct err *err)
{
	struct directory d;
	int result = directory_read(&d, fd, err);
	const struct finding *f = result ? NULL : directory_problem(&d);
	if (f)
		result = err_set(
		    err, -EBADMSG, "%s: offset %" PRIu64 ": %s", f->file, f->offset, f->text);
	if (!result)
		result = write_step(fd, step, &d, err);
	directory_close(&d);
	return result;
}
