#include "node/vm/locks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/log/log.h"
#include "node/own_address.h"
#include "node/worker/pool_client.h"

/* Of one VM with many disks, and of those that wait before it. */
#define RELEASE_DEADLINE_MS 10000
/* Of each step of the library's. */
#define POOL_TIMEOUT_S 2

enum pending_state { PENDING_NEW, PENDING_LISTED, PENDING_RELEASED };

struct pending { /* one order: what is asked for it at present */
	struct pending *next;
	struct locks *locks;
	enum pending_state state;
	char uuid[37];
	char *proven;
	struct release release;
	int (*check)(void *data, struct err *err);
	void (*done)(void *data, const struct locks_outcome *outcome); /* NULL: was called */
	void *data;
};

struct locks {
	struct locks_options options;
	struct pool_client *pool; /* NULL: it was not needed yet */
	struct pending *first; /* in the order they came */
	unsigned count;
	bool listing; /* the hypervisor is asked */
	void (*closed)(void *data);
	void *closed_data;
};

struct locks *locks_new(const struct locks_options *options)
{
	struct locks *l = must_alloc(sizeof(*l));
	l->options = *options;
	return l;
}

static void told(void *data, enum worker_event event, const char *text)
{
	if (event == WORKER_STARTED)
		log_debug("pool worker", "for locks: %s", text);
	else
		log_warning("pool worker for locks: %s", text);
}

static struct pool_client *pool_of(struct locks *l)
{
	const struct config *config = l->options.config;
	const struct config_storage *storage = &config->system.configuration.storage;
	if (l->pool)
		return l->pool;
	struct pool_client_options options = {
	    .loop = l->options.loop,
	    .driver = config_pool_names[config->pool.driver],
	    .pool = {.config_file = storage->ceph_config_file,
		.keyring = storage->ceph_admin_keyring,
		.timeout_s = POOL_TIMEOUT_S},
	    .told = told,
	    .data = l,
	};
	return l->pool = pool_client_new(&options);
}

static void pending_end(struct pending *p, const struct locks_outcome *outcome)
{
	struct locks *l = p->locks;
	struct pending **at = &l->first;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	l->count--;
	if (p->done)
		p->done(p->data, outcome);
	free(p->proven);
	free(p);
}

static void pending_fail(struct pending *p, int status, const char *text)
{
	struct err err;
	err_set(&err, 0, "%s", text);
	pending_end(p, &(struct locks_outcome){.status = status, .err = &err});
}

/* Only we say that it runs here. */
static int failure_of(int status)
{
	return status == -EBUSY ? -EIO : status;
}

static void on_released(void *data, const struct pool_released *released)
{
	struct pending *p = data;
	struct err err;
	struct locks_outcome outcome = {.err = &err, .result = released->result};
	log_debug("pool worker", "release: %u locks, took %u ms",
	    released->status ? 0 : released->result->count,
	    pool_client_status(p->locks->pool).answer_took_ms);
	if (released->status) {
		outcome.status = err_set(
		    &err, failure_of(released->status), "the disk pool: %s", released->err->text);
		outcome.result = NULL;
	}
	pending_end(p, &outcome);
}

/* It does not run here: that is certain from now on until somebody starts it. */
static void pool_ask(struct pending *p)
{
	char own[OWN_ADDRESSES_MAX];
	int result = own_addresses(p->locks->options.config, own);
	p->release.own = own;
	p->state = PENDING_RELEASED;
	if (!result)
		result = pool_release(
		    pool_of(p->locks), &p->release, RELEASE_DEADLINE_MS, on_released, p);
	if (result)
		pending_fail(p, result, strerror(-result));
}

static bool is_off(const struct hypervisor_listing *listing, const char *uuid)
{
	for (unsigned i = 0; i < listing->n; i++)
		if (!strcmp(listing->vms[i].uuid, uuid))
			return listing->vms[i].observed == OBSERVED_SHUTOFF ||
			       listing->vms[i].observed == OBSERVED_CRASHED;
	return true;
}

static void judge(struct pending *p, const struct hypervisor_listing *listing)
{
	struct err err;
	int unwanted = p->done && p->check ? p->check(p->data, &err) : 0;
	if (listing->status)
		pending_fail(p, failure_of(listing->status), listing->err->text);
	else if (!is_off(listing, p->uuid))
		pending_fail(p, -EBUSY, "it runs here");
	else if (unwanted)
		pending_fail(p, unwanted, err.text);
	else
		pool_ask(p);
}

static struct pending *first_in(const struct locks *l, enum pending_state state)
{
	struct pending *p = l->first;
	while (p && p->state != state)
		p = p->next;
	return p;
}

static void list_ask(struct locks *l);

static void on_listed(void *data, const struct hypervisor_listing *listing)
{
	struct locks *l = data;
	l->listing = false;
	for (struct pending *p; (p = first_in(l, PENDING_LISTED));)
		judge(p, listing);
	list_ask(l);
}

/* One look for all that came since the last one was begun. */
static void list_ask(struct locks *l)
{
	if (l->listing || !first_in(l, PENDING_NEW))
		return;
	for (struct pending *p = l->first; p; p = p->next)
		if (p->state == PENDING_NEW)
			p->state = PENDING_LISTED;
	int result =
	    hypervisor_list(l->options.hypervisor, l->options.list_deadline_ms, on_listed, l);
	l->listing = !result;
	for (struct pending *p; result && (p = first_in(l, PENDING_LISTED));)
		pending_fail(p, result, strerror(-result));
}

int locks_release(struct locks *l, const struct locks_order *order)
{
	if (l->count == LOCKS_UNDER_WAY_MAX)
		return -EAGAIN;
	struct pending *p = must_alloc(sizeof(*p)), **at = &l->first;
	size_t proven_size = strlen(order->proven) + 1;
	p->locks = l;
	memcpy(p->uuid, order->uuid, sizeof(p->uuid));
	p->proven = memcpy(must_alloc(proven_size), order->proven, proven_size);
	p->release.volumes = *order->volumes;
	p->release.proven = p->proven;
	p->release.extent = order->extent;
	p->check = order->check;
	p->done = order->done;
	p->data = order->data;
	while (*at)
		at = &(*at)->next;
	*at = p;
	l->count++;
	list_ask(l);
	return 0;
}

void locks_cancel(struct locks *l)
{
	struct err err;
	struct locks_outcome canceled = {
	    .status = err_set(&err, -ECANCELED, "this node's daemon ends"), .err = &err};
	for (struct pending *p = l->first; p; p = p->next) {
		if (p->done)
			p->done(p->data, &canceled);
		p->done = NULL;
	}
}

static void closed(void *data)
{
	struct locks *l = data;
	assert(!l->first);
	l->closed(l->closed_data);
	free(l);
}

void locks_close(struct locks *l, void (*done)(void *data), void *data)
{
	assert(!l->listing && !first_in(l, PENDING_NEW) && !first_in(l, PENDING_LISTED));
	l->closed = done;
	l->closed_data = data;
	if (l->pool)
		pool_client_close(l->pool, closed, l);
	else
		closed(l);
}
