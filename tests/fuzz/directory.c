/* Any files as a data directory: whatever is in them, it is read and judged to the end, and
 * nothing of it is changed.
 *
 * The input is a list of files: an octet for the kind (its high bit: as it is, without the
 * checksums being made right), one each for the two numbers of the name, two for the size, little
 * endian, and the bytes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/operation/value_json.h"
#include "raft/checksum.h"
#include "raft/directory.h"
#include "tests/fuzz/mend.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

#define FILES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { KIND_METADATA_1, KIND_METADATA_2, KIND_SEGMENT, KIND_SNAPSHOT, KIND_NONE };

static void check(int right)
{
	if (!right)
		abort();
}

static void mend(enum kind kind, struct buffer *b)
{
	if (kind <= KIND_METADATA_2 && b->size >= METADATA_SIZE)
		put(b->data + 44, checksum(0, b->data, 44), 4);
	if (kind == KIND_SEGMENT)
		mend_segment(b->data, b->size);
	if (kind == KIND_SNAPSHOT)
		mend_snapshot(b->data, b->size);
}

static void write_file(int fd, const char *name, const struct buffer *b)
{
	int file = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	check(file >= 0 && write(file, b->data, b->size) == (ssize_t)b->size);
	close(file);
}

static void read_one(int fd, struct reader *in)
{
	char name[DIRECTORY_NAME_MAX] = "";
	struct buffer bytes = {0};
	uint8_t first = reader_u8(in);
	enum kind kind = (enum kind)((first & 0x7f) % (KIND_NONE + 1));
	uint8_t a = reader_u8(in), b = reader_u8(in);
	size_t size = reader_u8(in);
	size |= (size_t)reader_u8(in) << 8;
	if (size > reader_left(in))
		size = reader_left(in);
	buffer_append(&bytes, reader_bytes(in, size), size);
	if (!(first & 0x80))
		mend(kind, &bytes);
	if (kind <= KIND_METADATA_2)
		snprintf(name, sizeof(name), "metadata-%d", kind + 1);
	else if (kind < KIND_NONE)
		directory_name(
		    kind == KIND_SEGMENT ? DIRECTORY_SEGMENT : DIRECTORY_SNAPSHOT, a, b, name);
	if (*name)
		write_file(fd, name, &bytes);
	buffer_close(&bytes);
}

static void remove_one(void *data, const char *name)
{
	if (name[0] != '.')
		unlinkat(*(int *)data, name, 0);
}

static void found(void *data, const struct inspect_finding *f)
{
	check(f->file && *f->file && f->text && *f->text);
	*(unsigned *)data += f->problem;
}

/* What commands do, one after the other. */
static void look(struct source *s)
{
	struct inspect_status status;
	struct disk_entry entry;
	struct configuration c;
	struct replay r;
	struct err err = {""};
	char name[INSPECT_NAME_MAX];
	uint64_t offset;
	unsigned problems = 0;
	inspect_status(s->in, &status);
	check(inspect_verify(s->in, found, &problems) == status.problems);
	replay_verify(s->in, found, &problems);
	for (uint64_t i = status.first; i && !inspect_entry(s->in, i, &entry); i++)
		check(i <= status.last && !inspect_where(s->in, i, name, &offset));
	source_configuration(s, status.last, &c);
	uint64_t committed = replay_committed(s->in);
	check(committed <= status.last || (status.snapshot && committed == status.snapshot->index));
	if (replay_run(&r, s->in, 0, &err))
		return;
	json_t *json = value_json(&r.cluster);
	check(value_at(json, "settings/schema", &err) != NULL);
	json_decref(json);
	replay_close(&r);
}

static char path[] = "/dev/shm/pvc-fuzz-XXXXXX";

static void remove_path(void)
{
	rmdir(path);
}

static int make_path(void)
{
	check(mkdtemp(path) && atexit(remove_path) == 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	check(fd >= 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct source source;
	struct err err = {""};
	struct reader in = reader_of(data, size);
	if (fd < 0)
		fd = make_path();
	for (unsigned i = 0; i < FILES_MAX && reader_left(&in); i++)
		read_one(fd, &in);
	int result = source_open_at(&source, path, &err);
	check(result == 0 || *err.text);
	if (!result) {
		look(&source);
		source_close(&source);
	}
	directory_list(fd, remove_one, &fd);
	return 0;
}
