/* A value that a new cluster begins with, when the old one is lost but for a snapshot of it. */
#ifndef FSM_REFOUND_H
#define FSM_REFOUND_H

#include "fsm/cluster.h"

/* Forget what belonged to the lost members alone: the certificate authorities (their keys are
 * gone), what nodes said of their certificates, and join tokens. The first leader makes its
 * authority known, as in any new cluster. node is the one that goes on, with the incarnation of
 * its new certificate. The index stays, the hash follows. */
void cluster_refound(struct cluster *c, struct node *node, const char *incarnation);

#endif
