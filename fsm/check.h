/* What must hold of every value, whatever commands came: for tests after each
 * command, for snapshots before they are believed. */
#ifndef FSM_CHECK_H
#define FSM_CHECK_H

#include "fsm/cluster.h"

/* 0, or -EBADMSG with err naming the first thing that is wrong. */
int check_cluster(struct cluster *c, struct err *err);

#endif
