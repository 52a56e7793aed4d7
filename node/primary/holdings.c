#include "node/primary/holdings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/log/log.h"
#include "raft/clock.h"

struct holdings {
	struct holdings_options options;
	struct guard *guard; /* NULL: there is nothing to hold */
	struct services *services;
	struct address addresses[GUARD_ADDRESSES_MAX];
	unsigned address_count, service_count;
	bool wanted, serving;
	uint64_t asked_ms; /* when the guard was last asked to hold or to release */
	enum guard_address_state logged[GUARD_ADDRESSES_MAX];
	struct service_status services_logged[SERVICES_MAX];
	unsigned lapses;
	bool guard_stopping;
};

static void add_address(
    struct holdings *h, const struct config_network *network, const struct config_interface *own)
{
	if (!*network->floating_ip || !*own->device)
		return;
	struct address *address = &h->addresses[h->address_count++];
	snprintf(address->device, sizeof(address->device), "%s", own->device);
	snprintf(address->cidr, sizeof(address->cidr), "%s", network->floating_ip);
}

static void log_address(struct holdings *h, const struct guard_address_status *a)
{
	const char *cidr = a->address.cidr, *device = a->address.device;
	switch (a->state) {
	case GUARD_HELD:
		log_ok("Floating address %s is on %s", cidr, device);
		break;
	case GUARD_ABSENT:
		log_info("Floating address %s is off %s", cidr, device);
		break;
	case GUARD_CONFLICT:
	case GUARD_FAILED:
		log_warning("Floating address %s: %s", cidr, a->text);
		break;
	case GUARD_PROBING:
		break;
	}
}

static void guard_look(const struct holdings *h, struct guard_status *status)
{
	*status = (struct guard_status){.released = true};
	if (h->guard)
		guard_status(h->guard, status);
}

static void guard_changed(void *data)
{
	struct holdings *h = data;
	struct guard_status status;
	guard_look(h, &status);
	for (unsigned i = 0; i < status.count && i < GUARD_ADDRESSES_MAX; i++) {
		if (status.addresses[i].state == h->logged[i])
			continue;
		h->logged[i] = status.addresses[i].state;
		log_address(h, &status.addresses[i]);
		log_debug("guard", "%s is %s, %" PRIu64 " ms after the guard was asked to %s",
		    status.addresses[i].address.cidr,
		    guard_address_state_name(status.addresses[i].state), clock_ms() - h->asked_ms,
		    h->wanted ? "hold" : "release");
	}
	if (status.lapses > h->lapses)
		log_warning("The guard took the floating addresses off: the lease had run out");
	h->lapses = status.lapses;
	/* It has run the stop commands: what we believe of the services may be over. */
	if (h->guard_stopping && !status.stopping)
		services_look(h->services);
	h->guard_stopping = status.stopping;
	h->options.changed(h->options.data);
}

static void log_service(struct service_status *logged, const struct service_status *s)
{
	bool same = logged->state == s->state && !strcmp(logged->text, s->text);
	if (!same && s->state == SERVICE_RUNNING)
		log_ok("Service %s runs", s->name);
	else if (!same && s->state == SERVICE_STOPPED)
		log_info("Service %s is stopped", s->name);
	else if (s->attempts > logged->attempts && strcmp(logged->text, s->text) != 0)
		log_warning("Service %s: %s", s->name, s->text);
	/* Those in between say nothing: a failure that repeats itself is logged once. */
	if (s->state == SERVICE_RUNNING || s->state == SERVICE_STOPPED || s->attempts)
		*logged = *s;
}

static void services_changed(void *data)
{
	struct holdings *h = data;
	struct service_status statuses[SERVICES_MAX];
	unsigned n = services_status(h->services, statuses);
	for (unsigned i = 0; i < n; i++)
		log_service(&h->services_logged[i], &statuses[i]);
	h->options.changed(h->options.data);
}

/* Of the primary: a witness never is it. */
static unsigned service_specs(const struct config *config, struct service_spec specs[SERVICES_MAX])
{
	if (config->mode == MODE_WITNESS)
		return 0;
	for (unsigned i = 0; i < config->services_count; i++) {
		const struct config_service *s = &config->services[i];
		specs[i] = (struct service_spec){
		    .name = s->name,
		    .start = s->start,
		    .stop = *s->stop ? s->stop : NULL,
		    .check = *s->check ? s->check : NULL,
		    .timeout_ms = s->timeout_s * 1000,
		};
	}
	return config->services_count;
}

