#include "node/worker/hypervisor_wire.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define VM_BYTES_MIN 12 /* of one encoded VM: twelve fields */

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

static unsigned unsigned_decode(struct reader *r)
{
	uint64_t value = reader_varint(r);
	if (value > UINT_MAX)
		r->failed = true;
	return (unsigned)value;
}

static bool flag_decode(struct reader *r)
{
	uint8_t value = reader_u8(r);
	if (value > 1)
		r->failed = true;
	return value == 1;
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
	text_encode(b, call->uri);
	buffer_append_varint(b, call->downtime_ms_max);
	buffer_append_varint(b, call->rate_mib_max);
	buffer_append_u8(b, call->tls);
}

int hypervisor_call_decode(struct reader *r, struct hypervisor_call *call)
{
	call->op = reader_u8(r);
	call->uuid = text_decode(r);
	call->xml = text_decode(r);
	call->uri = text_decode(r);
	call->downtime_ms_max = unsigned_decode(r);
	call->rate_mib_max = reader_varint(r);
	call->tls = flag_decode(r);
	return r->failed || reader_left(r) > 0 || call->op >= HYPERVISOR_OPS ? -EPROTO : 0;
}

void hypervisor_call_close(struct hypervisor_call *call)
{
	free(call->uuid);
	free(call->xml);
	free(call->uri);
	*call = (struct hypervisor_call){0};
}

static void job_encode(struct buffer *b, const struct hypervisor_job *job)
{
	buffer_append_u8(b, job->active);
	buffer_append_u8(b, job->unknown);
	buffer_append_varint(b, job->total_mib);
	buffer_append_varint(b, job->left_mib);
	buffer_append_varint(b, job->rate_mib_s);
	buffer_append_varint(b, job->elapsed_ms);
	buffer_append_varint(b, job->percent);
	buffer_append_varint(b, job->downtime_ms);
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
		job_encode(b, &vms[i].job);
	}
}

/* A value of enum vm_observed: one that has a name. */
static enum vm_observed observed_decode(struct reader *r)
{
	uint64_t value = reader_varint(r);
	for (unsigned i = 0; vm_observed_names[i]; i++) {
		if (value == i)
			return (enum vm_observed)i;
	}
	r->failed = true;
	return OBSERVED_UNKNOWN;
}

static void job_decode(struct reader *r, struct hypervisor_job *job)
{
	job->active = flag_decode(r);
	job->unknown = flag_decode(r);
	job->total_mib = reader_varint(r);
	job->left_mib = reader_varint(r);
	job->rate_mib_s = reader_varint(r);
	job->elapsed_ms = reader_varint(r);
	job->percent = unsigned_decode(r);
	job->downtime_ms = unsigned_decode(r);
	if (job->percent > 100)
		r->failed = true;
}

static void vm_decode(struct reader *r, struct hypervisor_vm *vm)
{
	text_decode_into(r, vm->uuid, sizeof(vm->uuid));
	text_decode_into(r, vm->name, sizeof(vm->name));
	vm->observed = observed_decode(r);
	vm->memory_mib = reader_varint(r);
	vm->vcpus = unsigned_decode(r);
	job_decode(r, &vm->job);
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
