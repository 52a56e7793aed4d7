/* What the disk pool's worker may send and be started with: refused, or encoded again to the same.
 * The first byte says which: v for a view, a for an argument. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/worker/pool_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void view_try(const uint8_t *data, size_t size)
{
	struct buffer b = {0};
	struct reader r = reader_of(data, size);
	struct ceph_view view;
	if (pool_view_decode(&r, &view) != 0)
		return;
	pool_view_encode(&b, &view);
	if (b.size != size || memcmp(b.data, data, size) != 0)
		abort();
	buffer_close(&b);
	record_clear(ceph_view_record(), &view);
}

static void argument_try(const uint8_t *data, size_t size)
{
	struct pool_argument a, again;
	struct buffer b = {0};
	char *text = must_alloc(size + 1);
	memcpy(text, data, size);
	text[size] = '\0';
	if (pool_argument_decode(&a, text) == 0) {
		pool_argument_encode(&b, a.driver, &a.options);
		if (pool_argument_decode(&again, (const char *)b.data) != 0 ||
		    strcmp(again.driver, a.driver) != 0 ||
		    strcmp(again.options.config_file, a.options.config_file) != 0 ||
		    strcmp(again.options.keyring, a.options.keyring) != 0 ||
		    again.options.timeout_s != a.options.timeout_s)
			abort();
		free(again.texts);
		free(a.texts);
		buffer_close(&b);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] == 'v')
		view_try(data + 1, size - 1);
	if (size > 0 && data[0] == 'a')
		argument_try(data + 1, size - 1);
	return 0;
}
