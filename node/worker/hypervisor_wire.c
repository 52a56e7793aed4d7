#include "node/worker/hypervisor_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VM_BYTES_MIN 5 /* of one encoded VM: five fields */

static void text_encode(struct buffer *b, const char *text)
{
	size_t size = text ? strlen(text) : 0;
	buffer_append_varint(b, size);
	buffer_append(b, text, size);
}

/* The text at r as memory to be freed; NULL when there is none without a NUL in it. */
static char *text_decode(struct reader *r)
{
	uint64_t size = reader_varint(r);
	const uint8_t *bytes = reader_bytes(r, size);
	if (!bytes || memchr(bytes, '\0', size)) {
		r->failed = true;
		return NULL;
	}
	char *text = must_alloc(size + 1);
	memcpy(text, bytes, size);
	return text;
}

static void text_decode_into(struct reader *r, char *text, size_t capacity)
{
	char *whole = text_decode(r);
	if (whole && strlen(whole) < capacity)
		memcpy(text, whole, strlen(whole) + 1);
	else
		r->failed = true;
	free(whole);
}

const char *hypervisor_op_name(enum hypervisor_op op)
{
	static const char *const names[] = {
#define HYPERVISOR_OP(name) #name,
#include "node/worker/hypervisor_op.def"
#undef HYPERVISOR_OP
	};
	return op < HYPERVISOR_OPS ? names[op] : "?";
}

void hypervisor_call_encode(struct buffer *b, const struct hypervisor_call *call)
{
	buffer_append_u8(b, (uint8_t)call->op);
	text_encode(b, call->uuid);
	text_encode(b, call->xml);
}

int hypervisor_call_decode(struct reader *r, struct hypervisor_call *call)
{
	call->op = reader_u8(r);
	call->uuid = text_decode(r);
	call->xml = text_decode(r);
	return r->failed || reader_left(r) > 0 || call->op >= HYPERVISOR_OPS ? -EPROTO : 0;
}

void hypervisor_call_close(struct hypervisor_call *call)
{
	free(call->uuid);
	free(call->xml);
	*call = (struct hypervisor_call){0};
}

void hypervisor_vms_encode(struct buffer *b, const struct hypervisor_vm *vms, unsigned n)
{
	buffer_append_varint(b, n);
	for (unsigned i = 0; i < n; i++) {
		text_encode(b, vms[i].uuid);
		text_encode(b, vms[i].name);
		buffer_append_varint(b, vms[i].observed);
		buffer_append_varint(b, vms[i].memory_mib);
		buffer_append_varint(b, vms[i].vcpus);
	}
}

static void vm_decode(struct reader *r, struct hypervisor_vm *vm)
{
	text_decode_into(r, vm->uuid, sizeof(vm->uuid));
	text_decode_into(r, vm->name, sizeof(vm->name));
	uint64_t observed = reader_varint(r);
	vm->observed = (enum vm_observed)observed;
	vm->memory_mib = reader_varint(r);
	uint64_t vcpus = reader_varint(r);
	vm->vcpus = (uint32_t)vcpus;
	if (observed > OBSERVED_UNOBSERVABLE || vcpus > UINT32_MAX)
		r->failed = true;
}

int hypervisor_vms_decode(struct reader *r, struct hypervisor_vm **vms, unsigned *n)
{
	uint64_t count = reader_varint(r);
	*vms = NULL;
	*n = 0;
	/* Before it is multiplied and allocated. */
	if (r->failed || count > reader_left(r) / VM_BYTES_MIN)
		return -EPROTO;
	struct hypervisor_vm *list = must_alloc(count * sizeof(*list));
	for (uint64_t i = 0; i < count && !r->failed; i++)
		vm_decode(r, &list[i]);
	if (r->failed || reader_left(r) > 0) {
		free(list);
		return -EPROTO;
	}
	*vms = list;
	*n = (unsigned)count;
	return 0;
}
