#include "node/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "fsm/schema.h"
#include "node/trust/admission.h"
#include "node/agent.h"
#include "node/log/banner.h"
#include "node/config/config.h"
#include "node/config/config_idle.h"
#include "node/member/contacts.h"
#include "node/member/found.h"
#include "node/control/control.h"
#include "node/trust/credentials.h"
#include "node/duties.h"
#include "node/ending.h"
#include "node/control/forward.h"
#include "node/host.h"
#include "node/log/journal.h"
#include "node/member/ledger.h"
#include "node/log/log.h"
#include "node/control/notify.h"
#include "node/member/removal.h"
#include "node/member/round_trip.h"
#include "node/trust/trust_keeper.h"
#include "node/trust/trust_wire.h"
#include "node/worker/console_client.h"
#include "raft/clock.h"

/* For what was closed to end; a guard that still stops services goes on without us. */
#define LINGER_MS    3000
#define LOG_FLUSH_MS 500
/* Of its log a witness keeps little in memory: it is a small machine. */
#define WITNESS_LOG_BYTES (256u << 10)
/* Judging costs a walk over all VMs: under a flood of operations not at each turn. */
#define DUTIES_EVERY_MS	     5
#define FOUNDING_AGAIN_MS    1000
#define KEEPER_SAYS_EVERY_MS 500
#define REMOVAL_EVERY_MS     500

struct daemon {
	uv_loop_t loop;
	uv_prepare_t turn;
	uv_timer_t timer;
	uv_signal_t terminate, interrupt, hangup;
	struct config config;
	struct identity_files files;
	struct identity identity;
	struct cluster cluster;
	struct context context;
	struct admission admission;
	struct ledger *ledger;
	struct peers *peers;
	struct control *control;
	struct duties *duties;
	struct journal *journal;
	struct forward *forward;
	struct keeper *keeper;
	struct console_client *console;
	uint64_t duties_ms; /* when they are due */
	uint64_t keeper_said_ms;
	uint64_t judged_ms; /* when they were last looked at */
	uint64_t founding_ms; /* when to found the cluster, should it not be */
	uint64_t watchdog_ms;
	uint64_t removal_ms; /* when to look whether this node was removed */
	struct removal_watch removal;
	struct contacts contacts;
	struct ending ending;
	uint64_t told_index; /* of the value, to those who watch */
	bool stirred; /* somebody has something for the duties */
	bool value_moved; /* since they were last looked at */
	bool closing, told_ready;
};

static const char *data_directory(const struct daemon *d)
{
	return d->config.system.configuration.directories.data_directory;
}

/* The context. */

static uint64_t context_now(void *data)
{
	return clock_ms();
}

static struct replica *context_replica(void *data)
{
	struct daemon *d = data;
	return ledger_replica(d->ledger);
}

static const char *context_trouble(void *data)
{
	struct daemon *d = data;
	return ledger_trouble(d->ledger);
}

static void context_propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	struct daemon *d = data;
	ledger_propose(d->ledger, command, timeout_ms, done, done_data);
}

static int context_token(void *data, struct context_token *token, struct err *err)
{
	struct daemon *d = data;
	return admission_token(&d->admission, token, err);
}

static uint64_t context_lines(void *data, uint64_t after, unsigned most, struct buffer *out)
{
	return log_after(after, most, out);
}

static const char *context_removal(void *data)
{
	struct daemon *d = data;
	return removal_text(d->removal.now);
}

static uint64_t context_now_us(void *data)
{
	return clock_us();
}

static void context_files(void *data, struct wal_status *status)
{
	struct daemon *d = data;
	ledger_wal_status(d->ledger, status);
}

static unsigned context_peers(void *data, struct peers_status *status, unsigned max)
{
	struct daemon *d = data;
	return d->peers ? peers_status(d->peers, status, max) : 0;
}

static void context_ask(void *data, uint32_t node, const struct operation_call *call,
    operation_done done, void *done_data)
{
	struct daemon *d = data;
	forward_ask(d->forward, node, call, done, done_data);
}

static void context_console(
    void *data, const struct console_query *query, console_done done, void *done_data)
{
	struct daemon *d = data;
	struct err err;
	int result = console_ask(d->console, query, done, done_data);
	if (!result)
		return;
	err_set(&err, 0, "too many consoles are being read here: try again");
	done(done_data, result, NULL, &err);
}

