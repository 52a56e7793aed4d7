/* The disk, and messages that wait for a vote to be on it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core.h"

static void write_free(struct write *w)
{
	for (unsigned i = 0; w->payloads && i < w->request.append.n; i++)
		payload_drop(w->payloads[i]);
	free(w->payloads);
	free(w->entries);
	if (w->image)
		image_drop(w->image);
	free(w);
}

static struct write *write_new(struct replica *r, enum disk_request_type type)
{
	struct write *w = must_alloc(sizeof(*w));
	w->request.type = type;
	w->request.ticket = r->ticket + 1;
	w->since_ms = r->now_ms;
	return w;
}

static void submit(struct replica *r, struct write *w)
{
	/* After a failed write nobody knows what is on the disk: nothing more goes there, and
	 * so nothing more is ever taken for written. */
	if (r->disk_failed) {
		write_free(w);
		return;
	}
	r->ticket++;
	if (r->writes_last)
		r->writes_last->next = w;
	else
		r->writes = w;
	r->writes_last = w;
	r->ports.disk.submit(r->ports.disk.data, &w->request);
}

void writes_vote(struct replica *r)
{
	struct write *w = write_new(r, DISK_VOTE);
	w->request.vote.term = r->raft.current_term;
	w->request.vote.vote = r->raft.voted_for;
	/* Those of an earlier life last until no vote was given for so long. */
	bool old = r->now_ms < r->vote_after_ms && r->promise_before_ms > r->promise_ms;
	w->request.vote.promise_ms = old ? r->promise_before_ms : r->promise_ms;
	r->vote_ticket = w->request.ticket;
	submit(r, w);
}

void writes_append(struct replica *r, uint64_t index, unsigned n)
{
	struct write *w = write_new(r, DISK_APPEND);
	w->entries = must_alloc(n * sizeof(*w->entries));
	w->payloads = must_alloc(n * sizeof(*w->payloads));
	for (unsigned i = 0; i < n; i++) {
		struct entry *e = entries_at(&r->log, index + i);
		e->ticket = w->request.ticket;
		w->payloads[i] = payload_hold(e->payload);
		w->entries[i] =
		    (struct disk_entry){e->term, e->type, e->payload->size, e->payload->data};
	}
	w->request.append.index = index;
	w->request.append.entries = w->entries;
	w->request.append.n = n;
	submit(r, w);
}

void writes_snapshot(struct replica *r, struct image *image, uint64_t keep_from)
{
	struct write *w = write_new(r, DISK_SNAPSHOT);
	size_t split = image->configuration_size;
	w->image = image_hold(image);
	w->request.snapshot.snapshot = (struct disk_snapshot){
	    .index = image->index,
	    .term = image->term,
	    .configuration_index = image->configuration_index,
	    .configuration = image->bytes.data,
	    .configuration_size = split,
	    .data = image->bytes.data + split,
	    .size = image->bytes.size - split,
	};
	w->request.snapshot.installed = keep_from == 0;
	w->request.snapshot.keep_from = keep_from;
	submit(r, w);
}

static void release_held(struct replica *r)
{
	while (r->held && r->held->ticket <= r->vote_written) {
		struct held *h = r->held;
		r->held = h->next;
		if (!r->held)
			r->held_last = NULL;
		r->ports.send(r->ports.data, h->to, h->bytes.data, h->bytes.size);
		buffer_close(&h->bytes);
		free(h);
	}
}

void writes_send(struct replica *r, uint64_t to, struct buffer *bytes)
{
	if (r->vote_ticket <= r->vote_written) {
		r->ports.send(r->ports.data, to, bytes->data, bytes->size);
		buffer_close(bytes);
		return;
	}
	struct held *h = must_alloc(sizeof(*h));
	h->to = to;
	h->ticket = r->vote_ticket;
	h->bytes = *bytes;
	if (r->held_last)
		r->held_last->next = h;
	else
		r->held = h;
	r->held_last = h;
}

/* Only entries that are still the ones this write put there: what was replaced
 * meanwhile, be it by an entry of the same term, has a write of its own. */
