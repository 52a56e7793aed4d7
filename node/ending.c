#include "node/ending.h"

#include "node/control/notify.h"
#include "node/log/log.h"

#define SAY_EVERY_MS 5000
/* Several times that, should we be held up. */
#define PATIENCE_MS 30000

void ending_ask(struct ending *e, struct duties *duties, uint64_t now_ms)
{
	if (!e->say_ms) {
		log_system("Stopping: VMs go on running");
		notify_stopping();
		notify_patience(PATIENCE_MS);
		e->say_ms = now_ms + SAY_EVERY_MS;
	} else if (!e->over_ms) {
		log_system("Stopping in a hurry: within %u s", ENDING_HURRY_MS / 1000);
		e->over_ms = now_ms + ENDING_HURRY_MS;
	}
	duties_stop(duties, now_ms);
}

bool ending_turn(struct ending *e, const struct duties *duties, uint64_t now_ms)
{
	char awaited[STOPPING_TEXT_MAX];
	if (!e->say_ms || duties_stopped(duties))
		return e->say_ms;
	duties_awaits(duties, awaited);
	if (e->over_ms && now_ms >= e->over_ms) {
		log_warning("Stopping in a hurry: %s", awaited);
		return true;
	}
	if (now_ms >= e->say_ms) {
		e->say_ms = now_ms + SAY_EVERY_MS;
		log_info("Stopping: %s", awaited);
		notify_status("Stopping: %s", awaited);
		notify_patience(PATIENCE_MS);
	}
	return false;
}
