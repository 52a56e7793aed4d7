/* Any bytes as a snapshot file: refused at an offset within them, or the same again when encoded
 * and decoded once more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raft/checksum.h"
#include "raft/snapshot_file.h"
#include "tests/fuzz/mend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int right)
{
	if (!right)
		abort();
}

static void same_again(const struct snapshot_file *file)
{
	const struct disk_snapshot *s = &file->snapshot;
	struct buffer bytes = {0}, data = {0};
	struct snapshot_file again;
	uint64_t offset;
	snapshot_file_encode(file, &bytes);
	check(snapshot_file_decode(bytes.data, bytes.size, &again, &data, &offset, NULL) == 0);
	check(again.keep_from == file->keep_from && again.sequence == file->sequence);
	check(again.snapshot.index == s->index && again.snapshot.term == s->term);
	check(again.snapshot.configuration_index == s->configuration_index);
	check(again.snapshot.configuration_size == s->configuration_size);
	check(again.snapshot.size == s->size);
	check(s->size == 0 || memcmp(again.snapshot.data, s->data, s->size) == 0);
	check(memcmp(again.snapshot.configuration, s->configuration, s->configuration_size) == 0);
	buffer_close(&data);
	buffer_close(&bytes);
}

static void look(const uint8_t *data, size_t size)
{
	struct snapshot_file file;
	struct buffer plain = {0};
	struct err err;
	uint64_t offset;
	int result = snapshot_file_decode(data, size, &file, &plain, &offset, &err);
	check(offset <= size);
	if (result == 0)
		same_again(&file);
	else
		check(result == -EBADMSG);
	buffer_close(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return mend_and_look(data, size, mend_snapshot, look);
}
