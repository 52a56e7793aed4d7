/* The tick: cluster time passes, and what waits is looked at again. */
#include "fsm/apply.h"
#include "fsm/autostart.h"
#include "fsm/flush.h"
#include "fsm/history.h"
#include "fsm/migration.h"
#include "fsm/node.h"
#include "fsm/primary.h"
#include "fsm/session.h"
#include "fsm/vm.h"

/* A leader that was paused for a day must not make a day pass: sessions and
 * tokens would end in one step. */
#define TICK_MAX_MS 60000

int apply_tick(struct cluster *c, struct command_tick *command, struct err *err)
{
	struct settings *s = &c->settings;
	s->time_ms += command->elapsed_ms < TICK_MAX_MS ? command->elapsed_ms : TICK_MAX_MS;
	if (s->maintenance_until_ms && s->maintenance_until_ms <= s->time_ms) {
		s->maintenance = false;
		s->maintenance_until_ms = 0;
	}
	change_settings(c);
	history_compare(c, command->hash_index, command->hash);
	history_tick(c);
	for (uint32_t i = 0; i < command->keepalives.count; i++)
		node_heard(c, &command->keepalives.items[i]);
	session_expire(c);
	primary_tick(c);
	vm_tick(c);
	flush_tick(c);
	migration_tick(c);
	autostart_tick(c);
	return 0;
}
