#include "node/primary/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#include "fsm/buffer.h"

#define OUTPUT_MAX 4096 /* of what a command prints, kept for its last line */
#define CONFIRM_MS 200 /* between two checks of one that was just started */

enum step { /* the command under way, or about to be */
	STEP_NONE,
	STEP_LOOK, /* does it run already? */
	STEP_START,
	STEP_CONFIRM, /* does it run by now? */
	STEP_WATCH, /* does it still run? */
	STEP_STOP,
	STEP_GONE, /* stop failed: does it run at all? */
};

enum outcome {
	OUTCOME_FAILED,
	OUTCOME_SUCCEEDED,
	OUTCOME_UNKNOWN, /* it could not be run, or did not end in time */
};

struct command { /* a child process */
	uv_process_t process;
	struct service *service; /* NULL once nobody cares */
	int output;
	bool late; /* killed at its deadline */
};

struct service {
	struct services *owner;
	struct service_spec spec; /* strings owned */
	struct service_status status;
	enum step step;
	struct command *command; /* that runs step; NULL between two */
	uint64_t next_ms; /* when to do something, without a command */
	uint64_t deadline_ms; /* of command */
	uint64_t confirm_until_ms; /* how long a started one may take until its check succeeds */
	bool tried; /* as wanted, or failed once: the next in order may go on */
};

struct services {
	uv_loop_t *loop;
	uv_timer_t timer;
	void (*changed)(void *data);
	void *data;
	bool wanted_once, dirty;
	enum services_goal goal;
	unsigned count;
	struct service services[SERVICES_MAX];
};

static const char *const state_names[] = {
    [SERVICE_STOPPED] = "stopped",
    [SERVICE_WANTED] = "wanted",
    [SERVICE_STARTING] = "starting",
    [SERVICE_RUNNING] = "running",
    [SERVICE_FAILING] = "failing",
    [SERVICE_STOPPING] = "stopping",
};

static void services_advance(struct services *s);

/* Command lines. */

static bool is_unit(const char *command)
{
	return command && !strncmp(command, "unit:", 5) && command[5];
}

bool service_arguments(const struct service_spec *spec, enum service_action action,
    const char *argv[SERVICE_ARGUMENTS])
{
	static const char *const verbs[] = {"start", "stop", "is-active"};
	const char *command = action == SERVICE_START  ? spec->start
			      : action == SERVICE_STOP ? spec->stop
						       : spec->check;
	if (!command || !command[0])
		command = is_unit(spec->start) ? spec->start : NULL;
	if (!command)
		return false;
	if (is_unit(command)) {
		argv[0] = "systemctl";
		argv[1] = "--quiet";
		argv[2] = verbs[action];
		argv[3] = command + 5;
		argv[4] = NULL;
	} else {
		argv[0] = "/bin/sh";
		argv[1] = "-c";
		argv[2] = command;
		argv[3] = NULL;
	}
	return true;
}

/* States. */

const char *service_state_name(enum service_state state)
{
	return state <= SERVICE_STOPPING ? state_names[state] : "?";
}

static void state_set(struct service *x, enum service_state state, const char *text)
{
	if (x->status.state == state && !strcmp(x->status.text, text))
		return;
	if (x->status.state != state)
		x->status.since_ms = uv_now(x->owner->loop);
	x->status.state = state;
	snprintf(x->status.text, sizeof(x->status.text), "%s", text);
	x->owner->dirty = true;
}

static void service_settle(struct service *x, enum service_state state)
{
	x->step = STEP_NONE;
	x->tried = true;
	x->status.attempts = 0;
	x->next_ms = UINT64_MAX;
	state_set(x, state, "");
}

static void service_fail(struct service *x, enum service_state state, const char *text)
{
	uint64_t wait_ms = SERVICE_RETRY_MS_MIN;
	for (unsigned i = 0; i < x->status.attempts && wait_ms < SERVICE_RETRY_MS_MAX; i++)
		wait_ms *= 2;
	if (wait_ms > SERVICE_RETRY_MS_MAX)
		wait_ms = SERVICE_RETRY_MS_MAX;
	x->step = STEP_NONE;
	x->tried = true;
	x->status.attempts++;
	x->owner->dirty = true;
	x->next_ms = uv_now(x->owner->loop) + wait_ms;
	state_set(x, state, text);
}

/* Child processes. */

static void command_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void command_close(struct command *c)
{
	if (c->output >= 0)
		close(c->output);
	uv_close((uv_handle_t *)&c->process, command_closed);
}

