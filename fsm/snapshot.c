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
	record_encode(settings_record(), &c->settings, out);
	record_encode(primary_record(), &c->primary, out);
	encode_table(&c->nodes, out);
	encode_table(&c->vms, out);
	encode_table(&c->facts, out);
	encode_table(&c->sessions, out);
	encode_table(&c->tokens, out);
	encode_table(&c->authorities, out);
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

static int decode_all(struct cluster *c, struct reader *in, struct err *err)
{
	struct table *tables[] = {
	    &c->nodes, &c->vms, &c->facts, &c->sessions, &c->tokens, &c->authorities};
	if (record_decode(settings_record(), in, &c->settings))
		return err_set(err, -EBADMSG, "snapshot: bad settings");
	if (c->settings.schema > SCHEMA_MAX)
		return err_set(err, -ENOTSUP,
		    "snapshot: schema %" PRIu32 ", this version knows up to %d", c->settings.schema,
		    SCHEMA_MAX);
	if (record_decode(primary_record(), in, &c->primary))
		return err_set(err, -EBADMSG, "snapshot: bad primary");
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
	/* Settings and primary were overwritten, digests and all. */
	change_settings(&fresh);
	change_primary(&fresh);
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