static void context_flush(void *data, const struct execute_flush *flush)
{
	struct daemon *d = data;
	duties_flush(d->duties, flush);
}

static void context_validate(void *data, const char *xml, context_checked done, void *done_data)
{
	struct daemon *d = data;
	duties_validate(d->duties, xml, done, done_data);
}

/* Between the parts. */

static void stirred(void *data)
{
	struct daemon *d = data;
	d->stirred = true;
}

_Static_assert(REPLICA_MESSAGE_MAX <= PEERS_FRAME_MAX, "what raft says must fit into a frame");
_Static_assert(FORWARD_MESSAGE_MAX <= PEERS_FRAME_MAX, "and what nodes ask each other");

static void send_to(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	struct daemon *d = data;
	if (d->peers)
		peers_send(d->peers, to, bytes, size);
}

static void make_context(struct daemon *d)
{
	d->context = (struct context){
	    .data = d,
	    .id = (uint32_t)d->identity.id,
	    .cluster = &d->cluster,
	    .config = &d->config,
	    .now_ms = context_now,
	    .replica = context_replica,
	    .trouble = context_trouble,
	    .propose = context_propose,
	    .journal = d->journal,
	    .token = context_token,
	    .lines = context_lines,
	    .removal = context_removal,
	    .now_us = context_now_us,
	    .files = context_files,
	    .peers = context_peers,
	    .ask = context_ask,
	    .console = context_console,
	    .flush = context_flush,
	    .validate = context_validate,
	};
	struct forward_options forward = {.context = &d->context, .send = send_to, .data = d};
	d->forward = forward_new(&forward);
	d->console = console_client_new(&d->loop);
}

static void program_answered(void *data, uint64_t request, int result, uint64_t index)
{
	struct daemon *d = data;
	control_answered(d->control, request, result, index);
}

/* Of a member that the value does not know, what only a member may ask has to wait. */
static bool may_say(const struct daemon *d, uint64_t from, uint8_t mark)
{
	bool asks =
	    mark == AGENT_KEEPALIVE_MARK || mark == FORWARD_ASK_MARK || mark == TRUST_ASK_MARK;
	return !asks || !contacts_unheard_of(&d->cluster, from);
}

static void peer_received(void *data, uint64_t from, const uint8_t *bytes, size_t size)
{
	struct daemon *d = data;
	struct replica *replica = ledger_replica(d->ledger);
	if (size && !may_say(d, from, bytes[0]))
		log_debug("main", "node %" PRIu64 " may only speak for the log yet", from);
	else if (size && agent_hears(bytes[0]))
		duties_heard(d->duties, from, bytes, size);
	else if (size && (bytes[0] == FORWARD_ASK_MARK || bytes[0] == FORWARD_ANSWER_MARK))
		forward_received(d->forward, from, bytes, size);
	else if (size && (bytes[0] == TRUST_ASK_MARK || bytes[0] == TRUST_ANSWER_MARK))
		keeper_received(d->keeper, from, bytes, size);
	else if (replica)
		replica_receive(replica, from, bytes, size, clock_ms());
}

static void peer_lost(void *data, uint64_t member)
{
	struct daemon *d = data;
	struct replica *replica = ledger_replica(d->ledger);
	log_debug("main", "the connection with node %" PRIu64 " was closed", member);
	if (replica)
		replica_lost(replica, member, clock_ms());
}

static void peer_stranger(void *data, const char *address, const char *why)
{
	log_warning("Turned away %s: %s", address, why);
}

static void peer_joined(void *data, uint64_t guest, const struct guest_request *request)
{
	struct daemon *d = data;
	admission_joined(&d->admission, guest, request);
}

static void tell_members(struct daemon *d)
{
	struct peers_member members[PEERS_MEMBERS_MAX];
	unsigned n =
	    contacts_members(&d->contacts, &d->cluster, ledger_replica(d->ledger), members);
	peers_given_out(d->peers, d->cluster.settings.next_node);
	peers_members(d->peers, members, n);
}

