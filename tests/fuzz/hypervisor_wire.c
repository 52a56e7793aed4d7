/* What a hypervisor's worker may send and be sent: refused, or encoded again to the same. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/worker/hypervisor_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_or_abort(struct buffer *b, const uint8_t *data, size_t size)
{
	if (b->size != size || memcmp(b->data, data, size) != 0)
		abort();
	buffer_close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer b = {0};
	struct reader r = reader_of(data, size);
	struct hypervisor_vm *vms;
	unsigned n;
	if (hypervisor_vms_decode(&r, &vms, &n) == 0) {
		hypervisor_vms_encode(&b, vms, n);
		same_or_abort(&b, data, size);
	}
	free(vms);

	struct hypervisor_call call;
	r = reader_of(data, size);
	if (hypervisor_call_decode(&r, &call) == 0) {
		hypervisor_call_encode(&b, &call);
		same_or_abort(&b, data, size);
	}
	hypervisor_call_close(&call);
	return 0;
}
