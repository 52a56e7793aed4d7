#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/primary/guard.h"
#include "node/primary/guard_wire.h"
#include "raft/clock.h"

#define MS(n)	   ((uint64_t)(n)*1000000)
#define LISTEN_NS  MS(5) /* between two looks for answers to a probe */
#define ASK_NS	   MS(50) /* from the first probe to the second */
#define STALE_NS   MS(1000) /* a probe that took longer was interrupted and says nothing */
#define OFF_NS	   MS(50) /* between two tries of taking off */
#define LEASE_NS   MS(20) /* between two looks for a new lease after the old one ran out */
#define CLAIM_NS   MS(10000) /* how long a claim of somebody else is shown */
#define ORPHAN_NS  MS(5000) /* the kernel has taken off by then what we could not */
#define REAPING_MS 20 /* between two looks at a child, where the kernel tells nothing */
#define NEVER	   UINT64_MAX

extern char **environ;

static const uint64_t announce_ns[] = {0, MS(200), MS(1000), MS(3000)};
#define ANNOUNCEMENTS (sizeof(announce_ns) / sizeof(announce_ns[0]))

struct held { /* one address */
	struct guard_address_status status;
	bool wanted;
	bool may_be_on;
	uint64_t next_ns; /* when to go on */
	uint64_t asked_ns; /* when the probe under way began; 0: none is */
	unsigned asked;
	uint64_t on_ns; /* when it was put on */
	unsigned announced;
	uint64_t claimed_ns; /* when somebody else last claimed it; 0: never */
};

struct stop { /* the stop command of one service */
	char command[SERVICE_COMMAND_MAX];
	unsigned timeout_ms;
};

struct guard_process {
	int fd, log;
	int timer; /* by the clock of the lease; below 0: there is none */
	const struct guard_page *page;
	const struct address_port *port; /* NULL before the setup */
	bool orphan; /* the daemon is gone */
	uint64_t orphan_ns;
	bool leased; /* there was a lease whose end is still to be dealt with */
	unsigned lapses;
	uint32_t sequence;

	bool dirty; /* there is something to report */
	uint64_t reported_ns;

	unsigned count;
	struct held held[GUARD_ADDRESSES_MAX];

	unsigned stop_count;
	struct stop stops[SERVICES_MAX];
	unsigned stop_left; /* the one before this is next, or under way with a pid */
	pid_t stop_pid;
	int stop_pidfd;
	uint64_t stop_deadline_ns;
};

static uint64_t clock_ns(void)
{
	return clock_us() * 1000;
}

static uint64_t lease_until(const struct guard_process *g)
{
	return atomic_load_explicit(&g->page->lease_until_ns, memory_order_acquire);
}

static bool lease_holds(const struct guard_process *g)
{
	return !g->orphan && lease_until(g) > clock_ns();
}

/* To syslog, without waiting: our daemon may be dead or frozen. */
__attribute__((format(printf, 2, 3))) static void note(
    const struct guard_process *g, const char *format, ...)
{
	char line[256];
	int head = snprintf(line, sizeof(line), "<28>pvc-guard[%d]: ", (int)getpid());
	va_list args;
	va_start(args, format);
	vsnprintf(line + head, sizeof(line) - (size_t)head, format, args);
	va_end(args);
	const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	if (sendto(g->log, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL,
		(const struct sockaddr *)&to, sizeof(to)) < 0)
		errno = 0; /* nobody listens */
}

/* Addresses. */

static void held_say(
    struct guard_process *g, struct held *h, enum guard_address_state state, const char *text)
{
	if (h->status.state == state && !strcmp(h->status.text, text))
		return;
	h->status.state = state;
	snprintf(h->status.text, sizeof(h->status.text), "%.*s", GUARD_TEXT_MAX - 1, text);
	g->dirty = true;
}

static void held_fail(struct guard_process *g, struct held *h, const struct err *err)
{
	h->asked_ns = 0;
	h->next_ns = clock_ns() + MS(GUARD_RETRY_MS);
	held_say(g, h, GUARD_FAILED, err->text);
}