static void appended(struct replica *r, const struct write *w)
{
	uint64_t index = w->request.append.index, last = 0;
	for (unsigned i = 0; i < w->request.append.n; i++) {
		const struct entry *e = entries_at(&r->log, index + i);
		if (!e || e->ticket != w->request.ticket)
			break;
		last = index + i;
	}
	if (last == 0 || r->installing)
		return;
	struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
	event.persisted_entries.index = last;
	core_step(r, &event);
}

static void written(struct replica *r, const struct write *w)
{
	switch (w->request.type) {
	case DISK_VOTE:
		r->vote_written = w->request.ticket;
		release_held(r);
		break;
	case DISK_APPEND:
		appended(r, w);
		break;
	case DISK_SNAPSHOT:
		if (w->request.snapshot.installed)
			install_done(r);
		else
			install_taken(r, w->image, w->request.snapshot.keep_from);
		break;
	}
}

/* A leader first tries to hand over: that is faster for everybody than an election. */
static void disk_fail(struct replica *r, int status)
{
	uint64_t successor = membership_successor(r);
	r->disk_failed = true;
	err_set(&r->disk_error, status, "a write to the disk failed: %s",
	    status == -ESTALE ? "its directory was removed or replaced" : strerror(-status));
	if (successor && membership_transfer(r, successor) == 0)
		r->fail_ms = r->now_ms + r->options.election_ms;
	else
		core_fail(r, "%s", r->disk_error.text);
}

/* A snapshot taken here is written between the others and may take its time. */
static bool may_wait(const struct write *w)
{
	return w->request.type == DISK_SNAPSHOT && !w->request.snapshot.installed;
}

uint64_t writes_since_ms(const struct replica *r)
{
	const struct write *w = r->writes;
	while (w && may_wait(w))
		w = w->next;
	return w ? w->since_ms : UINT64_MAX;
}

static struct write *take_out(struct replica *r, uint64_t ticket)
{
	struct write *before = NULL, *w = r->writes;
	while (w && w->request.ticket != ticket) {
		assert(may_wait(w));
		before = w;
		w = w->next;
	}
	assert(w);
	if (before)
		before->next = w->next;
	else
		r->writes = w->next;
	if (!w->next)
		r->writes_last = before;
	return w;
}

void writes_done(struct replica *r, uint64_t ticket, int status)
{
	struct write *w = take_out(r, ticket);
	uint64_t took_ms = r->now_ms - w->since_ms;
	if (took_ms > r->write_ms_max && !may_wait(w))
		r->write_ms_max = took_ms;
	if (!r->failed && !r->disk_failed) {
		if (status == 0)
			written(r, w);
		else
			disk_fail(r, status);
	}
	write_free(w);
}

void writes_tick(struct replica *r)
{
	if (r->disk_failed && r->now_ms >= r->fail_ms) {
		core_fail(r, "%s", r->disk_error.text);
		return;
	}
	uint64_t since_ms = writes_since_ms(r);
	if (since_ms == UINT64_MAX || r->disk_failed || !core_leads(r) || core_voters(r) < 2)
		return;
	uint64_t waits_ms = r->now_ms - since_ms;
	if (waits_ms >= WRITE_MS_MAX) {
		core_fail(r, "a write to the disk has not been answered for %u ms", WRITE_MS_MAX);
		return;
	}
	uint64_t successor = membership_successor(r);
	if (waits_ms >= r->options.lease_ms && successor)
		membership_transfer(r, successor);
}

uint64_t writes_timeout(const struct replica *r)
{
	if (r->disk_failed)
		return r->fail_ms;
	uint64_t since_ms = writes_since_ms(r);
	if (since_ms == UINT64_MAX || !core_leads(r) || core_voters(r) < 2)
		return UINT64_MAX;
	/* Later than that the heartbeats will look. */
	return since_ms + r->options.lease_ms;
}

void writes_close(struct replica *r)
{
	while (r->writes) {
		struct write *w = r->writes;
		r->writes = w->next;
		write_free(w);
	}
	while (r->held) {
		struct held *h = r->held;
		r->held = h->next;
		buffer_close(&h->bytes);
		free(h);
	}
}