static void peer_younger(void *data, const struct peers_member *who)
{
	struct daemon *d = data;
	struct replica_status status;
	const struct replica *replica = ledger_replica(d->ledger);
	if (!replica)
		return;
	replica_status(replica, &status);
	if (contacts_add(&d->contacts, &d->cluster, &status, who, clock_ms()))
		return;
	log_info("Node %" PRIu64 " (%s) joined while this node was away, and no leader is known: "
		 "it is heard, at %s",
	    who->id, who->name, who->address);
	tell_members(d);
}

static uint32_t slowest_voter_us(void *data)
{
	struct daemon *d = data;
	return round_trip_slowest_us(d->peers, ledger_replica(d->ledger));
}

/* Turns. */

static void turn_value(struct daemon *d)
{
	if (d->cluster.index == d->told_index)
		return;
	d->told_index = d->cluster.index;
	d->value_moved = true;
	control_changed(d->control);
}

static void turn_founding(struct daemon *d, uint64_t now)
{
	struct replica_status status;
	struct replica *replica = ledger_replica(d->ledger);
	if (d->cluster.settings.schema || !replica || d->identity.id != 1)
		return;
	replica_status(replica, &status);
	if (status.role != REPLICA_LEADER || now < d->founding_ms)
		return;
	d->founding_ms = now + FOUNDING_AGAIN_MS;
	found_propose(&d->config, &d->files, &d->identity, d->ledger);
}

/* When the duties are due next. What happens soon after one another is judged at once. */
static uint64_t turn_duties(struct daemon *d, uint64_t now)
{
	bool news = d->stirred || d->value_moved;
	if (news && d->duties_ms > d->judged_ms + DUTIES_EVERY_MS)
		d->duties_ms = d->judged_ms + DUTIES_EVERY_MS;
	if (now < d->duties_ms)
		return d->duties_ms;
	if (d->value_moved)
		tell_members(d);
	d->stirred = d->value_moved = false;
	d->judged_ms = now;
	turn_founding(d, now);
	d->duties_ms = duties_turn(d->duties, now);
	return d->stirred ? now + DUTIES_EVERY_MS : d->duties_ms;
}

/* Certificates; what is wrong with them goes to everybody. */
static uint64_t turn_keeper(struct daemon *d, uint64_t now)
{
	char text[128] = "";
	if (now >= d->keeper_said_ms) {
		bool trouble = keeper_trouble(d->keeper, text, sizeof(text));
		duties_collected(
		    d->duties, "certificate", trouble ? COLLECTOR_FAILED : COLLECTOR_OK, text, now);
		d->keeper_said_ms = now + KEEPER_SAYS_EVERY_MS;
	}
	return keeper_turn(d->keeper, now);
}

/* Returns whether this node was removed, and has nothing left to do. */
static bool turn_removal(struct daemon *d, uint64_t now)
{
	const struct replica *replica = ledger_replica(d->ledger);
	if (replica && now >= d->removal_ms) {
		/* The log's own members change without the value. */
		tell_members(d);
		removal_look(&d->removal, &d->cluster, replica, d->peers, now);
		removal_tell(&d->removal, data_directory(d));
		d->removal_ms = now + REMOVAL_EVERY_MS;
	}
	return d->removal.now == REMOVAL_DONE;
}

static void turn_notify(struct daemon *d, uint64_t now)
{
	uint64_t every_ms = notify_watchdog_ms();
	if (!d->told_ready) {
		d->told_ready = true;
		notify_ready();
	}
	if (every_ms && now - d->watchdog_ms >= every_ms) {
		d->watchdog_ms = now;
		notify_watchdog();
	}
}

/* Only wakes the loop: what is due is found by turn(). */
static void timer(uv_timer_t *handle)
{
}

static void peers_closed(void *data)
{
}

/* Whatever of it was opened. Everybody who waits is answered while all who are told are there. */
static void close_parts(struct daemon *d)
{
	d->closing = true;
	if (d->console)
		console_client_close(d->console);
	if (d->control)
		control_close(d->control);
	if (d->ledger)
		ledger_close(d->ledger);
	if (d->duties)
		duties_close(d->duties);
	if (d->forward)
		forward_free(d->forward);
	if (d->keeper)
		keeper_close(d->keeper);
	if (d->peers)
		peers_close(d->peers, peers_closed, d);
	d->peers = NULL;
}

