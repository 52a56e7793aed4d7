/* Any stream, cut anywhere: the frames are the same as when it comes in one piece, and
 * what a guest or somebody who is not known yet may put into one is decoded or refused. */
#include <stdlib.h>
#include <string.h>

#include "raft/frame.h"
#include "raft/greeting.h"
#include "raft/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int collect(void *data, const uint8_t *bytes, size_t size)
{
	buffer_append_u32(data, (uint32_t)size);
	buffer_append(data, bytes, size);
	return 0;
}

static void stream_check(const uint8_t *data, size_t size, size_t cut)
{
	struct frames whole = {.limit = 4096}, parts = {.limit = 4096};
	struct buffer a = {0}, b = {0};
	int rv = frames_feed(&whole, data, size, collect, &a), rv_parts = 0;
	for (size_t at = 0; at < size && rv_parts == 0; at += cut) {
		size_t n = size - at < cut ? size - at : cut;
		rv_parts = frames_feed(&parts, data + at, n, collect, &b);
	}
	if (rv != rv_parts || a.size != b.size || (a.size && memcmp(a.data, b.data, a.size) != 0))
		abort();
	if (parts.partial.capacity > 3 * size + 64)
		abort();
	frames_close(&whole);
	frames_close(&parts);
	buffer_close(&a);
	buffer_close(&b);
}

static void guest_check(const uint8_t *data, size_t size)
{
	static struct guest_answer answer;
	struct guest_request request;
	struct buffer again = {0};
	if (guest_request_decode(data, size, &request) == 0) {
		guest_request_encode(&request, &again);
		if (again.size != size || memcmp(again.data, data, size) != 0)
			abort();
	}
	again.size = 0;
	if (guest_answer_decode(data, size, &answer) == 0) {
		guest_answer_encode(&answer, &again);
		if (again.size != size || memcmp(again.data, data, size) != 0)
			abort();
	}
	buffer_close(&again);
}

static void greeting_check(const uint8_t *data, size_t size)
{
	char address[ENDPOINT_SIZE];
	enum greeting greeting;
	struct buffer again = {0};
	if (greeting_decode(data, size, &greeting) == 0) {
		greeting_encode(greeting, &again);
		if (again.size != size || (size && again.data[0] != data[0]))
			abort();
	}
	buffer_close(&again);
	int rv = greeting_address(data, size, address);
	if (rv == 0 ? strlen(address) != size || memcmp(address, data, size) != 0 : address[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	stream_check(data + 1, size - 1, data[0] % 16 + 1u);
	guest_check(data, size);
	greeting_check(data, size);
	return 0;
}
