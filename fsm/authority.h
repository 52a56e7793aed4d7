/* The cluster's certificate authorities, and how one takes the place of another.
 *
 * Exactly one is active: it signs. Beside it there is at most one more:
 *   wanted    a person has asked for it; the leader is to make it
 *   incoming  made; every node is to trust it, every coordinator to have its key
 *   outgoing  it was the active one; every node is to have a certificate of the new one
 * Only then goes the rotation on, unless somebody forces it; a node that is away holds it up.
 * The log has certificates, never keys: those stay with the coordinators. */
#ifndef FSM_AUTHORITY_H
#define FSM_AUTHORITY_H

#include "fsm/cluster.h"

/* NULL: there is none. */
struct authority *authority_find(const struct cluster *c, uint32_t id);
struct authority *authority_active(const struct cluster *c);
/* The one that is wanted, incoming or outgoing. */
struct authority *authority_moving(const struct cluster *c);

bool authority_trusted(const struct node *node, uint32_t authority); /* by that node */
bool authority_held(const struct node *node, uint32_t authority); /* it has the key */

/* Does the rotation's present phase wait for this node? Never without a rotation. */
bool authority_awaits(const struct cluster *c, const struct node *node);
/* How many it waits for; their names into text, "hv2, hv3", as far as they fit. */
unsigned authority_awaited(const struct cluster *c, char *text, size_t size);

#endif