static void lingered(uv_timer_t *handle)
{
	uv_stop(handle->loop);
}

static void close_all(struct daemon *d)
{
	uv_handle_t *const handles[] = {(uv_handle_t *)&d->turn, (uv_handle_t *)&d->terminate,
	    (uv_handle_t *)&d->interrupt, (uv_handle_t *)&d->hangup};
	close_parts(d);
	for (unsigned i = 0; i < sizeof(handles) / sizeof(*handles); i++)
		uv_close(handles[i], NULL);
	uv_timer_start(&d->timer, lingered, LINGER_MS, 0);
	uv_unref((uv_handle_t *)&d->timer);
}

static void turn(uv_prepare_t *prepare)
{
	struct daemon *d = prepare->data;
	if (d->closing)
		return;
	uint64_t now = clock_ms();
	turn_value(d);
	uint64_t next = turn_duties(d, now);
	uint64_t due = ledger_turn(d->ledger, now);
	uint64_t renew = duties_renew(d->duties, now);
	uint64_t forward = forward_turn(d->forward, now);
	uint64_t keeper = turn_keeper(d, now);
	turn_value(d);
	turn_notify(d, now);
	bool stopped = ending_turn(&d->ending, d->duties, now);
	if (turn_removal(d, now) || stopped) {
		close_all(d);
		return;
	}
	if ((d->stirred || d->value_moved) && next > d->judged_ms + DUTIES_EVERY_MS)
		next = d->judged_ms + DUTIES_EVERY_MS;
	next = due < next ? due : next;
	next = renew < next ? renew : next;
	next = forward < next ? forward : next;
	next = keeper < next ? keeper : next;
	uv_update_time(&d->loop);
	uv_timer_start(&d->timer, timer, next > now ? next - now : 0, 0);
}

/* Signals. */

static void on_terminate(uv_signal_t *handle, int number)
{
	struct daemon *d = handle->data;
	ending_ask(&d->ending, d->duties, clock_ms());
}

static void on_hangup(uv_signal_t *handle, int number)
{
	log_reopen();
}

static void watch_signals(struct daemon *d)
{
	struct {
		uv_signal_t *handle;
		uv_signal_cb run;
		int number;
	} signals[] = {
	    {&d->terminate, on_terminate, SIGTERM},
	    {&d->interrupt, on_terminate, SIGINT},
	    {&d->hangup, on_hangup, SIGHUP},
	};
	/* A peer that is killed must not kill us with its last packet. */
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		uv_signal_init(&d->loop, signals[i].handle);
		signals[i].handle->data = d;
		uv_signal_start(signals[i].handle, signals[i].run, signals[i].number);
	}
}

/* Start. */

static int start_log(struct daemon *d, struct err *err)
{
	const struct config_configuration *c = &d->config.system.configuration;
	const struct config_logging *logging = &c->logging;
	char file[1024];
	mkdir(c->directories.log_directory, 0755);
	snprintf(file, sizeof(file), "%s/pvcnoded.log", c->directories.log_directory);
	struct log_options options = {
	    .name = "pvcnoded",
	    .node = d->config.node,
	    .file = logging->file_logging ? file : NULL,
	    .to_stdout = logging->stdout_logging,
	    .to_journal = logging->journal_logging,
	    .colours = logging->log_colours,
	    .dates = logging->log_dates,
	    .debug = d->config.debug,
	    .lines = logging->node_log_lines,
	};
	return log_open(&options, err);
}

static void warn_of_idle(void *data, const char *key)
{
	log_warning("%s " CONFIG_IDLE_TEXT, key);
}

static void start_banner(struct daemon *d)
{
	struct banner_facts facts = {
	    .daemon = "pvcnoded",
	    .version = PVC_VERSION,
	    .raft_version = replica_library_version(),
	    .node = d->config.node,
	    .id = d->identity.id,
	    .cluster = d->config.cluster.name,
	    .domain = d->config.cluster.networks.cluster.domain,
	    .ipmi_host = d->config.system.fencing.ipmi.host,
	    .schema_min = SCHEMA_MIN,
	    .schema_max = SCHEMA_MAX,
	};
	banner_print(&facts);
	config_idle_each(&d->config, warn_of_idle, NULL);
}

