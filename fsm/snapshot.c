#include "fsm/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/blobs.h"
#include "fsm/change.h"
#include "fsm/check.h"
#include "fsm/schema.h"

static const char magic[8] = "PVCVALUE";

static void encode_table(const struct table *t, struct buffer *out)
{
	buffer_append_varint(out, t->count);
	for (uint32_t i = 0; i < t->count; i++)
		record_encode(t->record, t->items[i], out);
}

void snapshot_encode(struct cluster *c, struct buffer *out)
{
	buffer_append(out, magic, sizeof(magic));
	buffer_append_u32(out, SNAPSHOT_FORMAT);
	buffer_append_u64(out, c->index);
	buffer_append_u64(out, c->hash);
#define PART(name, record)	 record_encode(record##_record(), &c->name, out);
#define TABLE_PART(name, record) encode_table(&c->name, out);
#include "fsm/parts.def"
}

static int decode_table(struct cluster *c, struct table *t, struct reader *in, struct err *err)
{
	uint64_t count = reader_varint(in);
	for (uint64_t i = 0; i < count && !in->failed; i++) {
		void *object = must_alloc(t->record->size);
		int result = record_decode(t->record, in, object);
		/* Equal values are equal bytes: another order, or one key twice, is none. */
		if (result || !table_ends_before(t, object)) {
			record_clear(t->record, object);
			free(object);
			return err_set(err, -EBADMSG, "snapshot: offset %zu: a bad %s", in->at,
			    t->record->name);
		}
		change_insert(c, t, object);
	}
	return in->failed ? err_set(err, -EBADMSG, "snapshot: ends within its %ss", t->record->name)
			  : 0;
}

static int decode_singles(struct cluster *c, struct reader *in, struct err *err)
{
#define PART(name, record)                                                                         \
	if (record_decode(record##_record(), in, &c->name))                                        \
		return err_set(err, -EBADMSG, "snapshot: bad " #name);
#define TABLE_PART(name, record)
#include "fsm/parts.def"
	if (c->settings.schema > SCHEMA_MAX)
		return err_set(err, -ENOTSUP,
		    "snapshot: schema %" PRIu32 ", this version knows up to %d", c->settings.schema,
		    SCHEMA_MAX);
	return 0;
}

static int decode_all(struct cluster *c, struct reader *in, struct err *err)
{
	struct table *tables[] = {
#define PART(name, record)
#define TABLE_PART(name, record) &c->name,
#include "fsm/parts.def"
	};
	int bad = decode_singles(c, in, err);
	if (bad)
		return bad;
	for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		int result = decode_table(c, tables[i], in, err);
		if (result)
			return result;
	}
	if (reader_left(in))
		return err_set(err, -EBADMSG, "snapshot: %zu bytes too many", reader_left(in));
	return 0;
}

int snapshot_decode(struct cluster *c, const uint8_t *bytes, size_t size, struct err *err)
{
	struct reader in = reader_of(bytes, size);
	const uint8_t *start = reader_bytes(&in, sizeof(magic));
	uint32_t format = reader_u32(&in);
	uint64_t index = reader_u64(&in);
	uint64_t hash = reader_u64(&in);
	if (in.failed || memcmp(start, magic, sizeof(magic)) != 0)
		return err_set(err, -EBADMSG, "snapshot: does not begin like one");
	if (format != SNAPSHOT_FORMAT)
		return err_set(err, -ENOTSUP, "snapshot: format %" PRIu32 ", this version knows %d",
		    format, SNAPSHOT_FORMAT);
	struct cluster fresh;
	cluster_init(&fresh);
	fresh.index = index;
	int result = decode_all(&fresh, &in, err);
	/* The single objects were overwritten, digests and all. */
	change_singles(&fresh);
	change_settle(&fresh);
	fresh.hash = change_hash(&fresh);
	fresh.blob_bytes = blobs_count(&fresh);
	if (!result && fresh.hash != hash)
		result = err_set(err, -EBADMSG,
		    "snapshot: its hash is %016" PRIx64 ", it says %016" PRIx64, fresh.hash, hash);
	if (!result)
		result = check_cluster(&fresh, err);
	if (result) {
		cluster_close(&fresh);
		return result;
	}
	cluster_close(c);
	*c = fresh;
	return 0;
}
