#include "node/worker/pool_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"
#include "fsm/text.h"

void pool_argument_encode(struct buffer *b, const char *driver, const struct pool_options *options)
{
	/* A path may have a colon in it: the first one says how long it is. */
	buffer_print(b, "%s:%u:%zu:%s:%s", driver, options->timeout_s, strlen(options->config_file),
	    options->config_file, options->keyring);
	buffer_append_u8(b, 0);
}

int pool_argument_decode(struct pool_argument *a, const char *argument)
{
	*a = (struct pool_argument){0};
	size_t size;
	int at = 0;
	if (sscanf(argument, "%15[^:]:%u:%zu:%n", a->driver, &a->options.timeout_s, &size, &at) !=
		3 ||
	    at == 0)
		return -EPROTO;
	const char *config_file = argument + at;
	if (size > strlen(config_file) || config_file[size] != ':')
		return -EPROTO;
	size_t all = strlen(config_file) + 1;
	a->texts = memcpy(must_alloc(all), config_file, all);
	a->texts[size] = '\0';
	a->options.config_file = a->texts;
	a->options.keyring = a->texts + size + 1;
	return 0;
}

void pool_op_encode(struct buffer *b, enum pool_op op)
{
	buffer_append_u8(b, (uint8_t)op);
}

enum pool_op pool_op_decode(struct reader *r)
{
	uint8_t op = reader_u8(r);
	return r->failed || op >= POOL_OPS ? POOL_OPS : (enum pool_op)op;
}

void pool_view_encode(struct buffer *b, const struct ceph_view *view)
{
	record_encode(ceph_view_record(), view, b);
}

/* Every text can be shown, and nothing is in a field that is not known. */
static bool record_is_sound(const struct record *record, const void *object)
{
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		if (f->type == FIELD_TEXT && !text_is_plain((const char *)object + f->offset))
			return false;
	}
	struct buffer given = {0}, trimmed = {0};
	record_encode(record, object, &given);
	void *copy = memcpy(must_alloc(record->size), object, record->size);
	record_trim(record, copy);
	record_encode(record, copy, &trimmed);
	bool same = given.size == trimmed.size && memcmp(given.data, trimmed.data, given.size) == 0;
	buffer_close(&given);
	buffer_close(&trimmed);
	free(copy);
	return same;
}

/* Records of the list are sound and, as each begins with its id, in order of that. */
static bool list_is_sound(const struct record *record, const struct list *list, uint32_t max)
{
	if (list->count > max)
		return false;
	uint32_t last = 0;
	for (uint32_t i = 0; i < list->count; i++) {
		const char *object = (const char *)list->items + i * record->size;
		uint32_t id;
		memcpy(&id, object, sizeof(id));
		if ((i > 0 && id <= last) || !record_is_sound(record, object))
			return false;
		last = id;
	}
	return true;
}

int pool_view_decode(struct reader *r, struct ceph_view *view)
{
	if (record_decode(ceph_view_record(), r, view) != 0)
		return -EPROTO;
	if (reader_left(r) == 0 && list_is_sound(ceph_record(), (struct list *)&view->status, 1) &&
	    list_is_sound(ceph_osd_record(), (struct list *)&view->osds, CEPH_OSDS_MAX) &&
	    list_is_sound(ceph_pool_record(), (struct list *)&view->pools, CEPH_POOLS_MAX))
		return 0;
	record_clear(ceph_view_record(), view);
	return -EPROTO;
}
