#include "fsm/session.h"

#include <errno.h>

bool session_seen(struct cluster *c, const struct command *command, int *result, struct err *err)
{
	if (!command->client)
		return false;
	const struct session *s = table_find(&c->sessions, &command->client);
	if (!s || command->sequence > s->sequence)
		return false;
	uint64_t age = s->sequence - command->sequence;
	if (age >= SESSION_WINDOW) {
		*result =
		    err_set(err, -ESTALE, "that operation is too old to tell what it answered");
		return true;
	}
	if (!(s->applied >> age & 1))
		return false;
	*result = (int)s->results[command->sequence % SESSION_WINDOW];
	if (*result < 0)
		err_set(err, *result, "refused when it was asked the first time");
	return true;
}

/* The one that was used longest ago makes room; ids in order break a tie. */
static void session_make_room(struct cluster *c)
{
	if (c->sessions.count < SESSIONS_MAX)
		return;
	struct session *oldest = NULL;
	cluster_each(c->sessions, struct session, s) if (!oldest || s->used_ms < oldest->used_ms)
	    oldest = s;
	change_remove(c, &c->sessions, oldest);
}

void session_note(struct cluster *c, const struct command *command, int result)
{
	if (!command->client)
		return;
	struct session *s = table_find(&c->sessions, &command->client);
	if (!s) {
		session_make_room(c);
		s = must_alloc(sizeof(*s));
		s->client = command->client;
		s->sequence = command->sequence;
		change_insert(c, &c->sessions, s);
	}
	if (command->sequence > s->sequence) {
		uint64_t steps = command->sequence - s->sequence;
		s->applied = steps < SESSION_WINDOW ? s->applied << steps : 0;
		s->sequence = command->sequence;
	}
	s->applied |= 1ull << (s->sequence - command->sequence);
	s->results[command->sequence % SESSION_WINDOW] = (uint32_t)result;
	s->used_ms = c->settings.time_ms;
	change_touch(c, &c->sessions, s);
}

void session_expire(struct cluster *c)
{
	for (uint32_t i = c->sessions.count; i-- > 0;) {
		struct session *s = c->sessions.items[i];
		if (c->settings.time_ms - s->used_ms > SESSION_LIFETIME_MS)
			change_remove(c, &c->sessions, s);
	}
}
