#include "node/worker/release_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/text.h"

#define LOCK_BYTES_MIN 4 /* of one encoded lock: four texts */

void release_encode(struct buffer *b, const struct release *release)
{
	buffer_append_u8(b, (uint8_t)release->extent);
	buffer_append_text(b, release->own);
	buffer_append_text(b, release->proven);
	buffer_append_varint(b, release->volumes.count);
	for (unsigned i = 0; i < release->volumes.count; i++)
		buffer_append_text(b, release->volumes.names[i]);
}

/* A text of any length as memory to be freed, never NULL. */
static char *text_decode(struct reader *r)
{
	size_t max = reader_left(r) + 1;
	char *text = must_alloc(max);
	text[0] = '\0';
	reader_text(r, text, max);
	return text;
}

int release_decode(struct reader *r, struct release *release)
{
	*release = (struct release){.extent = (enum release_extent)reader_u8(r)};
	release->own = text_decode(r);
	release->proven = text_decode(r);
	uint64_t count = reader_varint(r);
	for (uint64_t i = 0; i < count && !r->failed; i++) {
		char name[VOLUME_NAME_MAX] = "";
		reader_text(r, name, sizeof(name));
		if (volumes_add(&release->volumes, name, NULL))
			r->failed = true;
	}
	bool known = release->extent == RELEASE_STALE || release->extent == RELEASE_ALL;
	return r->failed || reader_left(r) || !known ? -EPROTO : 0;
}

void release_clear(struct release *release)
{
	free((char *)(uintptr_t)release->own);
	free((char *)(uintptr_t)release->proven);
	release->own = release->proven = NULL;
}

void release_result_encode(struct buffer *b, const struct release_result *result)
{
	buffer_append_u8(b, result->refused);
	buffer_append_varint(b, result->count);
	for (unsigned i = 0; i < result->count; i++) {
		const struct release_lock *lock = &result->locks[i];
		buffer_append_text(b, lock->volume);
		buffer_append_text(b, lock->locker.entity);
		buffer_append_text(b, lock->locker.cookie);
		buffer_append_text(b, lock->locker.address);
	}
}

static void lock_decode(struct reader *r, struct release_lock *lock)
{
	*lock = (struct release_lock){0};
	reader_text(r, lock->volume, sizeof(lock->volume));
	reader_text(r, lock->locker.entity, sizeof(lock->locker.entity));
	reader_text(r, lock->locker.cookie, sizeof(lock->locker.cookie));
	reader_text(r, lock->locker.address, sizeof(lock->locker.address));
	if (!text_is_plain(lock->volume) || !text_is_plain(lock->locker.entity) ||
	    !text_is_plain(lock->locker.address))
		r->failed = true;
}

int release_result_decode(struct reader *r, struct release_result *result)
{
	uint8_t refused = reader_u8(r);
	uint64_t count = reader_varint(r);
	*result = (struct release_result){0};
	/* Before it is multiplied and allocated. */
	if (r->failed || refused > 1 || count > reader_left(r) / LOCK_BYTES_MIN)
		return -EPROTO;
	struct release_lock *locks = must_alloc(count * sizeof(*locks));
	for (uint64_t i = 0; i < count && !r->failed; i++)
		lock_decode(r, &locks[i]);
	if (r->failed || reader_left(r) || (refused && !count)) {
		free(locks);
		return -EPROTO;
	}
	*result = (struct release_result){
	    .locks = locks, .count = (unsigned)count, .refused = refused == 1};
	return 0;
}