static int start_ledger(struct daemon *d, struct err *err)
{
	char path[1024], peer[CONFIG_PEER_MAX], aside[256];
	const struct config_raft *raft = &d->config.raft;
	snprintf(path, sizeof(path), "%s/raft", data_directory(d));
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	config_peer(&d->config, peer);
	struct ledger_options options = {
	    .loop = &d->loop,
	    .directory = path,
	    .replica = {.id = d->identity.id,
		.address = peer,
		.heartbeat_ms = raft->heartbeat_ms,
		.election_ms = raft->election_ms,
		.lease_ms = config_lease_ms(raft),
		.snapshot_log_bytes = d->config.mode == MODE_WITNESS ? WITNESS_LOG_BYTES : 0},
	    .cluster = &d->cluster,
	    .journal = d->journal,
	    .send = send_to,
	    .stirred = stirred,
	    .program_answered = program_answered,
	    .data = d,
	};
	int result = ledger_open(&d->ledger, &options, err);
	if (result == -EBADMSG) {
		log_error("%s", err->text);
		result = wal_set_aside(path, aside, err);
		if (!result)
			result = err_set(
			    err, -ENODATA, "the log was damaged and is now in %s/%s", path, aside);
	}
	/* Its vote may be lost with it: under this id it must never come back. */
	if (result == -ENODATA)
		return err_wrap(err, -EUCLEAN,
		    "run `pvc cluster member remove %s` on another node, remove %s here and join "
		    "again",
		    d->config.node, data_directory(d));
	return result;
}

static int start_schema(struct daemon *d, struct err *err)
{
	uint32_t schema = d->cluster.settings.schema;
	if (schema && (schema < SCHEMA_MIN || schema > SCHEMA_MAX))
		return err_set(err, -ENOTSUP,
		    "schema %" PRIu32 " is active; this version can do %d to %d", schema,
		    SCHEMA_MIN, SCHEMA_MAX);
	log_info("The log is open at index %" PRIu64 "; schema %" PRIu32, d->cluster.index, schema);
	return 0;
}

static int start_peers(struct daemon *d, struct err *err)
{
	struct endpoint endpoint;
	struct endpoint_address address;
	char peer[CONFIG_PEER_MAX];
	const char *listen = *d->config.raft.address ? d->config.raft.address : "::";
	snprintf(endpoint.host, sizeof(endpoint.host), "%.127s", listen);
	snprintf(endpoint.port, sizeof(endpoint.port), "%u", d->config.raft.port & 0xffff);
	/* A name is for the others: it is listened on everywhere. */
	if (endpoint_numeric(&endpoint, &address)) {
		log_info("raft.address %s is a name: members are heard on every address", listen);
		listen = "::";
	}
	config_peer(&d->config, peer);
	struct peers_options options = {
	    .loop = &d->loop,
	    .files = &d->files,
	    .address = peer,
	    .listen_address = listen,
	    .port = (uint16_t)d->config.raft.port,
	    .user_timeout_ms = d->config.raft.election_ms * 4,
	    .handlers = {.data = d,
		.received = peer_received,
		.lost = peer_lost,
		.stranger = peer_stranger,
		.joined = peer_joined,
		.younger = peer_younger},
	};
	int result = peers_open(&d->peers, &options, err);
	if (result)
		return result;
	contacts_load(&d->contacts, data_directory(d), clock_ms());
	removal_note_remove(data_directory(d));
	d->admission =
	    (struct admission){.context = &d->context, .files = &d->files, .peers = d->peers};
	log_info("Members are heard on %s port %u", listen, peers_port(d->peers));
	return 0;
}

static struct standing present_standing(void *data)
{
	struct daemon *d = data;
	return standing_of(ledger_replica(d->ledger), clock_ms());
}

static int renewed(void *data, struct err *err)
{
	struct daemon *d = data;
	return d->peers ? peers_identity(d->peers, &d->files, err) : 0;
}

