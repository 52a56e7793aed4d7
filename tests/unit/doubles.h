/* What a node's duties are carried out with, as doubles: the log, the holdings, the hypervisor.
 *
 * These are the functions themselves: the linker takes them instead of the library's. So only one
 * test can include it. */
#ifndef TESTS_UNIT_DOUBLES_H
#define TESTS_UNIT_DOUBLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "node/duties.h"
#include "node/vm/execute.h"
#include "node/primary/holdings.h"
#include "node/member/members.h"

#define DOUBLES_ACTIONS_MAX 20

static struct { /* the log */
	bool closed;
	struct replica_status status;
	uint64_t lease_ms;
	struct wal_status wal;
	struct replica_member members[4];
	unsigned n_members;
	const char *trouble; /* why it was closed last; NULL: it never was */
	uint32_t unfit; /* the lead cannot be handed to this one */
	/* What was asked of it. */
	uint64_t transfers[8];
	unsigned n_transfers, election_ms, n_changes;
	struct member_change change;
} ledger;

static struct {
	struct holding holding;
	bool unguarded;
	const char *address, *service; /* why it fails; NULL: it does not */
	/* What was asked of them. */
	bool held, served;
	uint64_t until_ms;
} holdings;

static struct { /* the hypervisor */
	struct agent *agent;
	struct action actions[DOUBLES_ACTIONS_MAX];
	unsigned n_actions, n_flushes;
} execute;

/* The log. */

struct replica *ledger_replica(const struct ledger *l)
{
	return ledger.closed ? NULL : (struct replica *)&ledger;
}

const char *ledger_trouble(const struct ledger *l)
{
	return ledger.trouble ? ledger.trouble : "";
}

void ledger_wal_status(const struct ledger *l, struct wal_status *status)
{
	*status = ledger.wal;
}

void ledger_change_member(struct ledger *l, const struct member_change *change)
{
	ledger.change = *change;
	ledger.n_changes++;
}

void replica_status(const struct replica *r, struct replica_status *status)
{
	*status = ledger.status;
}

uint64_t replica_lease_left(const struct replica *r, uint64_t now_ms)
{
	return ledger.lease_ms;
}

unsigned replica_members(const struct replica *r, struct replica_member *members, unsigned max)
{
	for (unsigned i = 0; i < ledger.n_members; i++)
		members[i] = ledger.members[i];
	return ledger.n_members;
}

int replica_transfer(struct replica *r, uint64_t to, uint64_t now_ms)
{
	assert_true(ledger.n_transfers < 8);
	ledger.transfers[ledger.n_transfers++] = to;
	return to && to == ledger.unfit ? -EHOSTDOWN : 0;
}

void replica_set_election(struct replica *r, unsigned election_ms)
{
	ledger.election_ms = ledger.status.election_ms = election_ms;
}

/* Holdings. */

int holdings_open(struct holdings **h, const struct holdings_options *options, struct err *err)
{
	*h = (struct holdings *)&holdings;
	return 0;
}

void holdings_close(struct holdings *h)
{
}

void holdings_take(struct holdings *h, uint64_t lease_until_ms)
{
	holdings.held = true;
	holdings.until_ms = lease_until_ms;
}

void holdings_serve(struct holdings *h)
{
	assert_true(holdings.held);
	holdings.served = true;
}

void holdings_drop(struct holdings *h)
{
	holdings.held = holdings.served = false;
}

void holdings_status(const struct holdings *h, struct holding *holding)
{
	*holding = holdings.holding;
}

bool holdings_guarded(const struct holdings *h)
{
	return !holdings.unguarded;
}

static bool failing(const char *why, char text[HOLDINGS_TEXT_MAX])
{
	snprintf(text, HOLDINGS_TEXT_MAX, "%s", why ? why : "");
	return why != NULL;
}

bool holdings_failing(const struct holdings *h, char text[HOLDINGS_TEXT_MAX])
{
	return failing(holdings.service, text);
}

bool holdings_addresses_failing(const struct holdings *h, char text[HOLDINGS_TEXT_MAX])
{
	return failing(holdings.address, text);
}

/* The hypervisor. */

int execute_open(struct execute **e, const struct execute_options *options, struct err *err)
{
	execute.agent = options->agent;
	*e = (struct execute *)&execute;
	return 0;
}

void execute_begin(struct execute *e, const struct action *action)
{
	assert_true(execute.n_actions < DOUBLES_ACTIONS_MAX);
	execute.actions[execute.n_actions++] = *action;
}

void execute_look(struct execute *e)
{
}

void execute_flush(struct execute *e, const struct execute_flush *flush)
{
	execute.n_flushes++;
}

void execute_validate(struct execute *e, const char *xml, context_checked done, void *data)
{
	done(data, 0, NULL);
}

uint64_t execute_turn(struct execute *e, uint64_t now_ms)
{
	return UINT64_MAX;
}

void execute_close(struct execute *e, void (*closed)(void *data), void *data)
{
	closed(data);
}

#endif
