/* Snapshots: taking them, sending them in pieces, putting them together.
 *
 * The newest one stays in memory: libraft asks for it when a follower lacks what the log no
 * longer holds. Pieces are small and few are under way at a time, so that heartbeats
 * pass between them. */
#include <stdlib.h>
#include <string.h>

#include "fsm/hash.h"
#include "raft/core.h"

struct image *image_new(struct buffer *bytes, size_t configuration_size)
{
	struct image *image = must_alloc(sizeof(*image));
	image->references = 1;
	image->configuration_size = configuration_size;
	image->bytes = *bytes;
	*bytes = (struct buffer){0};
	return image;
}

struct image *image_hold(struct image *image)
{
	image->references++;
	return image;
}

void image_drop(struct image *image)
{
	if (!image || --image->references)
		return;
	buffer_close(&image->bytes);
	free(image);
}

/* In the loop, and of all of it: a slow one would be noticed. */
static uint64_t hash_of(const struct buffer *b)
{
	return hash_bytes(0, b->data, b->size);
}

/* ---- Taking ---- */

static size_t threshold(const struct replica *r)
{
	size_t last = r->image ? r->image->bytes.size : 0;
	return last > r->options.snapshot_log_bytes ? last : r->options.snapshot_log_bytes;
}

/* A quarter of the threshold stays for members that were away for a moment, and up to the whole of
 * it what one that is there still lacks. */
static uint64_t keep_from(const struct replica *r)
{
	uint64_t keep = r->applied + 1, slowest = keep;
	for (unsigned i = 0; core_leads(r) && i < r->n_members; i++) {
		const struct member *m = &r->members[i];
		bool heard = core_heard(r, m);
		uint64_t needs = m->sending.image ? m->sending.image->index : core_match(r, m->id);
		if (m->id != r->options.id && m->role != MEMBER_SPARE && heard && needs < slowest)
			slowest = needs + 1;
	}
	size_t after = entries_bytes(&r->log, keep);
	while (keep > r->log.first) {
		size_t kept = entries_bytes(&r->log, keep - 1) - after;
		if (kept > threshold(r) || (kept > threshold(r) / 4 && keep <= slowest))
			break;
		keep--;
	}
	return keep;
}

void install_maybe_take(struct replica *r)
{
	uint64_t covered = r->image ? r->image->index : 0;
	if (r->failed || r->disk_failed || r->taking || r->installing || r->applied <= covered)
		return;
	if (entries_bytes(&r->log, covered + 1) <= threshold(r) || !entries_at(&r->log, r->applied))
		return;
	struct buffer bytes = {0};
	buffer_append(&bytes, r->configuration.data, r->configuration.size);
	r->ports.machine.snapshot(r->ports.machine.data, &bytes);
	struct image *image = image_new(&bytes, r->configuration.size);
	image->index = r->applied;
	image->term = entries_term(&r->log, r->applied);
	image->configuration_index = r->configuration_index;
	r->taking = true;
	writes_snapshot(r, image, keep_from(r));
	image_drop(image);
}

void install_taken(struct replica *r, struct image *image, uint64_t from)
{
	r->taking = false;
	/* A newer one from the leader came in between. */
	if (r->installing || entries_term(&r->log, image->index) != image->term)
		return;
	struct raft_event event = {.type = RAFT_SNAPSHOT};
	struct raft_buffer c = {.base = image->bytes.data, .len = image->configuration_size};
	event.snapshot.metadata.index = image->index;
	event.snapshot.metadata.term = image->term;
	event.snapshot.metadata.configuration_index = image->configuration_index;
	event.snapshot.trailing = (unsigned)(image->index + 1 - from);
	if (raft_configuration_decode(&c, &event.snapshot.metadata.configuration) != 0)
		abort();
	core_step(r, &event);
	image_drop(r->image);
	r->image = image_hold(image);
	entries_shorten(&r->log, from);
}

/* ---- Sending ---- */

void install_stop_sending(struct member *m)
{
	image_drop(m->sending.image);
	m->sending = (struct sending){0};
}

static void send_chunk(struct replica *r, const struct member *member, size_t offset)
{
	const struct image *image = member->sending.image;
	size_t left = image->bytes.size - offset;
	struct message m = {.kind = MESSAGE_chunk};
	m.chunk = (struct message_chunk){.term = r->raft.current_term,
	    .index = image->index,
	    .index_term = image->term,
	    .configuration_index = image->configuration_index,
	    .configuration_size = image->configuration_size,
	    .size = image->bytes.size,
	    .hash = image->hash,
	    .offset = offset};
	m.tail = image->bytes.data + offset;
	m.tail_size = left < CHUNK_BYTES ? left : CHUNK_BYTES;
	core_send(r, member->id, &m);
}

static void send_on(struct replica *r, struct member *m)
{
	struct sending *s = &m->sending;
	size_t size = s->image->bytes.size;
	while (s->sent < size && s->sent - s->acknowledged < CHUNKS_IN_FLIGHT * CHUNK_BYTES) {
		send_chunk(r, m, s->sent);
		s->sent += size - s->sent < CHUNK_BYTES ? size - s->sent : CHUNK_BYTES;
	}
	s->resend_ms = r->now_ms + r->options.election_ms;
}

/* libraft asks again with every heartbeat that the follower refuses while it has not
 * got everything. */
void install_send(struct replica *r, uint64_t to)
{
	struct member *m = core_member(r, to);
	if (!m || !r->image || m->sending.image)
		return;
	if (r->image->hash == 0)
		r->image->hash = hash_of(&r->image->bytes);
	m->sending = (struct sending){.image = image_hold(r->image)};
	send_on(r, m);
}