static void held_take_off(struct guard_process *g, struct held *h)
{
	struct err err = {0};
	h->asked_ns = 0;
	if (h->may_be_on && g->port->remove(&h->status.address, &err)) {
		h->next_ns = clock_ns() + OFF_NS;
		held_say(g, h, GUARD_HELD, err.text);
		return;
	}
	h->may_be_on = false;
	h->next_ns = 0;
	held_say(g, h, GUARD_ABSENT, "");
}

static void held_put_on(struct guard_process *g, struct held *h)
{
	struct err err = {0};
	if (!lease_holds(g))
		return;
	h->may_be_on = true;
	if (g->port->add(&h->status.address, GUARD_LIFETIME_S, &err)) {
		held_fail(g, h, &err);
		return;
	}
	/* We may have been frozen just before the call. */
	if (!lease_holds(g)) {
		held_take_off(g, h);
		return;
	}
	h->asked_ns = 0;
	h->announced = 0;
	h->claimed_ns = 0;
	h->on_ns = clock_ns();
	h->next_ns = h->on_ns + MS(GUARD_RENEW_MS);
	held_say(g, h, GUARD_HELD, "");
}

static void probe_begin(struct guard_process *g, struct held *h)
{
	struct err err = {0};
	int present = g->port->present(&h->status.address, &err);
	if (present > 0) { /* the guard before us held it */
		held_put_on(g, h);
		return;
	}
	char stale[18];
	if (present == 0) {
		h->may_be_on = false;
		present = g->port->answered(&h->status.address, stale, &err);
	}
	if (present < 0 || g->port->ask(&h->status.address, &err)) {
		held_fail(g, h, &err);
		return;
	}
	h->asked_ns = clock_ns();
	h->asked = 1;
	h->next_ns = h->asked_ns + LISTEN_NS;
	if (h->status.state != GUARD_CONFLICT)
		held_say(g, h, GUARD_PROBING, "");
}

static void probe_conflict(struct guard_process *g, struct held *h)
{
	char text[GUARD_TEXT_MAX];
	int size = (int)strcspn(h->status.address.cidr, "/");
	snprintf(text, sizeof(text), "%.*s is still answered by %s", size, h->status.address.cidr,
	    h->status.holder);
	h->asked_ns = 0;
	h->next_ns = clock_ns() + MS(GUARD_CONFLICT_MS);
	held_say(g, h, GUARD_CONFLICT, text);
}

static void probe_step(struct guard_process *g, struct held *h)
{
	struct err err = {0};
	uint64_t now = clock_ns();
	if (!h->asked_ns || now - h->asked_ns > STALE_NS) {
		probe_begin(g, h);
		return;
	}
	int answered = g->port->answered(&h->status.address, h->status.holder, &err);
	if (answered < 0) {
		held_fail(g, h, &err);
	} else if (answered > 0) {
		probe_conflict(g, h);
	} else if (now - h->asked_ns >= MS(GUARD_PROBE_MS)) {
		held_put_on(g, h);
	} else if (h->asked == 1 && now - h->asked_ns >= ASK_NS) {
		h->asked = 2;
		h->next_ns = now + LISTEN_NS;
		if (g->port->ask(&h->status.address, &err))
			held_fail(g, h, &err);
	} else {
		h->next_ns = now + LISTEN_NS;
	}
}

/* While we hold it somebody else may claim it: shown, for people to find. */
static void held_watch(struct guard_process *g, struct held *h)
{
	char text[GUARD_TEXT_MAX] = "";
	if (g->port->answered(&h->status.address, h->status.holder, NULL) > 0)
		h->claimed_ns = clock_ns();
	if (h->claimed_ns && clock_ns() - h->claimed_ns < CLAIM_NS)
		snprintf(text, sizeof(text), "%s is also claimed by %s", h->status.address.cidr,
		    h->status.holder);
	held_say(g, h, GUARD_HELD, text);
}

