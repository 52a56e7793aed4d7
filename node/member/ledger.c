#include "node/member/ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fsm/proposer.h"
#include "fsm/snapshot.h"
#include "node/log/journal.h"
#include "node/log/log.h"
#include "node/member/members.h"
#include "raft/clock.h"
#include "raft/identity.h"

#define PROGRAM		  (1ull << 63) /* marks the numbers of programs' requests */
#define REOPEN_AFTER_MS	  1000
#define MEMBER_TIMEOUT_MS 10000

struct request { /* somebody who waits */
	uint64_t number; /* as given to the replica; 0: free */
	context_done done;
	void *data;
	uint64_t sequence; /* of an operation of our own; 0: none */
	struct err *err; /* why it was refused here; owned, NULL: it was not */
};

/* Closing waits for a disk that may hang, and opening reads all of the log: both happen in a
 * thread of the loop's pool, and all of this is the thread's until it has ended. */
struct reopening {
	uv_work_t work;
	struct wal_options options;
	struct wal *wal; /* to be closed first, NULL: none; then the new one, NULL: not opened */
	struct disk_state state;
	int result;
	struct err err;
};

struct ledger {
	struct ledger_options options;
	char directory[512];
	char address[REPLICA_ADDRESS_MAX];
	struct wal *wal;
	struct replica *replica;
	struct replica *failed; /* the disk may still read its requests */
	/* From the writer's thread. Not uv_async_t: where the loop wakes before uv_async_send() has
	 * returned it spins until it has, which is after nearly every write. */
	int written_fd;
	uv_poll_t written;
	struct reopening reopening;
	bool closing, reopen_under_way;
	uint64_t reopen_ms; /* when to try again */
	int restored; /* what the value said of the last snapshot, with restore_err */
	struct err trouble, restore_err;
	uint64_t client, sequence;
	unsigned own; /* operations of our own under way */
	struct request requests[LEDGER_REQUESTS_MAX];
	uint64_t number; /* of the last request */
	bool program[LEDGER_PROGRAM_MAX]; /* waits */
};

/* The replica's ports. */

static void note_refusal(struct ledger *l, const uint8_t *operation, size_t size, struct err *err)
{
	struct reader in = reader_of(operation, size);
	uint64_t client = reader_varint(&in), sequence = reader_varint(&in);
	if (client != l->client)
		return;
	for (unsigned i = 0; i < LEDGER_REQUESTS_MAX; i++) {
		struct request *request = &l->requests[i];
		if (!request->number || request->sequence != sequence || request->err)
			continue;
		request->err = must_alloc(sizeof(*request->err));
		*request->err = *err;
		return;
	}
}

static int port_apply(void *data, uint64_t index, const uint8_t *operation, size_t size)
{
	struct ledger *l = data;
	struct err err = {{0}};
	int result = cluster_apply(l->options.cluster, index, operation, size, &err);
	if (l->options.journal)
		journal_note(l->options.journal, index, result);
	if (result < 0 && l->own)
		note_refusal(l, operation, size, &err);
	return result;
}

static void port_snapshot(void *data, struct buffer *out)
{
	struct ledger *l = data;
	snapshot_encode(l->options.cluster, out);
}

static int port_restore(void *data, uint64_t index, const uint8_t *bytes, size_t size)
{
	struct ledger *l = data;
	l->restored = snapshot_decode(l->options.cluster, bytes, size, &l->restore_err);
	if (l->restored)
		log_error("A snapshot at index %" PRIu64 " cannot be used: %s", index,
		    l->restore_err.text);
	return l->restored;
}

static int port_admit(void *data, uint64_t from, const uint8_t *operation, size_t size)
{
	return proposer_check((uint32_t)from, operation, size);
}

static void port_send(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	struct ledger *l = data;
	l->options.send(l->options.data, to, bytes, size);
}

static void request_end(struct ledger *l, struct request *request, int result, uint64_t index)
{
	struct request ended = *request;
	*request = (struct request){0};
	l->own -= ended.sequence != 0;
	if (ended.done) {
		struct err err = {{0}};
		if (result < 0)
			err_set(&err, result, "%s", strerror(-result));
		ended.done(ended.data, result, index, ended.err ? ended.err : &err);
	}
	free(ended.err);
}