void install_acknowledged(struct replica *r, uint64_t from, const struct message *message)
{
	const struct message_chunk_ok *a = &message->chunk_ok;
	struct member *m = core_member(r, from);
	if (!core_leads(r) || !m || !m->sending.image || a->index != m->sending.image->index ||
	    a->term != r->raft.current_term)
		return;
	struct sending *s = &m->sending;
	if (a->offset >= s->image->bytes.size) {
		install_stop_sending(m);
		return;
	}
	/* Less than before: it began anew. */
	if (a->offset < s->acknowledged)
		s->sent = a->offset;
	s->acknowledged = a->offset;
	if (s->sent < s->acknowledged)
		s->sent = s->acknowledged;
	send_on(r, m);
}

void install_tick(struct replica *r)
{
	for (unsigned i = 0; i < r->n_members; i++) {
		struct member *m = &r->members[i];
		if (!m->sending.image || r->now_ms < m->sending.resend_ms)
			continue;
		/* One that went away gets the newest when it is back. */
		if (!core_heard(r, m)) {
			install_stop_sending(m);
			continue;
		}
		m->sending.sent = m->sending.acknowledged;
		send_on(r, m);
	}
}

uint64_t install_timeout(const struct replica *r)
{
	uint64_t next = UINT64_MAX;
	for (unsigned i = 0; i < r->n_members; i++)
		if (r->members[i].sending.image && r->members[i].sending.resend_ms < next)
			next = r->members[i].sending.resend_ms;
	return next;
}

/* ---- Receiving ---- */

static void forget_received(struct receiving *s)
{
	buffer_close(&s->bytes);
	*s = (struct receiving){0};
}

static void acknowledge(
    struct replica *r, uint64_t from, const struct message_chunk *c, uint64_t offset)
{
	struct message m = {.kind = MESSAGE_chunk_ok};
	m.chunk_ok =
	    (struct message_chunk_ok){.term = c->term, .index = c->index, .offset = offset};
	core_send(r, from, &m);
}

static bool same(const struct receiving *s, uint64_t from, const struct message_chunk *c)
{
	return s->active && s->from == from && s->term == c->term && s->index == c->index &&
	       s->index_term == c->index_term && s->hash == c->hash && s->size == c->size &&
	       s->configuration_index == c->configuration_index &&
	       s->configuration_size == c->configuration_size;
}

static void receive_begin(struct replica *r, uint64_t from, const struct message_chunk *c)
{
	forget_received(&r->receiving);
	r->receiving = (struct receiving){.active = true,
	    .from = from,
	    .term = c->term,
	    .index = c->index,
	    .index_term = c->index_term,
	    .configuration_index = c->configuration_index,
	    .configuration_size = c->configuration_size,
	    .size = c->size,
	    .hash = c->hash};
}

static bool received_valid(const struct receiving *s)
{
	struct configuration c;
	return hash_of(&s->bytes) == s->hash &&
	       configuration_decode(s->bytes.data, s->configuration_size, &c) == 0;
}

/* What is there already, or on its way to the disk. */
static bool have(const struct replica *r, const struct message_chunk *c)
{
	if (r->installing)
		return r->installed.index >= c->index;
	return (r->image && r->image->index >= c->index) || r->applied >= c->index;
}

void install_receive(struct replica *r, uint64_t from, const struct message *m)
{
	const struct message_chunk *c = &m->chunk;
	struct receiving *s = &r->receiving;
	if (c->term < r->raft.current_term || r->disk_failed)
		return;
	if (have(r, c)) {
		acknowledge(r, from, c, c->size);
		return;
	}
	if (r->installing)
		return;
	if (!same(s, from, c))
		receive_begin(r, from, c);
	if (c->offset == s->bytes.size)
		buffer_append(&s->bytes, m->tail, m->tail_size);
	acknowledge(r, from, c, s->bytes.size);
	if (s->bytes.size < s->size)
		return;
	if (received_valid(s))
		core_receive_snapshot(r, s);
	else
		r->bad_messages++;
	forget_received(s);
}

/* The machine takes it first: what it cannot read must not replace what is on the disk. */
void install_begin(struct replica *r, struct raft_snapshot_metadata *metadata)
{
	struct receiving *s = &r->receiving;
	const struct machine *machine = &r->ports.machine;
	size_t split = s->configuration_size;
	int code =
	    machine->restore(machine->data, s->index, s->bytes.data + split, s->bytes.size - split);
	r->installing = true;
	r->installed = *metadata;
	if (code != 0) {
		core_fail(r, "the snapshot of member %llx at %llu cannot be restored",
		    (unsigned long long)s->from, (unsigned long long)s->index);
		return;
	}
	image_drop(r->image);
	r->image = image_new(&s->bytes, split);
	r->image->index = s->index;
	r->image->term = s->index_term;
	r->image->configuration_index = s->configuration_index;
	entries_restart(&r->log, s->index + 1);
	r->applied = s->index;
	r->configuration.size = 0;
	buffer_append(&r->configuration, r->image->bytes.data, split);
	r->configuration_index = s->configuration_index;
	writes_snapshot(r, r->image, 0);
}

void install_done(struct replica *r)
{
	struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
	event.persisted_snapshot.metadata = r->installed;
	event.persisted_snapshot.last = true;
	r->installing = false;
	memset(&r->installed, 0, sizeof(r->installed)); /* libraft's from here on */
	core_step(r, &event);
}
