/* What the primary coordinator holds on this machine: floating addresses behind
 * the guard, and services. Levels: hold or let go, as often as you like. */
#ifndef NODE_PRIMARY_HOLDINGS_H
#define NODE_PRIMARY_HOLDINGS_H

#include <uv.h>

#include "node/config/config.h"
#include "node/primary/coordinator.h"
#include "node/primary/guard.h"
#include "node/primary/service.h"

struct holdings;

struct holdings_options {
	uv_loop_t *loop;
	const struct config *config;
	void (*changed)(void *data); /* from the loop */
	void *data;
};

int holdings_open(struct holdings **h, const struct holdings_options *options, struct err *err);
void holdings_close(struct holdings *h);

/* Hold the addresses while the lease lasts (this node's monotonic ms). */
void holdings_take(struct holdings *h, uint64_t lease_until_ms);
/* And the services, until they are let go. Only while the addresses are held. */
void holdings_serve(struct holdings *h);
/* Let everything go. */
void holdings_drop(struct holdings *h);

void holdings_status(const struct holdings *h, struct holding *holding);

/* There is a guard that answers, or nothing to guard. Without one nobody would let go of what is
 * held here when the lease ends. */
bool holdings_guarded(const struct holdings *h);

/* Is a service failing? text: which one, and why; "" when none is. */
#define HOLDINGS_TEXT_MAX (SERVICE_NAME_MAX + SERVICE_TEXT_MAX + 2)
bool holdings_failing(const struct holdings *h, char text[HOLDINGS_TEXT_MAX]);
/* The same of an address that is wanted here and cannot be held. */
bool holdings_addresses_failing(const struct holdings *h, char text[HOLDINGS_TEXT_MAX]);

#endif