static void command_kill(struct command *c)
{
	/* The child leads a session of its own, so this takes all it has started. */
	uv_kill(-c->process.pid, SIGKILL);
}

/* The last line that was printed, or "". */
static void command_last_line(const struct command *c, char line[SERVICE_TEXT_MAX])
{
	char output[OUTPUT_MAX + 1];
	ssize_t size = c->output >= 0 ? pread(c->output, output, OUTPUT_MAX, 0) : 0;
	size_t end = size > 0 ? strnlen(output, (size_t)size) : 0;
	while (end > 0 && (unsigned char)output[end - 1] <= ' ')
		end--;
	output[end] = 0;
	const char *start = strrchr(output, '\n');
	snprintf(line, SERVICE_TEXT_MAX, "%.*s", SERVICE_TEXT_MAX - 1, start ? start + 1 : output);
}

/* What a service prints is kept in a file in memory that cannot grow. A pipe would break
 * under a service that stays in the background once we have closed our end. */
static int output_open(void)
{
	int fd = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, OUTPUT_MAX) || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void step_done(struct service *x, enum outcome outcome, const char *text);

static void command_exited(uv_process_t *process, int64_t status, int signal)
{
	struct command *c = process->data;
	struct service *x = c->service;
	if (x) {
		char text[SERVICE_TEXT_MAX], line[SERVICE_TEXT_MAX];
		command_last_line(c, line);
		if (c->late)
			snprintf(text, sizeof(text), "no end within %u ms", x->spec.timeout_ms);
		else if (line[0])
			snprintf(text, sizeof(text), "%s", line);
		else if (signal)
			snprintf(text, sizeof(text), "killed by signal %d", signal);
		else
			snprintf(text, sizeof(text), "exit status %d", (int)status);
		x->command = NULL;
		enum outcome ended =
		    status == 0 && signal == 0 ? OUTCOME_SUCCEEDED : OUTCOME_FAILED;
		step_done(x, c->late ? OUTCOME_UNKNOWN : ended, text);
		services_advance(x->owner);
	}
	command_close(c);
}

static enum service_action step_action(enum step step)
{
	return step == STEP_START  ? SERVICE_START
	       : step == STEP_STOP ? SERVICE_STOP
				   : SERVICE_CHECK;
}

/* Runs the command of a step. Without one the step is done at once: starting and
 * stopping have succeeded, and nothing can be seen by looking. */