static void program_end(struct ledger *l, uint64_t request, int result, uint64_t index)
{
	if (!l->program[request])
		return;
	l->program[request] = false;
	l->options.program_answered(l->options.data, request, result, index);
}

static void port_answered(void *data, uint64_t number, int result, uint64_t index)
{
	struct ledger *l = data;
	if (number & PROGRAM) {
		program_end(l, number & ~PROGRAM, result, index);
		return;
	}
	struct request *request = &l->requests[number % LEDGER_REQUESTS_MAX];
	if (request->number == number)
		request_end(l, request, result, index);
}

static void port_changed(void *data)
{
	struct ledger *l = data;
	l->options.stirred(l->options.data);
}

/* The disk. */

static void wal_ready(void *data)
{
	struct ledger *l = data;
	/* It fails only where the loop has not looked for 2^64 writes. */
	(void)eventfd_write(l->written_fd, 1);
}

static void write_done(void *data, uint64_t ticket, int status)
{
	struct ledger *l = data;
	if (l->replica)
		replica_written(l->replica, ticket, status, clock_ms());
}

static void written(uv_poll_t *poll, int status, int events)
{
	struct ledger *l = poll->data;
	eventfd_t writes;
	(void)eventfd_read(l->written_fd, &writes);
	if (l->wal)
		wal_collect(l->wal, write_done, l);
}

/* A replica from what wal_open() found. -EBADMSG: that cannot be right. */
static int make_replica(struct ledger *l, const struct disk_state *state, struct err *err)
{
	struct replica_ports ports = {
	    .disk = wal_disk(l->wal),
	    .machine = {.data = l,
		.apply = port_apply,
		.snapshot = port_snapshot,
		.restore = port_restore,
		.admit = port_admit},
	    .data = l,
	    .send = port_send,
	    .answered = port_answered,
	    .changed = port_changed,
	};
	struct replica_options options = l->options.replica;
	/* A log that was there once and is gone took this id's vote with it: raft's promises
	 * (thesis 3.8) hold for an id only as long as its log does. */
	if (!state->term)
		return err_set(err, -ENODATA, "the log is gone from %s", l->directory);
	options.address = l->address;
	identity_random(&options.seed, sizeof(options.seed));
	cluster_close(l->options.cluster);
	cluster_init(l->options.cluster);
	if (l->options.journal)
		journal_restart(l->options.journal);
	l->restored = 0;
	l->replica = replica_new(&options, &ports, state, clock_ms(), err);
	wal_forget_state(l->wal);
	if (l->replica)
		return 0;
	/* One of another version is as it should be: it is we who are not of its age. */
	if (l->restored == -ENOTSUP)
		return err_set(err, -ENOTSUP,
		    "%s: %s; nothing was changed: start the version of pvc that wrote it",
		    l->directory, l->restore_err.text);
	return -EBADMSG;
}

static void freed(uv_handle_t *handle)
{
	struct ledger *l = handle->data;
	close(l->written_fd);
	free(l);
}

/* With nobody who could call back any more. */
static void finish_closing(struct ledger *l)
{
	if (l->wal)
		wal_close(l->wal);
	replica_free(l->replica);
	replica_free(l->failed);
	uv_close((uv_handle_t *)&l->written, freed);
}

int ledger_open(struct ledger **ledger, const struct ledger_options *options, struct err *err)
{
	struct disk_state state;
	if (strlen(options->replica.address) >= REPLICA_ADDRESS_MAX)
		return err_set(err, -EINVAL, "%s: an address has at most %d letters",
		    options->replica.address, REPLICA_ADDRESS_MAX - 1);
	int written_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (written_fd < 0)
		return err_set(err, -errno, "eventfd: %s", strerror(errno));
	struct ledger *l = must_alloc(sizeof(*l));
	l->options = *options;
	l->written_fd = written_fd;
	snprintf(l->directory, sizeof(l->directory), "%s", options->directory);
	snprintf(l->address, sizeof(l->address), "%s", options->replica.address);
	l->reopening.options =
	    (struct wal_options){.directory = l->directory, .ready = wal_ready, .data = l};
	l->reopening.work.data = l;
	while (!l->client)
		identity_random(&l->client, sizeof(l->client));
	uv_poll_init(options->loop, &l->written, written_fd);
	l->written.data = l;
	uv_poll_start(&l->written, UV_READABLE, written);
	int result = wal_open(&l->wal, &l->reopening.options, &state, err);
	if (!result)
		result = make_replica(l, &state, err);
	if (result)
		finish_closing(l);
	else
		*ledger = l;
	return result;
}

