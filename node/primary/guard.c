#include "node/primary/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "fsm/buffer.h"
#include "node/primary/guard_wire.h"

#define WATCH_MS     250
#define SILENT_TICKS (GUARD_SILENT_MS / WATCH_MS)
#define SOCKET_FD    3 /* in the guard */
#define PAGE_FD	     4

struct child { /* one guard process; freed when both handles are closed */
	struct guard *guard; /* NULL once it was let go of */
	uv_process_t process;
	uv_poll_t poll;
	int fd;
	unsigned open_handles;
	bool reported;
};

struct guard {
	uv_loop_t *loop;
	struct guard_options options; /* executable and services are in the fields below */
	char *executable;
	unsigned request_count;
	struct guard_request *requests; /* setup and services, for each new guard */
	struct guard_page *page;
	int memfd;
	uv_timer_t watch, tell;
	unsigned open_handles;

	struct child *child; /* NULL: none */
	struct guard_request want;
	bool unsent; /* the guard does not know of want yet */
	bool given_up; /* none has worked since we took the addresses off ourselves */
	bool nudge; /* the next lease is the first one */
	unsigned silent_ticks;
	unsigned lapses, restarts;
	struct guard_report report;
};

static const char *const state_names[] = {
    [GUARD_ABSENT] = "absent",
    [GUARD_PROBING] = "probing",
    [GUARD_CONFLICT] = "conflict",
    [GUARD_HELD] = "held",
    [GUARD_FAILED] = "failed",
};

const char *guard_address_state_name(enum guard_address_state state)
{
	return state <= GUARD_FAILED ? state_names[state] : "?";
}

static void child_lost(struct guard *g);

/* Telling the user of the guard, from the loop. */

static void told(uv_timer_t *timer)
{
	struct guard *g = timer->data;
	if (g->options.changed)
		g->options.changed(g->options.data);
}

static void guard_changed(struct guard *g)
{
	uv_timer_start(&g->tell, told, 0, 0);
}

/* Messages. */

static bool request_send(struct child *c, const struct guard_request *request)
{
	return send(c->fd, request, sizeof(*request), MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       sizeof(*request);
}

/* A guard that does not read (frozen) gets it later: see guard_watch. */
static void want_send(struct guard *g)
{
	g->unsent = !g->child || !request_send(g->child, &g->want);
}

static bool same_address(const struct address *a, const struct address *b)
{
	return !strcmp(a->device, b->device) && !strcmp(a->cidr, b->cidr);
}

static const struct guard_address_status *report_find(
    const struct guard *g, const struct address *a)
{
	for (unsigned i = 0; i < g->report.count; i++)
		if (same_address(&g->report.addresses[i].address, a))
			return &g->report.addresses[i];
	return NULL;
}

/* Forget what is not wanted and, as the guard says, not on. */
static void want_prune(struct guard *g)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < g->want.count; i++) {
		const struct guard_wanted *w = &g->want.wanted[i];
		const struct guard_address_status *s = report_find(g, &w->address);
		if (w->wanted || !s || s->state != GUARD_ABSENT)
			g->want.wanted[kept++] = *w;
	}
	g->want.count = kept;
}

static void report_take(struct guard *g, const struct guard_report *report)
{
	/* Each guard counts from 0. */
	if (report->lapses > g->report.lapses)
		g->lapses += report->lapses - g->report.lapses;
	bool changed = memcmp(&g->report, report, sizeof(*report)) != 0;
	g->report = *report;
	g->child->reported = true;
	g->given_up = false;
	g->silent_ticks = 0;
	if (report->sequence == g->want.sequence)
		want_prune(g);
	if (changed)
		guard_changed(g);
}

static void child_readable(uv_poll_t *poll, int status, int events)
{
	struct child *c = poll->data;
	while (c->guard) {
		struct guard_report report;
		ssize_t size = recv(c->fd, &report, sizeof(report), MSG_DONTWAIT);
		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size <= 0)
			child_lost(c->guard);
		else if (size == sizeof(report) && report.count <= GUARD_ADDRESSES_MAX)
			report_take(c->guard, &report);
	}
}

/* The process. */

static void child_closed(uv_handle_t *handle)
{
	struct child *c = handle->data;
	if (--c->open_handles > 0)
		return;
	close(c->fd);
	free(c);
}

static void child_exited(uv_process_t *process, int64_t status, int signal)
{
	struct child *c = process->data;
	if (c->guard)
		child_lost(c->guard);
	uv_close((uv_handle_t *)process, child_closed);
}

/* It goes on by itself, without us: the handle of the process stays until it is
 * reaped. */
static void child_let_go(struct guard *g)
{
	struct child *c = g->child;
	g->child = NULL;
	c->guard = NULL;
	uv_close((uv_handle_t *)&c->poll, child_closed);
	/* Closing takes a loop turn; the guard should see the end now. */
	shutdown(c->fd, SHUT_RDWR);
}

