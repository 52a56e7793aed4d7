/* At most once: what each client's last operations answered.
 *
 * A client is a random number that a daemon or a program chose for itself; it
 * counts its operations from 1 and has at most SESSION_WINDOW of them under way.
 * Whoever forwards an operation may send it again after a lost answer: within
 * the window it is applied once, and the answer is the first one. A session
 * that was not used for SESSION_LIFETIME_MS of cluster time is forgotten. */
#ifndef FSM_SESSION_H
#define FSM_SESSION_H

#include "fsm/change.h"

#define SESSION_LIFETIME_MS (60u * 60 * 1000)
#define SESSIONS_MAX	    8192

/* Was this operation applied before, or is it too old to know? Then *result is its
 * answer (-ESTALE: too old) and nothing may be applied. */
bool session_seen(struct cluster *c, const struct command *command, int *result, struct err *err);

void session_note(struct cluster *c, const struct command *command, int result);

/* Forget those that were not used for long. */
void session_expire(struct cluster *c);

#endif
