/* What a VM is, as people define it: its definition, name, and what of it the cluster goes by.
 *
 * The XML is the user's, byte for byte, and was read by whoever proposes: here it is bytes. */
#ifndef FSM_VM_DEFINE_H
#define FSM_VM_DEFINE_H

#include "fsm/cluster.h"

#define VM_LIMIT_MAX CLUSTER_NODES_MAX
#define VM_TAGS_MAX  64

/* What vm_meta may change: bits of its `given`. */
enum vm_meta {
	VM_META_SELECTOR = 1,
	VM_META_METHOD = 2,
	VM_META_AUTOSTART = 4,
	VM_META_PRIORITY = 8,
	VM_META_LIMIT = 16,
	VM_META_TAGS = 32,
	VM_META_ALL = 63,
};

#endif
