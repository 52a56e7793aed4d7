/* A VM's XML against what the cluster has, so that a person hears at once, and with the line, what
 * a start would stumble over later: a pool or bridge that there is not, a name, UUID or MAC
 * address that another VM has.
 *
 * It is judged on the value as this node knows it. Names and UUIDs are judged once more when it is
 * applied; the others are advice in time, and two who define the same address in the same moment
 * both get it. */
#ifndef NODE_OPERATION_DOMAIN_CHECK_H
#define NODE_OPERATION_DOMAIN_CHECK_H

#include "fsm/cluster.h"
#include "node/worker/domain.h"

/* self: the VM that it is to describe, 0: a new one. 0; -ENOENT: it names what there is not;
 * -EEXIST: it has what another VM has; with err, "line 7: ...". */
int domain_check(
    const struct cluster *c, uint32_t self, const struct domain *domain, struct err *err);

#endif