static void held_renew(struct guard_process *g, struct held *h)
{
	struct err err = {0};
	int present = g->port->present(&h->status.address, &err);
	if (present == 0) {
		/* Somebody took it off, or the kernel did because we were frozen: others may
		 * have it by now. */
		held_say(g, h, GUARD_ABSENT, "");
		h->next_ns = 0;
		return;
	}
	if (present > 0 && lease_holds(g))
		present = g->port->add(&h->status.address, GUARD_LIFETIME_S, &err);
	if (!lease_holds(g)) {
		held_take_off(g, h);
	} else if (present < 0) {
		held_fail(g, h, &err);
	} else {
		h->next_ns = clock_ns() + MS(GUARD_RENEW_MS);
		held_watch(g, h);
	}
}

static void held_announce(struct guard_process *g, struct held *h)
{
	while (h->announced < ANNOUNCEMENTS && clock_ns() >= h->on_ns + announce_ns[h->announced]) {
		h->announced++;
		if (g->port->announce(&h->status.address, NULL))
			break; /* the next one may come through */
	}
}

static void held_step(struct guard_process *g, struct held *h)
{
	bool due = clock_ns() >= h->next_ns;
	if (!h->wanted || !lease_holds(g)) {
		if (h->status.state != GUARD_ABSENT || (h->may_be_on && due))
			held_take_off(g, h);
		return;
	}
	switch (h->status.state) {
	case GUARD_ABSENT:
	case GUARD_FAILED:
		if (due)
			probe_begin(g, h);
		break;
	case GUARD_PROBING:
	case GUARD_CONFLICT:
		if (due)
			probe_step(g, h);
		break;
	case GUARD_HELD:
		if (due)
			held_renew(g, h);
		break;
	}
	if (h->status.state == GUARD_HELD)
		held_announce(g, h);
}

static void held_all_off(struct guard_process *g)
{
	for (unsigned i = 0; i < g->count; i++)
		if (g->held[i].may_be_on)
			held_take_off(g, &g->held[i]);
}

static unsigned held_on(const struct guard_process *g)
{
	unsigned on = 0;
	for (unsigned i = 0; i < g->count; i++)
		on += g->held[i].may_be_on;
	return on;
}

/* The services' stop commands, one after another, last first. */

static int command_spawn(const char *command, pid_t *pid)
{
	const char *argv[SERVICE_ARGUMENTS];
	const struct service_spec spec = {.start = command, .stop = command};
	if (!service_arguments(&spec, SERVICE_STOP, argv))
		return -EINVAL;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&how);
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	posix_spawnattr_setflags(
	    &how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&how, &all);
	posix_spawnattr_setsigmask(&how, &none);
	int status = posix_spawnp(pid, argv[0], &files, &how, (char **)argv, environ);
	posix_spawnattr_destroy(&how);
	posix_spawn_file_actions_destroy(&files);
	return -status;
}

static void oom_score_set(const char *path, const char *score)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, score, strlen(score)) < 0)
		errno = 0; /* not privileged */
	close(fd);
}

static void stop_next(struct guard_process *g)
{
	const struct stop *stop = &g->stops[g->stop_left - 1];
	g->stop_deadline_ns = clock_ns() + MS(stop->timeout_ms);
	if (command_spawn(stop->command, &g->stop_pid)) {
		g->stop_pid = 0;
		g->stop_left--;
		return;
	}
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)g->stop_pid);
	oom_score_set(path, "0");
	g->stop_pidfd = (int)syscall(SYS_pidfd_open, g->stop_pid, 0);
}

static void stop_step(struct guard_process *g)
{
	if (g->stop_pid) {
		if (clock_ns() >= g->stop_deadline_ns) {
			kill(-g->stop_pid, SIGKILL);
			g->stop_deadline_ns = NEVER;
		}
		if (waitpid(g->stop_pid, NULL, WNOHANG) == 0)
			return;
		if (g->stop_pidfd >= 0)
			close(g->stop_pidfd);
		g->stop_pid = 0;
		g->stop_left--;
	}
	while (g->stop_left && !g->stop_pid)
		stop_next(g);
	g->dirty = true;
}

/* The lease. */

