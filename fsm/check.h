/* What must hold of every value, whatever commands came: for tests after each
 * command, for snapshots before they are believed. */
#ifndef FSM_CHECK_H
#define FSM_CHECK_H

#include "fsm/cluster.h"

/* The rules alone: who may own and hold what, what refers to what. 0, or -EBADMSG with err
 * naming the first thing that is wrong. */
int check_rules(const struct cluster *c, struct err *err);

/* The same, and that every table is in order and the hash is that of what is there. */
int check_cluster(struct cluster *c, struct err *err);

#endif
