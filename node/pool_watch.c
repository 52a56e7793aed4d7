#include "node/pool_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsm/history.h"
#include "node/worker/collector.h"
#include "node/log/log.h"
#include "node/worker/pool_client.h"
#include "node/statistics.h"
#include "raft/clock.h"

/* A manager that hung is left alone for that long: whatever asks it waits in a queue of it. */
#define MANAGER_PAUSE_MS   10000
#define PROPOSE_TIMEOUT_MS 10000

/* One worker, and what is known of how it answers. It lives until its worker is gone. */
struct asker {
	struct pool_watch *watch;
	struct pool_client *client;
	struct collector_watch collector;
	bool leaving;
};

struct pool_watch {
	struct pool_watch_options options;
	struct statistics statistics;
	uint64_t every_ms;
	struct asker *pool;
	struct asker *manager; /* NULL: this node is not the primary */
	unsigned askers; /* whose workers are not gone */
	bool news; /* something was said since the last report */
	bool reporting; /* one is under way */
	uint64_t report_ms; /* when the next may be */
	void (*closed)(void *data);
	void *closed_data;
};

/* Every change of how it answers is the collector's to tell. */
static void told(void *data, enum worker_event event, const char *text)
{
	const struct asker *a = data;
	char place[32];
	snprintf(place, sizeof(place), "%s worker", a->collector.options.name);
	log_debug(place, "%s", text);
}

static struct asker *asker_open(struct pool_watch *w, const char *name, uint64_t pause_ms)
{
	const struct config *config = w->options.config;
	const struct config_storage *storage = &config->system.configuration.storage;
	struct asker *a = must_alloc(sizeof(*a));
	a->watch = w;
	struct collector_options collector = {
	    .name = name, .agent = w->options.agent, .every_ms = w->every_ms, .pause_ms = pause_ms};
	collector_open(&a->collector, &collector);
	struct pool_client_options client = {
	    .loop = w->options.loop,
	    .name = name,
	    .driver = config_pool_names[config->pool.driver],
	    .pool = {.config_file = storage->ceph_config_file,
		.keyring = storage->ceph_admin_keyring,
		/* Whoever hangs is killed: a new process finds a monitor that answers. */
		.timeout_s = (collector_deadline_ms(w->every_ms) + 999) / 1000},
	    .told = told,
	    .data = a,
	};
	a->client = pool_client_new(&client);
	if (!a->client) {
		free(a);
		return NULL;
	}
	w->askers++;
	return a;
}

static void watch_gone(struct pool_watch *w)
{
	statistics_clear(&w->statistics);
	w->closed(w->closed_data);
	free(w);
}

static void asker_gone(void *data)
{
	struct asker *a = data;
	struct pool_watch *w = a->watch;
	free(a);
	w->askers--;
	if (w->closed && !w->askers && !w->reporting)
		watch_gone(w);
}

static void asker_leave(struct asker *a)
{
	a->leaving = true;
	pool_client_close(a->client, asker_gone, a);
}

static void answered(struct asker *a, const struct pool_sight *sight)
{
	struct pool_watch *w = a->watch;
	struct collector_answer answer = {.status = sight->status,
	    .text = sight->err->text,
	    .kills = pool_client_status(a->client).kills};
	collector_end(&a->collector, &answer, clock_ms());
	w->options.changed(w->options.data);
}

/* The machine is called as the node is, or as it calls itself. */
static void tell_osds(struct pool_watch *w)
{
	char host[256] = "";
	const struct context *context = w->options.context;
	const struct node *me = cluster_node(context->cluster, context->id);
	gethostname(host, sizeof(host) - 1);
	const char *const names[] = {me ? me->name : "", host, NULL};
	uint32_t n;
	struct ceph_id *ids = statistics_osds_of(&w->statistics, names, &n);
	agent_has_osds(w->options.agent, ids, n);
}

static void looked(void *data, struct pool_sight *sight)
{
	struct asker *a = data;
	struct pool_watch *w = a->watch;
	if (a->leaving)
		return;
	if (!sight->status) {
		statistics_looked(&w->statistics, &sight->view);
		tell_osds(w);
		w->news = true;
	}
	answered(a, sight);
}

static void measured(void *data, struct pool_sight *sight)
{
	struct asker *a = data;
	if (a->leaving)
		return;
	if (!sight->status) {
		statistics_measured(&a->watch->statistics, &sight->view);
		a->watch->news = true;
	}
	answered(a, sight);
}

