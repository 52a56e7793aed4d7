/* Starts and resumes of VMs that may still come about, as the next daemon must know them.
 *
 * A hypervisor that hung carries out a start after its client was killed. The daemon that asked
 * says nothing of such a VM for a while (plan.h); killed itself, it would leave a successor that
 * takes the VM for off, and the VM would run on two nodes. So a file stands for each start
 * from before it is asked for until it is certain. In dynamic_directory: a machine that
 * was off has forgotten what it was asked. */
#ifndef NODE_VM_STARTING_H
#define NODE_VM_STARTING_H

/* 0 or -errno: then it must not be asked for. */
int starting_note(const char *directory, const char *uuid);
void starting_clear(const char *directory, const char *uuid);

/* Call each with every UUID that an earlier daemon has left. */
void starting_each(const char *directory, void (*each)(void *data, const char *uuid), void *data);

#endif
