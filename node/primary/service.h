/* The primary's services: started in order and checked, stopped in reverse.
 *
 * What is wanted is a level: commands are run, again when they fail, until it is
 * so. A service that fails, or takes longer than its timeout_ms, is retried
 * while the others go on. A command is "unit:NAME", which is asked of systemd,
 * or a line for /bin/sh; start must return once the service is started, and
 * doing what is done already must be right. A command that does not end in time
 * is killed with its whole process group. */
#ifndef NODE_PRIMARY_SERVICE_H
#define NODE_PRIMARY_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/err.h"

#define SERVICES_MAX	     16
#define SERVICE_NAME_MAX     32
#define SERVICE_COMMAND_MAX  512
#define SERVICE_TEXT_MAX     160
#define SERVICE_ARGUMENTS    5
#define SERVICE_TIMEOUT_MS   10000 /* when a spec says 0 */
#define SERVICE_WATCH_MS     5000 /* between two checks of one that runs */
#define SERVICE_RETRY_MS_MIN 500 /* doubled with each failure */
#define SERVICE_RETRY_MS_MAX 10000

struct service_spec {
	const char *name;
	const char *start;
	const char *stop; /* NULL: the unit of start */
	const char *check; /* NULL: the unit of start; none, when that is a line */
	unsigned timeout_ms;
};

enum service_action { SERVICE_START, SERVICE_STOP, SERVICE_CHECK };

enum service_state {
	SERVICE_STOPPED,
	SERVICE_WANTED, /* waits for those before it */
	SERVICE_STARTING,
	SERVICE_RUNNING,
	SERVICE_FAILING, /* will be started again */
	SERVICE_STOPPING,
};

const char *service_state_name(enum service_state state);

enum services_goal { SERVICES_STOPPED, SERVICES_RUNNING };

struct service_status {
	char name[SERVICE_NAME_MAX];
	enum service_state state;
	uint64_t since_ms; /* on the loop's clock */
	unsigned attempts; /* that failed since it last was as wanted */
	char text[SERVICE_TEXT_MAX]; /* why; "" when all is well */
};

struct uv_loop_s;
struct services;

/* The command line of an action in argv, which ends with NULL and points into spec and
 * static text. False when there is nothing to run. */
bool service_arguments(const struct service_spec *spec, enum service_action action,
    const char *argv[SERVICE_ARGUMENTS]);

/* Names and commands are copied. changed is called after each change of a status, never
 * from within a function below. Nothing runs before services_want. Returns 0, or -EINVAL. */
int services_open(struct services **services, struct uv_loop_s *loop,
    const struct service_spec *specs, unsigned count, struct err *err);
void services_on_change(struct services *services, void (*changed)(void *data), void *data);

/* Going to SERVICES_STOPPED cuts short what is being started. The first call of all acts in
 * either direction: a service that the machine itself started is stopped. */
void services_want(struct services *services, enum services_goal goal);

/* Check now those that run: somebody else may have stopped them (the guard). */
void services_look(struct services *services);

/* Is every service as wanted? */
bool services_settled(const struct services *services);

/* The statuses in order; how many there are. */
unsigned services_status(
    const struct services *services, struct service_status statuses[SERVICES_MAX]);

/* Kills commands under way and frees, once the loop has run on. Stops no service. */
void services_close(struct services *services);

#endif
