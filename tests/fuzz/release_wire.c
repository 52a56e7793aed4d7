/* What the pool's worker is asked to free and says that it freed: refused, or encoded again to the
 * same. The first byte says which: q for the question, a for the answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/worker/release_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct buffer *b, const uint8_t *data, size_t size)
{
	if (b->size != size || memcmp(b->data, data, size) != 0)
		abort();
}

static void question_try(const uint8_t *data, size_t size)
{
	struct reader r = reader_of(data, size);
	struct release release;
	struct buffer b = {0};
	if (release_decode(&r, &release) == 0) {
		/* A volume that was named twice is there once: nothing else may be lost. */
		release_encode(&b, &release);
		if (b.size > size)
			abort();
	}
	for (unsigned i = 0; i < release.volumes.count; i++)
		lock_judge(release.volumes.names[i], release.own, release.proven);
	release_clear(&release);
	buffer_close(&b);
}

static void answer_try(const uint8_t *data, size_t size)
{
	struct reader r = reader_of(data, size);
	struct release_result result;
	struct buffer b = {0};
	if (release_result_decode(&r, &result) != 0)
		return;
	release_result_encode(&b, &result);
	compare(&b, data, size);
	for (unsigned i = 0; i < result.count; i++) {
		char text[VOLUME_CLIENT_MAX], clients[VOLUME_CLIENTS_MAX][VOLUME_CLIENT_MAX];
		const char *address = result.locks[i].locker.address;
		lock_address_print(address, text);
		if (lock_clients(address, clients) &&
		    lock_judge(address, text, "") == LOCK_FOREIGN &&
		    lock_clients(address, clients) == 1)
			abort();
	}
	buffer_close(&b);
	release_result_close(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] == 'q')
		question_try(data + 1, size - 1);
	if (size > 0 && data[0] == 'a')
		answer_try(data + 1, size - 1);
	return 0;
}