/* Its end, or the daemon's: once for each lease. */
static void lease_check(struct guard_process *g)
{
	if (lease_until(g) > clock_ns())
		g->leased = true;
	if (!g->leased || lease_holds(g))
		return;
	g->leased = false;
	if (lease_until(g) == 0)
		return; /* given back */
	unsigned on = held_on(g);
	held_all_off(g);
	g->lapses++;
	g->dirty = true;
	if (!g->stop_left)
		g->stop_left = g->stop_count;
	note(g, "%s: %u floating addresses off, stopping %u services",
	    g->orphan ? "the daemon is gone" : "the lease is over", on, g->stop_count);
}

/* Messages. */

static void service_take(struct guard_process *g, const struct guard_request *request)
{
	if (g->stop_count == SERVICES_MAX || !request->stop[0])
		return;
	struct stop *stop = &g->stops[g->stop_count++];
	memcpy(stop->command, request->stop, sizeof(stop->command));
	stop->timeout_ms = request->timeout_ms;
}

static struct held *held_find(struct guard_process *g, const struct address *a)
{
	for (unsigned i = 0; i < g->count; i++)
		if (!strcmp(g->held[i].status.address.device, a->device) &&
		    !strcmp(g->held[i].status.address.cidr, a->cidr))
			return &g->held[i];
	return NULL;
}

static void want_take(struct guard_process *g, const struct guard_request *request)
{
	/* What is not on, and was not wanted, is forgotten. */
	unsigned kept = 0;
	for (unsigned i = 0; i < g->count; i++)
		if (g->held[i].wanted || g->held[i].may_be_on)
			g->held[kept++] = g->held[i];
	g->count = kept;
	for (unsigned i = 0; i < g->count; i++)
		g->held[i].wanted = false;
	for (unsigned i = 0; i < request->count && i < GUARD_ADDRESSES_MAX; i++) {
		const struct guard_wanted *w = &request->wanted[i];
		struct held *h = held_find(g, &w->address);
		if (!h && g->count < GUARD_ADDRESSES_MAX) {
			h = &g->held[g->count++];
			/* A guard before us may have put it on. */
			*h = (struct held){.status.address = w->address, .may_be_on = true};
		}
		if (h)
			h->wanted = w->wanted;
	}
	g->sequence = request->sequence;
	g->dirty = true;
}

static void request_take(struct guard_process *g, const struct guard_request *request)
{
	static const struct address_port *const ports[] = {&address_netlink, &address_sim};
	switch (request->kind) {
	case GUARD_REQUEST_SETUP:
		for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
			if (!strcmp(ports[i]->name, request->driver))
				g->port = ports[i];
		break;
	case GUARD_REQUEST_SERVICE:
		service_take(g, request);
		break;
	case GUARD_REQUEST_WANT:
		if (g->port)
			want_take(g, request);
		break;
	}
}

static void requests_receive(struct guard_process *g)
{
	while (!g->orphan) {
		struct guard_request request;
		ssize_t size = recv(g->fd, &request, sizeof(request), MSG_DONTWAIT);
		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size <= 0) {
			g->orphan = true;
			g->orphan_ns = clock_ns();
		} else if (size == sizeof(request)) {
			request_take(g, &request);
		}
	}
}

/* Is there anything the daemon should hear of twice a second? */
static bool guard_is_armed(const struct guard_process *g)
{
	return g->count > 0 || lease_until(g) != 0 || g->stop_left;
}

static void report_send(struct guard_process *g)
{
	bool due = guard_is_armed(g) && clock_ns() >= g->reported_ns + MS(GUARD_RENEW_MS);
	if (g->orphan || !(g->dirty || due))
		return;
	struct guard_report report = {
	    .sequence = g->sequence,
	    .lapses = g->lapses,
	    .stopping = g->stop_left > 0,
	    .count = g->count,
	};
	for (unsigned i = 0; i < g->count; i++)
		report.addresses[i] = g->held[i].status;
	/* A daemon that is frozen does not read: then there is the next one. */
	ssize_t sent = send(g->fd, &report, sizeof(report), MSG_DONTWAIT | MSG_NOSIGNAL);
	g->dirty = sent < 0;
	g->reported_ns = clock_ns();
}

