/* A live migration between two simulated hypervisors, as libvirt does it by itself (peer to peer,
 * the copy stays paused): the target is prepared, memory goes over, the source stops, the target
 * finishes, the source is told so and destroys its own.
 *
 * It belongs to libvirt of the source: whoever asked may die. Each message can be lost, either
 * libvirt or QEMU can die, hang, and come back; what is then left is what libvirt leaves. */
#ifndef TOOLS_SIM_MIGRATE_H
#define TOOLS_SIM_MIGRATE_H

#include "tools/sim/hypervisor.h"

/* libvirt of n begins it; its end is told to whoever asked, unless that is gone. */
void sim_migrate(struct sim_node *n, const struct sim_begun *begun);

/* libvirt of n is back: it ends what was under way when it was killed. */
void sim_migrate_recover(struct sim_node *n, struct sim_vm *vm);

#endif
