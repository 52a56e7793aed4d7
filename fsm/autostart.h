/* The start of a whole cluster that was off: VMs with autostart that are stopped are started.
 *
 * A node's hello tells which boot of its machine it is; another one than before marks the node as
 * rebooted. When every node that runs VMs and is heard has the mark, AUTOSTART_WAIT_MS after the
 * first of them, nothing of the cluster went on, and that is a cold start. A node without the mark
 * that is heard AUTOSTART_SURVIVOR_MS after it has gone on all the while: then there was none. In
 * between it may be one that was just started and has not said hello yet.
 * Cluster time passes and ticks come with a quorum only. */
#ifndef FSM_AUTOSTART_H
#define FSM_AUTOSTART_H

#include "fsm/cluster.h"

#define AUTOSTART_WAIT_MS     10000
#define AUTOSTART_SURVIVOR_MS 15000
#define AUTOSTART_FRESH_MS    3000 /* a node was heard that lately, or within two intervals */
#define AUTOSTART_AT_ONCE     2 /* in one tick */

void autostart_hello(struct cluster *c, struct node *node, const char *boot_id);
void autostart_tick(struct cluster *c);

#endif
