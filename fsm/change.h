/* How the parts of fsm/ change the value: every object that is made, changed or
 * removed is said here, so that the state hash follows. Only for fsm/. */
#ifndef FSM_CHANGE_H
#define FSM_CHANGE_H

#include "fsm/cluster.h"

/* object of table t was changed (or is about to be, within this command). */
void change_touch(struct cluster *c, struct table *t, void *object);
void change_settings(struct cluster *c);
void change_primary(struct cluster *c);
void change_ceph(struct cluster *c);
void change_singles(struct cluster *c); /* all of those */

/* A new object, whose key is set; it is in the table when this returns. */
void change_insert(struct cluster *c, struct table *t, void *object);
void change_remove(struct cluster *c, struct table *t, void *object);

/* Bring the hash up to date: the end of a command. */
void change_settle(struct cluster *c);

/* The hash computed anew from every object, for check.h and snapshot.h. */
uint64_t change_hash(struct cluster *c);

#endif