static int start_keeper(struct daemon *d, struct err *err)
{
	char path[1024];
	credentials_directory(&d->config, path);
	struct keeper_options options = {
	    .loop = &d->loop,
	    .context = &d->context,
	    .directory = path,
	    .files = &d->files,
	    .certificate_days = d->config.raft.certificate_days,
	    .standing = present_standing,
	    .send = send_to,
	    .renewed = renewed,
	    .stirred = stirred,
	    .data = d,
	};
	d->keeper = keeper_new(&options);
	return 0;
}

static int start_control(struct daemon *d, struct err *err)
{
	char path[1024];
	const char *directory = d->config.system.configuration.directories.dynamic_directory;
	/* The socket itself says who may use it. */
	bool made = mkdir(directory, 0755) == 0;
	if (made ? chmod(directory, 0755) : errno != EEXIST)
		return err_set(err, -errno, "%s: %s", directory, strerror(errno));
	snprintf(path, sizeof(path), "%s/pvcnoded.sock", directory);
	struct control_options options = {
	    .loop = &d->loop,
	    .path = path,
	    .context = &d->context,
	    .ports = {.data = d->ledger,
		.propose = ledger_program_propose,
		.read = ledger_program_read,
		.read_by_round = ledger_program_read_by_round},
	};
	return control_open(&d->control, &options, err);
}

static int start_duties(struct daemon *d, struct err *err)
{
	struct duties_options options = {
	    .loop = &d->loop,
	    .config = &d->config,
	    .context = &d->context,
	    .ledger = d->ledger,
	    .send = send_to,
	    .rtt_us = slowest_voter_us,
	    .stirred = stirred,
	    .data = d,
	};
	return duties_open(&d->duties, &options, err);
}

static int start(struct daemon *d, struct err *err)
{
	int (*const steps[])(struct daemon *, struct err *) = {
	    start_ledger, start_schema, start_peers, start_keeper, start_control, start_duties};
	int result = credentials_load(&d->config, &d->files, &d->identity, err);
	start_banner(d);
	make_context(d);
	for (unsigned i = 0; !result && i < sizeof(steps) / sizeof(*steps); i++)
		result = steps[i](d, err);
	if (result)
		return result;
	watch_signals(d);
	uv_timer_init(&d->loop, &d->timer);
	uv_prepare_init(&d->loop, &d->turn);
	d->turn.data = d;
	d->value_moved = true;
	uv_prepare_start(&d->turn, turn);
	return 0;
}

/* To the log, and to whoever started us where there is none. */
static void say_error(const char *what, const char *text)
{
	log_error("%s%s", what, text);
	if (!log_is_heard())
		fprintf(stderr, "pvcnoded: %s%s\n", what, text);
}

static void daemon_free(struct daemon *d)
{
	if (d->closing && uv_handle_get_loop((uv_handle_t *)&d->timer)) {
		uv_close((uv_handle_t *)&d->timer, NULL);
		uv_run(&d->loop, UV_RUN_NOWAIT);
	}
	uv_loop_close(&d->loop);
	cluster_close(&d->cluster);
	journal_free(d->journal);
	identity_files_close(&d->files);
	free(d);
}

int daemon_run(const char *path)
{
	struct buffer problems = {0};
	struct err err = {{0}};
	struct daemon *d = must_alloc(sizeof(*d));
	if (config_load(&d->config, config_path(path), &problems)) {
		fprintf(stderr, "%.*s", (int)problems.size, (char *)problems.data);
		buffer_close(&problems);
		free(d);
		return 2;
	}
	umask(0077);
	host_raise_files();
	cluster_init(&d->cluster);
	uv_loop_init(&d->loop);
	d->journal = journal_new();
	int result = start_log(d, &err);
	if (result)
		say_error("", err.text);
	result = start(d, &err);
	if (result) {
		say_error("Cannot start: ", err.text);
		close_parts(d);
	}
	uv_run(&d->loop, UV_RUN_DEFAULT);
	if (!result)
		log_system("Stopped");
	bool removed = d->removal.now == REMOVAL_DONE;
	if (removed && removal_note_write(&d->removal, data_directory(d), &err))
		log_error("%s", err.text);
	log_close(LOG_FLUSH_MS);
	daemon_free(d);
	if (result == -EUCLEAN || result == -ENOTSUP || removed)
		return DAEMON_EXIT_PERSON;
	return result ? 1 : 0;
}