int holdings_open(
    struct holdings **holdings, const struct holdings_options *options, struct err *err)
{
	const struct config *config = options->config;
	const struct config_networks *networks = &config->cluster.networks;
	const struct config_networking *own = &config->system.configuration.networking;
	struct service_spec specs[SERVICES_MAX];
	struct holdings *h = must_alloc(sizeof(*h));
	h->options = *options;
	h->asked_ms = clock_ms();
	if (config->functions.enable_networking) {
		add_address(h, &networks->upstream, &own->upstream);
		add_address(h, &networks->cluster, &own->cluster);
		add_address(h, &networks->storage, &own->storage);
	}
	h->service_count = service_specs(config, specs);
	struct guard_options guard = {
	    .port = config->address.driver == CONFIG_ADDRESS_SIM ? &address_sim : &address_netlink,
	    .services = specs,
	    .service_count = h->service_count,
	    .changed = guard_changed,
	    .data = h,
	};
	int result = 0;
	if (h->address_count || h->service_count)
		result = guard_open(&h->guard, options->loop, &guard, err);
	if (!result)
		result = services_open(&h->services, options->loop, specs, h->service_count, err);
	if (result) {
		if (h->guard)
			guard_close(h->guard);
		free(h);
		return result;
	}
	services_on_change(h->services, services_changed, h);
	services_want(h->services, SERVICES_STOPPED);
	*holdings = h;
	return 0;
}

void holdings_close(struct holdings *h)
{
	services_close(h->services);
	if (h->guard)
		guard_close(h->guard);
	free(h);
}

void holdings_take(struct holdings *h, uint64_t lease_until_ms)
{
	if (h->guard)
		guard_lease(h->guard, lease_until_ms);
	if (h->wanted)
		return;
	h->wanted = true;
	h->asked_ms = clock_ms();
	if (h->guard)
		guard_hold(h->guard, h->addresses, h->address_count);
}

void holdings_serve(struct holdings *h)
{
	if (h->serving)
		return;
	h->serving = true;
	services_want(h->services, SERVICES_RUNNING);
}

static bool all_stopped(const struct holdings *h)
{
	struct service_status statuses[SERVICES_MAX];
	unsigned n = services_status(h->services, statuses);
	for (unsigned i = 0; i < n; i++)
		if (statuses[i].state != SERVICE_STOPPED)
			return false;
	return true;
}

void holdings_drop(struct holdings *h)
{
	struct guard_status status;
	if (h->wanted) {
		h->wanted = h->serving = false;
		h->asked_ms = clock_ms();
		services_want(h->services, SERVICES_STOPPED);
		if (h->guard)
			guard_release(h->guard);
	}
	/* The lease that was stored last goes on being enforced until nothing is left. */
	guard_look(h, &status);
	if (h->guard && status.released && all_stopped(h))
		guard_lease(h->guard, 0);
}

static void services_holding(const struct holdings *h, struct holding *holding)
{
	struct service_status statuses[SERVICES_MAX];
	unsigned n = services_status(h->services, statuses);
	holding->services_wanted = n;
	for (unsigned i = 0; i < n; i++) {
		const struct service_status *s = &statuses[i];
		if (s->state == SERVICE_RUNNING || s->state == SERVICE_FAILING || s->attempts)
			holding->services_tried++;
		else if (h->serving && !*holding->text)
			snprintf(holding->text, sizeof(holding->text), "starting %.50s", s->name);
	}
}

void holdings_status(const struct holdings *h, struct holding *holding)
{
	struct guard_status status;
	*holding = (struct holding){.addresses_wanted = h->address_count};
	guard_look(h, &status);
	holding->addresses_gone = !h->wanted && (status.released || !h->address_count);
	holding->services_gone = !h->wanted && all_stopped(h);
	holding->addresses_held = h->wanted ? status.held : 0;
	for (unsigned i = 0; i < status.count && h->wanted; i++) {
		const struct guard_address_status *a = &status.addresses[i];
		holding->addresses_failed += a->state == GUARD_FAILED;
		if (a->state != GUARD_HELD && *a->text && !*holding->text)
			snprintf(holding->text, sizeof(holding->text), "%.63s", a->text);
	}
	services_holding(h, holding);
}

bool holdings_guarded(const struct holdings *h)
{
	struct guard_status status;
	guard_look(h, &status);
	return !h->guard || status.alive;
}

bool holdings_failing(const struct holdings *h, char text[HOLDINGS_TEXT_MAX])
{
	struct service_status statuses[SERVICES_MAX];
	unsigned n = services_status(h->services, statuses);
	*text = 0;
	for (unsigned i = 0; i < n && !*text; i++)
		if (statuses[i].attempts)
			snprintf(text, HOLDINGS_TEXT_MAX, "%.31s: %.159s", statuses[i].name,
			    statuses[i].text);
	return *text;
}

bool holdings_addresses_failing(const struct holdings *h, char text[HOLDINGS_TEXT_MAX])
{
	struct guard_status status;
	guard_look(h, &status);
	*text = 0;
	for (unsigned i = 0; i < status.count && h->wanted && !*text; i++) {
		const struct guard_address_status *a = &status.addresses[i];
		if (a->state == GUARD_FAILED || a->state == GUARD_CONFLICT)
			snprintf(
			    text, HOLDINGS_TEXT_MAX, "%.31s: %.159s", a->address.cidr, a->text);
	}
	return *text;
}