static void reopen_work(uv_work_t *work)
{
	struct ledger *l = work->data;
	struct reopening *r = &l->reopening;
	if (r->wal)
		wal_close(r->wal);
	r->result = wal_open(&r->wal, &r->options, &r->state, &r->err);
}

static void reopened(uv_work_t *work, int status)
{
	struct ledger *l = work->data;
	struct reopening *r = &l->reopening;
	l->reopen_under_way = false;
	l->wal = r->wal;
	r->wal = NULL;
	replica_free(l->failed);
	l->failed = NULL;
	if (l->closing) {
		finish_closing(l);
		return;
	}
	if (!r->result)
		r->result = make_replica(l, &r->state, &r->err);
	if (!r->result)
		log_ok("The log is open again");
	else if (strcmp(l->trouble.text, r->err.text) != 0)
		log_error("The log cannot be opened: %s", r->err.text);
	if (r->result)
		l->trouble = r->err;
	l->reopen_ms = clock_ms() + REOPEN_AFTER_MS;
	l->options.stirred(l->options.data);
}

/* What was under way may or may not have been done. */
static void end_all(struct ledger *l)
{
	for (unsigned i = 0; i < LEDGER_REQUESTS_MAX; i++)
		if (l->requests[i].number)
			request_end(l, &l->requests[i], -ETIMEDOUT, 0);
	for (unsigned i = 0; i < LEDGER_PROGRAM_MAX; i++)
		program_end(l, i, -ETIMEDOUT, 0);
}

static void check_failed(struct ledger *l, uint64_t now)
{
	struct replica_status status;
	if (l->replica) {
		replica_status(l->replica, &status);
		if (status.role != REPLICA_FAILED)
			return;
		err_set(&l->trouble, 0, "%s", replica_failure(l->replica));
		log_error("The log is closed: %s", l->trouble.text);
		l->failed = l->replica;
		l->replica = NULL;
		end_all(l);
		l->reopen_ms = now + REOPEN_AFTER_MS;
		l->options.stirred(l->options.data);
	}
	if (!l->replica && !l->reopen_under_way && now >= l->reopen_ms) {
		l->reopening.wal = l->wal;
		l->wal = NULL;
		l->reopen_under_way = true;
		uv_queue_work(l->options.loop, &l->reopening.work, reopen_work, reopened);
	}
}

void ledger_close(struct ledger *l)
{
	struct replica *replica = l->replica;
	l->closing = true;
	l->replica = NULL;
	end_all(l);
	l->replica = replica;
	if (!l->reopen_under_way)
		finish_closing(l);
}

struct replica *ledger_replica(const struct ledger *l)
{
	return l->replica;
}

const char *ledger_trouble(const struct ledger *l)
{
	return l->trouble.text;
}

void ledger_wal_status(const struct ledger *l, struct wal_status *status)
{
	if (l->wal)
		wal_status(l->wal, status);
	else
		*status = (struct wal_status){0};
}

/* Turns. */

uint64_t ledger_turn(struct ledger *l, uint64_t now)
{
	if (l->replica && now >= replica_timeout(l->replica))
		replica_tick(l->replica, now);
	check_failed(l, now);
	if (l->replica)
		replica_flush(l->replica, now);
	if (l->replica)
		return replica_timeout(l->replica);
	return l->reopen_under_way ? UINT64_MAX : l->reopen_ms;
}

/* Who waits. */

static struct request *request_new(struct ledger *l, context_done done, void *data)
{
	/* One that takes long must not stand in the way of those that come round after it. */
	for (unsigned tries = 0; tries < LEDGER_REQUESTS_MAX; tries++) {
		struct request *request = &l->requests[++l->number % LEDGER_REQUESTS_MAX];
		if (request->number)
			continue;
		*request = (struct request){.number = l->number, .done = done, .data = data};
		return request;
	}
	return NULL;
}

static void refuse(context_done done, void *data, int status, const char *text)
{
	struct err err;
	err_set(&err, status, "%s", text);
	if (done)
		done(data, status, 0, &err);
}