static int child_spawn(struct guard *g, struct child *c, int peer)
{
	char socket_text[12], page_text[12];
	snprintf(socket_text, sizeof(socket_text), "%d", SOCKET_FD);
	snprintf(page_text, sizeof(page_text), "%d", PAGE_FD);
	char *argv[] = {g->executable, "guard", socket_text, page_text, NULL};
	uv_stdio_container_t stdio[] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE},
	    {.flags = UV_INHERIT_FD, .data.fd = 2}, {.flags = UV_INHERIT_FD, .data.fd = peer},
	    {.flags = UV_INHERIT_FD, .data.fd = g->memfd}};
	uv_process_options_t options = {
	    .file = g->executable,
	    .args = argv,
	    .flags = UV_PROCESS_DETACHED,
	    .stdio = stdio,
	    .stdio_count = 5,
	    .exit_cb = child_exited,
	};
	return uv_spawn(g->loop, &c->process, &options);
}

static int child_open(struct guard *g)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	struct child *c = must_alloc(sizeof(*c));
	c->fd = fds[0];
	c->open_handles = 2;
	int status = child_spawn(g, c, fds[1]);
	close(fds[1]);
	c->process.data = c;
	uv_poll_init(g->loop, &c->poll, c->fd);
	c->poll.data = c;
	if (status) {
		uv_close((uv_handle_t *)&c->process, child_closed);
		uv_close((uv_handle_t *)&c->poll, child_closed);
		return status;
	}
	c->guard = g;
	g->child = c;
	g->silent_ticks = 0;
	g->report = (struct guard_report){0};
	uv_poll_start(&c->poll, UV_READABLE, child_readable);
	for (unsigned i = 0; i < g->request_count; i++)
		request_send(c, &g->requests[i]);
	want_send(g);
	return 0;
}

/* The last resort, in the daemon itself: nobody is left to do it, and it is a
 * handful of system calls. What fails is left to the kernel's lifetime. */
static void give_up(struct guard *g)
{
	g->given_up = true;
	unsigned kept = 0;
	for (unsigned i = 0; i < g->want.count; i++) {
		const struct guard_wanted *w = &g->want.wanted[i];
		if (g->options.port->remove(&w->address, NULL) || w->wanted)
			g->want.wanted[kept++] = *w;
	}
	g->want.count = kept;
	g->report = (struct guard_report){0};
}

/* It died. Another takes its place at once; one that does not even begin to work is tried
 * again by guard_watch. */
static void child_lost(struct guard *g)
{
	bool worked = g->child->reported;
	child_let_go(g);
	g->restarts++;
	if (!worked || child_open(g))
		give_up(g);
	guard_changed(g);
}

/* Every WATCH_MS. Silence is counted in calls and not by the clock: were we frozen, it is not
 * the guard that was silent. */
static void guard_watch(uv_timer_t *timer)
{
	struct guard *g = timer->data;
	if (!g->child) {
		if (child_open(g) == 0)
			guard_changed(g);
		return;
	}
	if (g->unsent)
		want_send(g);
	bool armed = g->want.count > 0 || atomic_load(&g->page->lease_until_ns) != 0;
	if (!armed || ++g->silent_ticks <= SILENT_TICKS)
		return;
	uv_process_kill(&g->child->process, SIGKILL);
	child_lost(g);
}

/* Opening and closing. */

static int page_open(struct guard *g)
{
	g->memfd = memfd_create("guard", MFD_CLOEXEC);
	if (g->memfd < 0 || ftruncate(g->memfd, sizeof(*g->page)))
		return -errno;
	void *page = mmap(NULL, sizeof(*g->page), PROT_READ | PROT_WRITE, MAP_SHARED, g->memfd, 0);
	if (page == MAP_FAILED)
		return -errno;
	g->page = page;
	return 0;
}

/* A command in the form that service_arguments() takes, as one line. */
static const char *stop_line(const struct service_spec *spec)
{
	if (spec->stop && spec->stop[0])
		return spec->stop;
	const char *argv[SERVICE_ARGUMENTS];
	return service_arguments(spec, SERVICE_STOP, argv) ? spec->start : "";
}

static int requests_prepare(struct guard *g, const struct guard_options *options, struct err *err)
{
	if (options->service_count > SERVICES_MAX)
		return err_set(err, -EINVAL, "guard: %u services (at most %d)",
		    options->service_count, SERVICES_MAX);
	g->request_count = 1 + options->service_count;
	g->requests = must_alloc(g->request_count * sizeof(*g->requests));
	g->requests[0].kind = GUARD_REQUEST_SETUP;
	snprintf(g->requests[0].driver, sizeof(g->requests[0].driver), "%s", options->port->name);
	for (unsigned i = 0; i < options->service_count; i++) {
		const struct service_spec *spec = &options->services[i];
		struct guard_request *r = &g->requests[1 + i];
		const char *line = stop_line(spec);
		if (strlen(line) >= sizeof(r->stop))
			return err_set(
			    err, -EINVAL, "guard: the stop command of %s is too long", spec->name);
		r->kind = GUARD_REQUEST_SERVICE;
		r->timeout_ms = spec->timeout_ms ? spec->timeout_ms : SERVICE_TIMEOUT_MS;
		snprintf(r->stop, sizeof(r->stop), "%s", line);
	}
	return 0;
}

