/* Certificates and the CA, judged: what is due, from the value and what this node holds.
 *
 * Pure, and level by level: there is no memory of what was begun, so a node that comes back, or a
 * leader that follows another, goes on where things stand. The wall clock is a parameter,
 * and only decides what certificates themselves measure by it. */
#ifndef NODE_TRUST_TRUST_H
#define NODE_TRUST_TRUST_H

#include "fsm/cluster.h"
#include "raft/identity.h"

/* So long a leader waits for a member that has the incoming CA's key before it makes another. */
#define TRUST_KEY_WAIT_MS 5000

struct trust_held { /* what is in this node's identity directory */
	unsigned n;
	struct identity_authority authorities[IDENTITY_AUTHORITIES_MAX];
	struct identity_validity certificate;
};

void trust_read(const struct identity_files *files, struct trust_held *held);

enum trust_duty {
	TRUST_NOTHING,
	/* of every node: */
	TRUST_ADD, /* take this authority's certificate into ca.crt */
	TRUST_RENEW, /* get a certificate of this authority */
	TRUST_FETCH, /* get this authority's key */
	TRUST_FORGET, /* take the CA with this fingerprint out of ca.crt and ca.key */
	TRUST_FORGET_KEYS, /* ca.key is not for this node */
	/* of the leader: */
	TRUST_FOUND, /* tell the log of the CA with this fingerprint: the cluster's first */
	TRUST_MAKE, /* make a CA, for this authority */
	TRUST_OFFER, /* tell the log of the CA with this fingerprint, for this authority */
	TRUST_SHIFT, /* the rotation goes on to its next phase */
	TRUST_DUTIES,
};

struct trust_view {
	const struct cluster *c;
	uint32_t self;
	const struct trust_held *held;
	int64_t now_s; /* wall clock */
	unsigned blocked; /* 1 << duty: not now, it was tried a moment ago */
};

struct trust_step {
	enum trust_duty duty;
	uint32_t authority;
	char fingerprint[IDENTITY_HEX_SIZE];
};

/* The next step of this node. Only for one whose value is current: an older one may still
 * name a CA that nobody trusts any more. */
struct trust_step trust_own(const struct trust_view *v);
/* The next step as leader. */
struct trust_step trust_lead(const struct trust_view *v);

/* What this node has to say of itself: false when the value says so already. */
bool trust_tell(const struct trust_view *v, struct command_node_trust *told);

/* Less than a third of its life is left. */
bool trust_renewal_due(const struct identity_validity *v, int64_t now_s);
/* Less than a tenth is: somebody should know. */
bool trust_late(const struct identity_validity *v, int64_t now_s);
/* What is wrong with the certificate or its CA; false: nothing. */
bool trust_trouble(const struct trust_view *v, char *text, size_t size);

/* Of whom to ask for a certificate of this authority, or for its key: a node that says that it has
 * the key, another with each attempt; the leader at first. 0: nobody. */
uint32_t trust_whom(
    const struct trust_view *v, uint32_t authority, uint64_t leader, unsigned attempt);

/* May this node have the keys of CAs? */
bool trust_may_sign(const struct node *node);

#endif