/* When it is time again. */
static uint64_t asker_turn(struct asker *a, uint64_t now)
{
	if (now < collector_due_ms(&a->collector))
		return collector_due_ms(&a->collector);
	unsigned deadline_ms = collector_begin(&a->collector, now);
	bool monitors = a == a->watch->pool;
	int result = monitors ? pool_look(a->client, deadline_ms, looked, a)
			      : pool_measure(a->client, deadline_ms, measured, a);
	if (result) {
		struct collector_answer answer = {.status = result,
		    .text = strerror(-result),
		    .kills = pool_client_status(a->client).kills};
		collector_end(&a->collector, &answer, now);
	}
	return collector_due_ms(&a->collector);
}

static bool is_primary(const struct pool_watch *w)
{
	const struct context *context = w->options.context;
	const struct primary *p = &context->cluster->primary;
	return p->node == context->id && p->state == COORDINATOR_PRIMARY &&
	       !history_diverged_at(context->cluster);
}

/* What the manager says is about what the monitors have listed. */
static void follow_role(struct pool_watch *w)
{
	bool wanted = is_primary(w) && w->statistics.listed;
	if (wanted && !w->manager) {
		w->manager = asker_open(w, "manager", MANAGER_PAUSE_MS);
		statistics_adopt(&w->statistics, w->options.context->cluster);
		/* What the monitors said long ago is no news. */
		w->news = w->pool->collector.state == COLLECTOR_OK;
	} else if (!wanted && w->manager) {
		asker_leave(w->manager);
		w->manager = NULL;
		agent_forgets(w->options.agent, "manager");
	}
}

static void reported(void *data, int result, uint64_t index, const struct err *err)
{
	struct pool_watch *w = data;
	w->reporting = false;
	if (w->closed && !w->askers)
		watch_gone(w);
	/* The next look tells it again. ESTALE: another is the primary by now. */
	else if (result < 0 && result != -ESTALE && result != -ENOTCONN && result != -ETIMEDOUT)
		log_warning("The log refused what Ceph says: %s", err->text);
}

/* Both are asked at the same time: what the manager says goes with what the monitors said, unless
 * it takes its time. */
static uint64_t report_due_ms(const struct pool_watch *w)
{
	const struct collector_watch *manager = &w->manager->collector;
	uint64_t together_ms = manager->due_ms - w->every_ms / 2;
	return manager->asked && together_ms > w->report_ms ? together_ms : w->report_ms;
}

static uint64_t turn_report(struct pool_watch *w, uint64_t now)
{
	const struct context *context = w->options.context;
	const struct primary *p = &context->cluster->primary;
	struct command command = {.number = COMMAND_ceph_report};
	if (!w->news || w->reporting || !w->manager)
		return UINT64_MAX;
	if (now < report_due_ms(w))
		return report_due_ms(w);
	w->news = false;
	if (!statistics_report(&w->statistics, context->cluster, &command.ceph_report))
		return UINT64_MAX;
	command.ceph_report.node = p->node;
	command.ceph_report.epoch = p->epoch;
	w->reporting = true;
	w->report_ms = now + w->every_ms;
	context->propose(context->data, &command, PROPOSE_TIMEOUT_MS, reported, w);
	command_clear(&command);
	return UINT64_MAX;
}

int pool_watch_open(
    struct pool_watch **watch, const struct pool_watch_options *options, struct err *err)
{
	struct pool_watch *w = must_alloc(sizeof(*w));
	w->options = *options;
	w->every_ms = options->agent->options.keepalive_interval_ms;
	w->pool = asker_open(w, "pool", 0);
	if (!w->pool) {
		free(w);
		return err_set(err, -ENOMEM, "the disk pool's worker cannot be started");
	}
	*watch = w;
	return 0;
}

/* Asked at the same time, both are told in one report. */
static void keep_in_step(struct pool_watch *w, uint64_t now)
{
	if (now >= collector_due_ms(&w->pool->collector) && w->manager &&
	    collector_due_ms(&w->manager->collector) < now + w->every_ms / 2)
		collector_hasten(&w->manager->collector);
}

uint64_t pool_watch_turn(struct pool_watch *w, uint64_t now)
{
	follow_role(w);
	keep_in_step(w, now);
	uint64_t next = asker_turn(w->pool, now);
	uint64_t manager = w->manager ? asker_turn(w->manager, now) : UINT64_MAX;
	uint64_t report = turn_report(w, now);
	next = manager < next ? manager : next;
	return report < next ? report : next;
}

void pool_watch_close(struct pool_watch *w, void (*closed)(void *data), void *data)
{
	w->closed = closed;
	w->closed_data = data;
	if (w->manager)
		asker_leave(w->manager);
	asker_leave(w->pool);
}
