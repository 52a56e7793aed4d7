/* The primary coordinator's part on this node: when to take the floating
 * addresses and services up, when to let go, and what to tell the log.
 *
 * Pure. Levels: each turn it says what this node should hold, and which command
 * is due; the caller makes it so and comes back. It never waits inside. */
#ifndef NODE_PRIMARY_COORDINATOR_H
#define NODE_PRIMARY_COORDINATOR_H

#include "fsm/cluster.h"
#include "node/member/standing.h"

/* What this node holds now, as the guard and the services say. */
struct holding {
	unsigned addresses_wanted; /* configured */
	unsigned addresses_held;
	unsigned
	    addresses_failed; /* tried, not held, with a reason: they do not hold up the rest */
	bool addresses_gone; /* none held, none under way, for certain */
	unsigned services_wanted;
	unsigned services_tried; /* answered or failed at least once since they are wanted */
	bool services_gone; /* all stopped */
	char text[64]; /* what is under way, for people */
};

struct coordinator {
	uint64_t epoch_told; /* commands already proposed for this epoch are not again until… */
	uint64_t told_ms; /* …a while has passed */
	enum command_number told;
	char step_told[64];
	uint64_t transfer_ms; /* when leadership was last offered away */
};

struct coordinator_options {
	uint64_t lease_ms; /* once elected, services have so long to stop elsewhere */
};

struct coordinator_turn {
	bool hold; /* addresses are to be held here */
	bool serve; /* and services */
	bool propose; /* command is due */
	struct command command;
	uint32_t transfer_to; /* leadership is to go to this node; 0: stay */
};

/* From when on a new leader starts services that another had who does not say it has let go.
 * Addresses it takes from standing.free_ms on. */
uint64_t coordinator_serve_ms(
    const struct standing *standing, const struct coordinator_options *options);

void coordinator_turn(struct coordinator *co, const struct cluster *c,
    const struct standing *standing, const struct coordinator_options *options,
    const struct holding *holding, uint64_t now_ms, struct coordinator_turn *turn);

#endif
