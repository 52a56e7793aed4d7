/* Requests to the hypervisor's worker and its answers, as bytes.
 *
 * Both ends are this binary, so there is no version in it; the parent still
 * trusts nothing a child sends, for a foreign library lives in it. */
#ifndef NODE_WORKER_HYPERVISOR_WIRE_H
#define NODE_WORKER_HYPERVISOR_WIRE_H

#include "fsm/buffer.h"
#include "node/worker/hypervisor.h"

enum hypervisor_op {
#define HYPERVISOR_OP(name) HYPERVISOR_##name,
#include "node/worker/hypervisor_op.def"
#undef HYPERVISOR_OP
	HYPERVISOR_OPS
};

struct hypervisor_call {
	enum hypervisor_op op;
	char *uuid; /* "" where the operation has none, as the other texts */
	char *xml;
	char *uri; /* this and the rest: of a migration, see struct hypervisor_migration */
	unsigned downtime_ms_max;
	uint64_t rate_mib_max;
	bool tls;
};

const char *hypervisor_op_name(enum hypervisor_op op); /* "start" */

void hypervisor_call_encode(struct buffer *b, const struct hypervisor_call *call);

/* 0 or -EPROTO. The texts are malloced: hypervisor_call_close, also on failure. */
int hypervisor_call_decode(struct reader *r, struct hypervisor_call *call);
void hypervisor_call_close(struct hypervisor_call *call);

void hypervisor_vms_encode(struct buffer *b, const struct hypervisor_vm *vms, unsigned n);

/* 0 or -EPROTO. *vms is malloced, NULL on failure. */
int hypervisor_vms_decode(struct reader *r, struct hypervisor_vm **vms, unsigned *n);

#endif