static void step_run(struct service *x, enum step step)
{
	const char *argv[SERVICE_ARGUMENTS];
	x->step = step;
	if (!service_arguments(&x->spec, step_action(step), argv)) {
		bool as_good = step == STEP_STOP || step == STEP_CONFIRM;
		step_done(x, as_good ? OUTCOME_SUCCEEDED : OUTCOME_UNKNOWN, "there is no check");
		return;
	}
	struct command *c = must_alloc(sizeof(*c));
	c->service = x;
	c->output = output_open();
	uv_stdio_container_t stdio[3] = {
	    {.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
	for (int i = 1; i < 3 && c->output >= 0; i++)
		stdio[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = c->output};
	uv_process_options_t options = {
	    .file = argv[0],
	    .args = (char **)argv,
	    .cwd = "/",
	    .flags = UV_PROCESS_DETACHED,
	    .stdio = stdio,
	    .stdio_count = 3,
	    .exit_cb = command_exited,
	};
	int status = uv_spawn(x->owner->loop, &c->process, &options);
	c->process.data = c;
	if (status) {
		char text[SERVICE_TEXT_MAX];
		snprintf(text, sizeof(text), "%s: %s", argv[0], uv_strerror(status));
		command_close(c);
		step_done(x, OUTCOME_UNKNOWN, text);
		return;
	}
	/* Looking leaves most of the time for starting. */
	unsigned timeout_ms = x->spec.timeout_ms;
	x->deadline_ms = uv_now(x->owner->loop) + (step == STEP_LOOK ? timeout_ms / 4 : timeout_ms);
	x->command = c;
}

static void confirm_failed(struct service *x, const char *text)
{
	uint64_t now_ms = uv_now(x->owner->loop);
	if (now_ms < x->confirm_until_ms)
		x->next_ms = now_ms + CONFIRM_MS; /* with the step kept */
	else
		service_fail(x, SERVICE_FAILING, text);
}

static void start_done(struct service *x, enum outcome outcome, const char *text)
{
	if (outcome != OUTCOME_SUCCEEDED) {
		service_fail(x, SERVICE_FAILING, text);
		return;
	}
	x->confirm_until_ms = uv_now(x->owner->loop) + x->spec.timeout_ms;
	x->next_ms = 0;
	x->step = STEP_CONFIRM;
}

static void watch_on(struct service *x)
{
	const char *argv[SERVICE_ARGUMENTS];
	service_settle(x, SERVICE_RUNNING);
	if (service_arguments(&x->spec, SERVICE_CHECK, argv))
		x->next_ms = uv_now(x->owner->loop) + SERVICE_WATCH_MS;
}

/* The one switch of the machine: a step has ended. */
static void step_done(struct service *x, enum outcome outcome, const char *text)
{
	bool succeeded = outcome == OUTCOME_SUCCEEDED;
	bool up = x->owner->goal == SERVICES_RUNNING;
	enum step step = x->step;
	x->step = STEP_NONE;
	x->next_ms = 0;
	if (up != (step < STEP_STOP))
		return; /* the other thing is wanted by now */
	switch (step) {
	case STEP_NONE:
		break;
	case STEP_LOOK:
		if (succeeded)
			watch_on(x);
		else
			x->step = STEP_START;
		break;
	case STEP_START:
		start_done(x, outcome, text);
		break;
	case STEP_CONFIRM:
		x->step = STEP_CONFIRM;
		if (succeeded)
			watch_on(x);
		else
			confirm_failed(x, text);
		break;
	case STEP_WATCH:
		if (succeeded)
			watch_on(x);
		else
			state_set(x, SERVICE_FAILING, text);
		break;
	case STEP_STOP:
		if (succeeded) {
			service_settle(x, SERVICE_STOPPED);
		} else {
			x->step = STEP_GONE;
			state_set(x, SERVICE_STOPPING, text);
		}
		break;
	case STEP_GONE:
		/* Without a check nobody can tell: it is stopped again. */
		if (outcome == OUTCOME_FAILED)
			service_settle(x, SERVICE_STOPPED);
		else
			service_fail(x, SERVICE_STOPPING, x->status.text);
		break;
	}
}

/* What to do with a service that has no command under way. */
static void service_advance(struct service *x)
{
	bool up = x->owner->goal == SERVICES_RUNNING;
	while (!x->command && uv_now(x->owner->loop) >= x->next_ms) {
		enum step step = x->step;
		if (step == STEP_NONE && up && x->status.state == SERVICE_RUNNING) {
			step = STEP_WATCH;
		} else if (step == STEP_NONE && up) {
			step = STEP_LOOK;
			if (x->status.state != SERVICE_FAILING)
				state_set(x, SERVICE_STARTING, "");
		} else if (step == STEP_NONE) {
			step = STEP_STOP;
			if (x->status.state != SERVICE_STOPPING)
				state_set(x, SERVICE_STOPPING, "");
		}
		step_run(x, step);
	}
}

static void command_check_deadline(struct service *x)
{
	if (x->command && !x->command->late && uv_now(x->owner->loop) >= x->deadline_ms) {
		x->command->late = true;
		command_kill(x->command);
	}
}

/* Told from here only, never from within a function of the header. */
static void services_timer(uv_timer_t *timer)
{
	struct services *s = timer->data;
	bool tell = s->dirty;
	s->dirty = false;
	services_advance(s);
	if (tell && s->changed)
		s->changed(s->data);
}

static void timer_arm(struct services *s)
{
	uint64_t next_ms = UINT64_MAX, now_ms = uv_now(s->loop);
	for (unsigned i = 0; i < s->count; i++) {
		const struct service *x = &s->services[i];
		bool killed = x->command && x->command->late;
		uint64_t at = killed ? UINT64_MAX : x->command ? x->deadline_ms : x->next_ms;
		/* One whose turn has not come has 0. */
		if (at > now_ms && at < next_ms)
			next_ms = at;
	}
	if (s->dirty)
		next_ms = now_ms;
	if (next_ms == UINT64_MAX)
		uv_timer_stop(&s->timer);
	else
		uv_timer_start(&s->timer, services_timer, next_ms - now_ms, 0);
}

/* In order up, in reverse down; the next goes on as soon as one was tried. */
static void services_advance(struct services *s)
{
	for (unsigned i = 0; i < s->count; i++)
		command_check_deadline(&s->services[i]);
	bool turn = true;
	for (unsigned i = 0; i < s->count; i++) {
		bool up = s->goal == SERVICES_RUNNING;
		struct service *x = &s->services[up ? i : s->count - 1 - i];
		if (turn || x->tried)
			service_advance(x);
		turn = turn && x->tried;
	}
	timer_arm(s);
}

static char *copy(const char *text)
{
	if (!text)
		return NULL;
	size_t size = strlen(text) + 1;
	return memcpy(must_alloc(size), text, size);
}

static int spec_check(const struct service_spec *spec, struct err *err)
{
	const char *const commands[] = {spec->start, spec->stop, spec->check};
	if (!spec->name || !spec->name[0] || strlen(spec->name) >= SERVICE_NAME_MAX)
		return err_set(err, -EINVAL, "a service needs a name of at most %d bytes",
		    SERVICE_NAME_MAX - 1);
	if (!spec->start || !spec->start[0])
		return err_set(err, -EINVAL, "service %s: nothing to start", spec->name);
	for (int i = 0; i < 3; i++)
		if (commands[i] && strlen(commands[i]) >= SERVICE_COMMAND_MAX)
			return err_set(err, -EINVAL, "service %s: a command of at most %d bytes",
			    spec->name, SERVICE_COMMAND_MAX - 1);
	return 0;
}

int services_open(struct services **services, struct uv_loop_s *loop,
    const struct service_spec *specs, unsigned count, struct err *err)
{
	if (count > SERVICES_MAX)
		return err_set(err, -EINVAL, "%u services (at most %d)", count, SERVICES_MAX);
	for (unsigned i = 0; i < count; i++) {
		int status = spec_check(&specs[i], err);
		if (status)
			return status;
	}
	struct services *s = must_alloc(sizeof(*s));
	s->loop = loop;
	s->count = count;
	uv_timer_init(loop, &s->timer);
	s->timer.data = s;
	for (unsigned i = 0; i < count; i++) {
		struct service *x = &s->services[i];
		x->owner = s;
		x->spec.name = copy(specs[i].name);
		x->spec.start = copy(specs[i].start);
		x->spec.stop = copy(specs[i].stop);
		x->spec.check = copy(specs[i].check);
		x->spec.timeout_ms = specs[i].timeout_ms ? specs[i].timeout_ms : SERVICE_TIMEOUT_MS;
		x->next_ms = UINT64_MAX;
		x->status.since_ms = uv_now(loop);
		snprintf(x->status.name, sizeof(x->status.name), "%s", specs[i].name);
	}
	*services = s;
	return 0;
}

void services_on_change(struct services *s, void (*changed)(void *data), void *data)
{
	s->changed = changed;
	s->data = data;
}

void services_want(struct services *s, enum services_goal goal)
{
	if (s->wanted_once && s->goal == goal)
		return;
	s->wanted_once = true;
	s->goal = goal;
	for (unsigned i = 0; i < s->count; i++) {
		struct service *x = &s->services[i];
		x->tried = false;
		x->next_ms = 0;
		x->status.attempts = 0;
		if (goal == SERVICES_RUNNING)
			state_set(x, SERVICE_WANTED, "");
		else if (x->command && x->step < STEP_STOP)
			command_kill(x->command);
		if (!x->command)
			x->step = STEP_NONE;
	}
	services_advance(s);
}

void services_look(struct services *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct service *x = &s->services[i];
		if (x->status.state == SERVICE_RUNNING && !x->command)
			x->next_ms = 0;
	}
	services_advance(s);
}

bool services_settled(const struct services *s)
{
	bool up = s->goal == SERVICES_RUNNING;
	for (unsigned i = 0; i < s->count; i++)
		if (s->services[i].status.state != (up ? SERVICE_RUNNING : SERVICE_STOPPED) ||
		    !s->services[i].tried)
			return false;
	return s->wanted_once;
}

unsigned services_status(const struct services *s, struct service_status statuses[SERVICES_MAX])
{
	for (unsigned i = 0; i < s->count; i++)
		statuses[i] = s->services[i].status;
	return s->count;
}

static void services_closed(uv_handle_t *handle)
{
	struct services *s = handle->data;
	for (unsigned i = 0; i < s->count; i++) {
		free((char *)s->services[i].spec.name);
		free((char *)s->services[i].spec.start);
		free((char *)s->services[i].spec.stop);
		free((char *)s->services[i].spec.check);
	}
	free(s);
}

void services_close(struct services *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct command *c = s->services[i].command;
		if (!c)
			continue;
		command_kill(c);
		c->service = NULL; /* it is freed when the child is reaped */
	}
	uv_close((uv_handle_t *)&s->timer, services_closed);
}