/* The loop. */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t held_next(const struct guard_process *g, const struct held *h)
{
	if (!h->wanted || !lease_holds(g))
		return h->may_be_on ? h->next_ns : NEVER;
	uint64_t next = h->next_ns;
	if (h->status.state == GUARD_HELD && h->announced < ANNOUNCEMENTS)
		next = earlier(next, h->on_ns + announce_ns[h->announced]);
	return next;
}

static uint64_t guard_next(const struct guard_process *g)
{
	uint64_t next = NEVER, until = lease_until(g);
	for (unsigned i = 0; i < g->count; i++)
		next = earlier(next, held_next(g, &g->held[i]));
	if (until)
		next = earlier(next, lease_holds(g) ? until : clock_ns() + LEASE_NS);
	if (guard_is_armed(g) || g->dirty)
		next = earlier(next, g->reported_ns + MS(GUARD_RENEW_MS));
	if (g->stop_pid)
		next = earlier(next, g->stop_deadline_ns);
	if (g->stop_pid && g->stop_pidfd < 0)
		next = earlier(next, clock_ns() + MS(REAPING_MS));
	if (g->orphan)
		next = earlier(next, clock_ns() + OFF_NS);
	return next;
}

/* A machine that was asleep wakes us by it at once; ppoll() would have gone on waiting. */
static void timer_set(const struct guard_process *g, uint64_t next)
{
	struct itimerspec when = {
	    .it_value = {(time_t)(next / 1000000000), (long)(next % 1000000000)}};
	if (next == NEVER)
		when.it_value = (struct timespec){0};
	timerfd_settime(g->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void guard_wait(const struct guard_process *g)
{
	uint64_t next = guard_next(g), now = clock_ns();
	uint64_t wait = next > now ? next - now : 0;
	struct timespec timeout = {
	    .tv_sec = (time_t)(wait / 1000000000), .tv_nsec = (long)(wait % 1000000000)};
	struct pollfd fds[3] = {
	    {.fd = g->orphan ? -1 : g->fd, .events = POLLIN},
	    {.fd = g->stop_pid ? g->stop_pidfd : -1, .events = POLLIN},
	    {.fd = g->timer, .events = POLLIN},
	};
	timer_set(g, next);
	ppoll(fds, 3, next == NEVER ? NULL : &timeout, NULL);
}

static bool guard_is_done(const struct guard_process *g)
{
	if (!g->orphan || g->stop_left)
		return false;
	return held_on(g) == 0 || clock_ns() >= g->orphan_ns + ORPHAN_NS;
}

static void guard_harden(int fd, int memfd)
{
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2};
	for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_NAME, "pvc-guard");
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(memfd, F_SETFD, FD_CLOEXEC);
	close_range((unsigned)(fd > memfd ? fd : memfd) + 1, ~0u, 0);
	/* What follows needs privileges, and is worth having without the rest. Pages are locked as
	 * they are touched: all of a linked-in binary would be 10 MB, and all that is needed at
	 * the end of a lease has run before an address was put on. */
	oom_score_set("/proc/self/oom_score_adj", "-1000");
	mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	struct sched_param priority = {.sched_priority = 1};
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority);
}

int guard_main(int fd, int memfd)
{
	static struct guard_process process; /* not on a stack that would have to grow */
	struct guard_process *g = &process;
	guard_harden(fd, memfd);
	g->page = mmap(NULL, sizeof(*g->page), PROT_READ, MAP_SHARED, memfd, 0);
	if (g->page == MAP_FAILED)
		return 1;
	g->fd = fd;
	g->log = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	g->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
	g->dirty = true;
	g->leased = lease_until(g) != 0; /* under a guard before us */
	while (!guard_is_done(g)) {
		/* The lease comes first: we may have been frozen while we waited. */
		lease_check(g);
		for (unsigned i = 0; i < g->count; i++)
			held_step(g, &g->held[i]);
		if (g->stop_left)
			stop_step(g);
		report_send(g);
		guard_wait(g);
		requests_receive(g);
	}
	return 0;
}
