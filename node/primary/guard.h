/* The guard: the process that holds the floating addresses, seen from its daemon.
 *
 * It holds an address while two things are true: the daemon wants it, and the
 * lease has not run out. The lease is a number in memory that both see: renewing
 * it is a plain store, and the daemon need not be able to say that it is over.
 * When it runs out, or the daemon dies, the guard takes the addresses off at
 * once and then runs the stop commands of the primary's services. Behind it the
 * kernel takes them off GUARD_LIFETIME_S after the guard's last renewal, should
 * the guard be frozen too.
 *
 * An address is probed before it is put on. While somebody else answers for it
 * it is never put on, but asked for again until it is free. A guard that dies or
 * is silent for GUARD_SILENT_MS is replaced and takes over what is on. */
#ifndef NODE_PRIMARY_GUARD_H
#define NODE_PRIMARY_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/err.h"
#include "node/primary/address.h"
#include "node/primary/service.h"

#define GUARD_ADDRESSES_MAX 16
#define GUARD_TEXT_MAX	    160
#define GUARD_LIFETIME_S    2 /* of an address, in the kernel, from its last renewal */
#define GUARD_RENEW_MS	    500 /* between two renewals; the guard also reports that often */
#define GUARD_SILENT_MS	    1500 /* without a report while it has something to do */
#define GUARD_PROBE_MS	    100 /* nobody has answered for that long: the address is free */
#define GUARD_CONFLICT_MS   300 /* between two probes of one that is not free */
#define GUARD_RETRY_MS	    500 /* between two tries of one that failed */

enum guard_address_state {
	GUARD_ABSENT,
	GUARD_PROBING,
	GUARD_CONFLICT, /* somebody else answers for it */
	GUARD_HELD,
	GUARD_FAILED,
};

const char *guard_address_state_name(enum guard_address_state state);

struct guard_address_status {
	struct address address;
	enum guard_address_state state;
	char holder[18]; /* the MAC that answers, with GUARD_CONFLICT */
	char text[GUARD_TEXT_MAX]; /* "10.0.0.254 is still answered by 52:54:…"; "" when well */
};

struct guard_status {
	bool alive; /* there is a guard that answers */
	bool released; /* none is wanted, and the guard has said that all are off */
	bool stopping; /* it runs the services' stop commands */
	int pid; /* 0: none */
	unsigned lapses; /* how often the lease has run out under the guards so far */
	unsigned restarts; /* of the guard */
	unsigned held, count;
	struct guard_address_status addresses[GUARD_ADDRESSES_MAX];
};

struct guard_options {
	const struct address_port *port; /* address_netlink, address_sim */
	const struct service_spec *services; /* whose stop commands are run, last first */
	unsigned service_count;
	const char *executable; /* NULL: this one; called as `… guard FD MEMFD` */
	/* From the loop only, never from within a function below. */
	void (*changed)(void *data);
	void *data;
};

struct uv_loop_s;
struct guard;

/* Starts the guard process. Everything is copied but port. Returns 0, -EINVAL, or why there is no
 * process, with nothing to close. */
int guard_open(struct guard **guard, struct uv_loop_s *loop, const struct guard_options *options,
    struct err *err);

/* The addresses may be held until then (raft/clock.h). From that
 * instant they are being taken off, which takes a millisecond: leave a margin. 0: there is no
 * lease and nothing to guard, so that neither its end nor the daemon's stops any service; say
 * so once the services were stopped in order. */
void guard_lease(struct guard *guard, uint64_t until_ms);

/* These addresses and no others are wanted. -EINVAL (too many, no names), else 0. */
int guard_hold(struct guard *guard, const struct address *addresses, unsigned count);

/* None is wanted; the status says released once all are off. */
void guard_release(struct guard *guard);

void guard_status(const struct guard *guard, struct guard_status *status);

/* Lets go of the guard, which does what it does when its daemon dies, and frees once the loop
 * has run on. */
void guard_close(struct guard *guard);

/* The process itself: `pvc guard FD MEMFD`, a socket to the daemon and the page with the
 * lease. Returns the exit status. */
int guard_main(int fd, int memfd);

#endif
