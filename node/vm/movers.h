/* Who asks the hypervisor for this node: one worker process for what must not wait for
 * anything else.
 *
 * A worker does one thing after the other (worker.h). So looks have one of their own, starts as
 * many as there may be at a time, what ends a VM another, and so has what people want to know; and
 * each VM that comes or goes has one, opened when it is first heard of, so that a guest that has
 * arrived is resumed at once, and its migration, which lasts for minutes, holds nobody up. An
 * embedded hypervisor lives in one process: there that one does it all. */
#ifndef NODE_VM_MOVERS_H
#define NODE_VM_MOVERS_H

#include <uv.h>

#include "node/config/config.h"
#include "node/vm/plan.h"
#include "node/worker/hypervisor_client.h"

struct movers;

struct movers *movers_new(uv_loop_t *loop, const struct config *config);

/* Is there one process for all? Then a look waits for what is being done. */
bool movers_alone(const struct movers *m);

/* Whom to ask for looks: nothing else is asked of it, unless it is alone. */
struct hypervisor_client *movers_looks(struct movers *m);

/* As hypervisor_order(), by the process that action is for. */
int movers_order(
    struct movers *m, const struct action *action, const struct hypervisor_order *order);

/* As hypervisor_order(), for what changes nothing: at once, or -EBUSY. */
int movers_question(struct movers *m, const struct hypervisor_order *order);

/* Open and end the processes of VMs that come and go, and those whose call is of no use any more:
 * it is answered -EPIPE. Returns when that is to be looked at again. */
uint64_t movers_turn(struct movers *m, const struct local *local, uint64_t now_ms);

/* All that is under way is answered; closed comes last, and m is freed then. */
void movers_close(struct movers *m, void (*closed)(void *data), void *data);

#endif