/* By default this very binary, even after another was put in its place: see guard_wire.h. */
static void executable_set(struct guard *g, const char *wanted)
{
	if (!wanted)
		wanted = "/proc/self/exe";
	g->executable = must_alloc(strlen(wanted) + 1);
	memcpy(g->executable, wanted, strlen(wanted));
}

static void guard_free(struct guard *g)
{
	if (g->page)
		munmap(g->page, sizeof(*g->page));
	if (g->memfd >= 0)
		close(g->memfd);
	free(g->requests);
	free(g->executable);
	free(g);
}

static void guard_closed(uv_handle_t *handle)
{
	struct guard *g = handle->data;
	if (--g->open_handles == 0)
		guard_free(g);
}

int guard_open(struct guard **guard, struct uv_loop_s *loop, const struct guard_options *options,
    struct err *err)
{
	struct guard *g = must_alloc(sizeof(*g));
	g->loop = loop;
	g->memfd = -1;
	g->nudge = true;
	g->options = *options;
	g->want.kind = GUARD_REQUEST_WANT;
	g->want.sequence = 1;
	int status = requests_prepare(g, options, err);
	if (status)
		goto failed;
	executable_set(g, options->executable);
	status = page_open(g);
	if (!status)
		status = child_open(g);
	if (status) {
		err_set(err, status, "guard: %s", strerror(-status));
		goto failed;
	}
	g->open_handles = 2;
	uv_timer_init(loop, &g->tell);
	uv_timer_init(loop, &g->watch);
	g->tell.data = g->watch.data = g;
	uv_timer_start(&g->watch, guard_watch, WATCH_MS, WATCH_MS);
	*guard = g;
	return 0;
failed:
	guard_free(g);
	return status;
}

void guard_lease(struct guard *g, uint64_t until_ms)
{
	atomic_store_explicit(&g->page->lease_until_ns, until_ms * 1000000, memory_order_release);
	/* Without a lease the guard sleeps: the first one must wake it. */
	if (until_ms && g->nudge)
		want_send(g);
	g->nudge = until_ms == 0;
}

static bool want_has(const struct guard_request *want, const struct address *a)
{
	for (unsigned i = 0; i < want->count; i++)
		if (same_address(&want->wanted[i].address, a))
			return true;
	return false;
}

static bool address_is_named(const struct address *a)
{
	return memchr(a->device, 0, sizeof(a->device)) && memchr(a->cidr, 0, sizeof(a->cidr)) &&
	       a->device[0] && a->cidr[0];
}

int guard_hold(struct guard *g, const struct address *addresses, unsigned count)
{
	struct guard_request want = {.kind = GUARD_REQUEST_WANT, .sequence = g->want.sequence};
	if (count > GUARD_ADDRESSES_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		if (!address_is_named(&addresses[i]))
			return -EINVAL;
		if (want_has(&want, &addresses[i]))
			continue;
		struct guard_wanted *w = &want.wanted[want.count++];
		w->wanted = 1;
		snprintf(w->address.device, sizeof(w->address.device), "%s", addresses[i].device);
		snprintf(w->address.cidr, sizeof(w->address.cidr), "%s", addresses[i].cidr);
	}
	/* What was wanted before is named until it is off. */
	for (unsigned i = 0; i < g->want.count; i++) {
		if (want_has(&want, &g->want.wanted[i].address))
			continue;
		if (want.count == GUARD_ADDRESSES_MAX)
			return -EINVAL;
		want.wanted[want.count] = g->want.wanted[i];
		want.wanted[want.count++].wanted = 0;
	}
	if (!memcmp(&want, &g->want, sizeof(want)))
		return 0;
	g->want = want;
	g->want.sequence++;
	want_send(g);
	return 0;
}

void guard_release(struct guard *g)
{
	guard_hold(g, NULL, 0);
}

static void address_status(
    const struct guard *g, const struct guard_wanted *w, struct guard_address_status *status)
{
	const struct guard_address_status *reported = report_find(g, &w->address);
	if (reported) {
		*status = *reported;
		return;
	}
	*status = (struct guard_address_status){.address = w->address};
	if (!g->given_up)
		return;
	status->state = GUARD_FAILED;
	snprintf(status->text, sizeof(status->text), "there is no guard");
}

void guard_status(const struct guard *g, struct guard_status *status)
{
	*status = (struct guard_status){
	    .alive = g->child && g->child->reported,
	    .pid = g->child ? g->child->process.pid : 0,
	    .stopping = g->report.stopping,
	    .lapses = g->lapses,
	    .restarts = g->restarts,
	    .count = g->want.count,
	};
	bool told_of_all = g->child && g->report.sequence == g->want.sequence;
	status->released = g->want.count == 0 && (told_of_all || g->given_up);
	for (unsigned i = 0; i < g->want.count; i++) {
		address_status(g, &g->want.wanted[i], &status->addresses[i]);
		status->held += status->addresses[i].state == GUARD_HELD;
	}
}

void guard_close(struct guard *g)
{
	if (g->child)
		child_let_go(g);
	uv_close((uv_handle_t *)&g->watch, guard_closed);
	uv_close((uv_handle_t *)&g->tell, guard_closed);
}
