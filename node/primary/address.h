/* The port to floating addresses on this machine's devices. */
#ifndef NODE_PRIMARY_ADDRESS_H
#define NODE_PRIMARY_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/err.h"

struct address { /* one floating address */
	char device[16];
	char cidr[64]; /* "10.0.0.254/24", "fd00::fe/64" */
};

struct address_port {
	const char *name; /* netlink, sim */
	/* Put it on its device, or renew it. It goes by itself lifetime_s seconds after the last
	 * call even if this process and the guard are frozen (IFA_CACHEINFO valid lifetime).
	 * 0 also when it is there; never a duplicate. */
	int (*add)(const struct address *a, uint32_t lifetime_s, struct err *err);
	/* Take it off. 0 also when it is not there. */
	int (*remove)(const struct address *a, struct err *err);
	/* 1 it is on the device, 0 it is not. */
	int (*present)(const struct address *a, struct err *err);
	/* Tell the neighbours: one gratuitous ARP (RFC 5227 announcement) or unsolicited NA. */
	int (*announce)(const struct address *a, struct err *err);
	/* Does somebody else answer for it? ask sends one ARP probe (RFC 5227) or neighbour
	 * solicitation; answered tells what has come in since it was last called: 1, and holder
	 * gets the MAC, or 0. Neither waits: the guard probes many addresses at once while it
	 * watches its lease. */
	int (*ask)(const struct address *a, struct err *err);
	int (*answered)(const struct address *a, char holder[18], struct err *err);
};

extern const struct address_port address_netlink, address_sim;

#endif