/* A request, or NULL when who asked was told why not. */
static struct request *request_begin(struct ledger *l, context_done done, void *data)
{
	if (!l->replica) {
		refuse(done, data, -ENOTCONN, "the log is closed");
		return NULL;
	}
	struct request *request = request_new(l, done, data);
	if (!request)
		refuse(done, data, -EAGAIN, "too much is under way: try again");
	return request;
}

/* Does it wait now? Otherwise it was told why not. */
static bool program_begin(struct ledger *l, uint64_t request)
{
	if (l->replica) {
		l->program[request] = true;
		return true;
	}
	l->options.program_answered(l->options.data, request, -ENOTCONN, 0);
	return false;
}

/* What people ask for. The rest is for a node to say, of itself or as the leader: the cluster
 * would believe that a node is off, or that much time has passed. */
static bool program_may(uint64_t number)
{
	switch (number) {
	case COMMAND_maintenance:
	case COMMAND_vm_define:
	case COMMAND_vm_undefine:
	case COMMAND_vm_state:
	case COMMAND_vm_place:
	case COMMAND_vm_migrate:
	case COMMAND_vm_meta:
	case COMMAND_vm_modify:
	case COMMAND_vm_rename:
	case COMMAND_node_domain:
	case COMMAND_fact:
	case COMMAND_primary_want:
		return true;
	default:
		return false;
	}
}

/* 0; -EBADMSG; -EPERM: not for a program to say, or in the leader's name. */
static int program_check(const uint8_t *operation, size_t size)
{
	struct reader in = reader_of(operation, size);
	uint64_t client = reader_varint(&in);
	reader_varint(&in); /* the sequence */
	uint64_t number = reader_varint(&in);
	if (in.failed)
		return -EBADMSG;
	return client && program_may(number) ? 0 : -EPERM;
}

void ledger_program_propose(void *data, uint64_t request, const uint8_t *operation, size_t size)
{
	struct ledger *l = data;
	uint64_t now = clock_ms();
	int status = program_check(operation, size);
	if (status)
		l->options.program_answered(l->options.data, request, status, 0);
	else if (program_begin(l, request))
		replica_propose(l->replica, request | PROGRAM, operation, size,
		    now + LEDGER_PROGRAM_TIMEOUT_MS, now);
}

void ledger_program_read(void *data, uint64_t request)
{
	struct ledger *l = data;
	uint64_t now = clock_ms();
	if (program_begin(l, request))
		replica_read(l->replica, request | PROGRAM, now + LEDGER_PROGRAM_TIMEOUT_MS, now);
}

void ledger_program_read_by_round(void *data, uint64_t request)
{
	struct ledger *l = data;
	uint64_t now = clock_ms();
	if (program_begin(l, request))
		replica_read_by_round(
		    l->replica, request | PROGRAM, now + LEDGER_PROGRAM_TIMEOUT_MS, now);
}

void ledger_propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	struct ledger *l = data;
	struct buffer bytes = {0};
	uint64_t now = clock_ms();
	/* What the leader says, and what changes nothing, needs no mark. */
	bool own = command->number != COMMAND_tick && command->number != COMMAND_probe;
	if (own && l->own >= LEDGER_OWN_MAX) {
		refuse(done, done_data, -EAGAIN, "too much is under way: try again");
		return;
	}
	struct request *request = request_begin(l, done, done_data);
	if (!request)
		return;
	command->client = own ? l->client : 0;
	command->sequence = own ? ++l->sequence : 0;
	request->sequence = command->sequence;
	l->own += own;
	command_encode(command, &bytes);
	replica_propose(l->replica, request->number, bytes.data, bytes.size, now + timeout_ms, now);
	buffer_close(&bytes);
	l->options.stirred(l->options.data);
}

static void member_changed(void *data, int result, uint64_t index, const struct err *err)
{
	if (result < 0 && result != -EBUSY && result != -ENOTCONN)
		log_warning("The members could not be changed: %s", err->text);
}

void ledger_change_member(struct ledger *l, const struct member_change *change)
{
	uint64_t now = clock_ms();
	struct request *request = request_begin(l, member_changed, l);
	if (!request)
		return;
	if (change->type == MEMBER_CHANGE_SET)
		replica_member_set(l->replica, request->number, change->id, change->address,
		    change->role, now + MEMBER_TIMEOUT_MS, now);
	else
		replica_member_remove(
		    l->replica, request->number, change->id, now + MEMBER_TIMEOUT_MS, now);
}
