/* Two VMs with one volume: whoever frees it for one of them takes it from the other.
 *
 * The pool cannot tell: a lock is handed back and forth between two that live, and
 * one that a VM of this machine holds looks like one that was left behind. */
#ifndef NODE_VM_SHARING_H
#define NODE_VM_SHARING_H

#include <stdbool.h>

#include "fsm/cluster.h"
#include "storage/volume.h"

struct sharing {
	const struct cluster *cluster;
	const struct vm *vm;
	const struct volumes *volumes; /* of vm */
	bool (*counts)(
	    void *data, const struct vm *other); /* may it be running where it matters? */
	void *data;
};

/* Another VM that counts and has one of the volumes, too, which *volume then is; NULL: none. */
const struct vm *sharing_find(const struct sharing *s, const char **volume);

#endif
