#include "node/worker/collector.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "node/log/log.h"

void collector_open(struct collector_watch *w, const struct collector_options *options)
{
	*w = (struct collector_watch){.options = *options};
}

unsigned collector_deadline_ms(uint64_t every_ms)
{
	if (every_ms < COLLECTOR_DEADLINE_MIN_MS + COLLECTOR_SPARE_MS)
		return COLLECTOR_DEADLINE_MIN_MS;
	return (unsigned)(every_ms - COLLECTOR_SPARE_MS);
}

uint64_t collector_due_ms(const struct collector_watch *w)
{
	return w->asked ? UINT64_MAX : w->due_ms;
}

void collector_hasten(struct collector_watch *w)
{
	if (w->state != COLLECTOR_STUCK || !w->options.pause_ms)
		w->due_ms = 0;
}

unsigned collector_begin(struct collector_watch *w, uint64_t now_ms)
{
	assert(!w->asked);
	w->asked = true;
	w->due_ms = now_ms + w->options.every_ms;
	return collector_deadline_ms(w->options.every_ms);
}

static bool was_killed(const struct collector_watch *w, const struct collector_answer *answer)
{
	return answer->status == -ETIMEDOUT && answer->kills != w->kills;
}

static void say(const struct collector_watch *w, const char *why, uint64_t now_ms)
{
	const char *name = w->options.name;
	if (w->good_ms)
		log_warning("%s collector%s; last values are %" PRIu64 " s old", name, why,
		    (now_ms - w->good_ms) / 1000);
	else
		log_warning("%s collector%s; it has no values yet", name, why);
}

uint64_t collector_held_up(struct collector_watch *w, const char *why, uint64_t now_ms)
{
	uint64_t late_ms = w->good_ms + w->options.every_ms + COLLECTOR_HELD_UP_MS;
	struct err line;
	if (w->asked || w->state != COLLECTOR_OK)
		return UINT64_MAX;
	if (now_ms < late_ms)
		return late_ms;
	w->state = COLLECTOR_STUCK;
	err_set(&line, 0, ": %s", why);
	say(w, line.text, now_ms);
	agent_collected(w->options.agent, w->options.name, w->state, why, now_ms);
	return UINT64_MAX;
}

/* It is not well; why is for everybody, and for the log when that is new. */
static void fail(struct collector_watch *w, const struct collector_answer *answer, uint64_t now_ms)
{
	enum collector_state before = w->state;
	struct err why, line;
	uint64_t deadline_ms = collector_deadline_ms(w->options.every_ms);
	w->state = answer->status == -ETIMEDOUT ? COLLECTOR_STUCK : COLLECTOR_FAILED;
	/* In our own words: the worker's are of its pid, and in the log already. */
	if (was_killed(w, answer))
		err_set(&why, 0, "exceeded %" PRIu64 ".%" PRIu64 " s, killed", deadline_ms / 1000,
		    deadline_ms / 100 % 10);
	else
		err_set(&why, 0, "%s", answer->text);
	err_set(&line, 0, "%s%.400s", was_killed(w, answer) ? " " : ": ", why.text);
	if (w->state != before)
		say(w, line.text, now_ms);
	if (w->state == COLLECTOR_STUCK && w->options.pause_ms)
		w->due_ms = now_ms + w->options.pause_ms;
	agent_collected(w->options.agent, w->options.name, w->state, why.text, now_ms);
}

static void succeed(struct collector_watch *w, uint64_t now_ms)
{
	if (w->state != COLLECTOR_OK)
		log_ok("%s collector answers%s", w->options.name, w->state ? " again" : "");
	w->state = COLLECTOR_OK;
	w->good_ms = now_ms;
	agent_collected(w->options.agent, w->options.name, COLLECTOR_OK, "", now_ms);
}

void collector_end(
    struct collector_watch *w, const struct collector_answer *answer, uint64_t now_ms)
{
	assert(w->asked);
	w->asked = false;
	if (answer->status)
		fail(w, answer, now_ms);
	else
		succeed(w, now_ms);
	w->kills = answer->kills;
	agent_counted(w->options.agent, w->options.name, w->kills);
}
