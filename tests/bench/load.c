#include "tests/bench/load.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "fsm/buffer.h"

#define ENDPOINTS_MAX	8
#define EVENTS_MAX	64
#define WARM_NS		500000000ULL
#define PROBE_PERIOD_NS 5000000ULL
#define PROBE_SETTLE_NS 1000000000ULL
#define WATCH_PAUSE_NS	20000000ULL
#define WATCH_LIMIT_NS	30000000000ULL

struct options {
	const char *what;
	const char *endpoints[ENDPOINTS_MAX];
	unsigned endpoint_count;
	unsigned in_flight;
	unsigned seconds;
	unsigned connections;
	unsigned watchers;
	unsigned rounds;
	pid_t victim;
	int signal;
};

struct peer { /* a connection and what epoll knows of it */
	void *connection;
	int fd;
	uint32_t events;
};

struct samples { /* nanoseconds */
	uint64_t *values;
	size_t count, capacity;
};

/* A generator is one thread with one purpose: its state is the program's. */
static const struct load_system *sys;
static struct options options;
static int epoll;
static struct peer *peers, *current;
static unsigned peer_count;
static struct samples samples;
static uint64_t counted_from_ns, errors;
static uint64_t killed_ns, recovered_ns, ok_ns;
static unsigned armed, changed;
static int (*request)(void *connection, unsigned key, uint64_t tag); /* of the closed loop */

const uint8_t load_value[LOAD_VALUE_SIZE] = "a value of 256 bytes, mostly zero";

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void samples_add(struct samples *s, uint64_t value)
{
	if (s->count == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 65536;
		s->values = must_realloc(s->values, s->capacity * sizeof(*s->values));
	}
	s->values[s->count++] = value;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static double samples_us(struct samples *s, unsigned per_mille)
{
	if (s->count == 0)
		return 0;
	qsort(s->values, s->count, sizeof(*s->values), compare);
	return (double)s->values[(s->count - 1) * per_mille / 1000] / 1000;
}

static void peer_arm(struct peer *p)
{
	int fd;
	uint32_t events;
	sys->interest(p->connection, &fd, &events);
	if (fd == p->fd && events == p->events)
		return;
	struct epoll_event event = {.events = events, .data.ptr = p};
	if (fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0)
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	p->fd = fd;
	p->events = events;
}

static int peer_turn(struct peer *p)
{
	current = p;
	int rv = sys->turn(p->connection);
	if (rv == 0)
		peer_arm(p);
	return rv;
}

static int peer_open(struct peer *p, const char *endpoint)
{
	*p = (struct peer){.connection = sys->open(endpoint), .fd = -1};
	if (!p->connection)
		return -ECONNREFUSED;
	peer_arm(p);
	return 0;
}

static void peer_lose(struct peer *p)
{
	sys->close(p->connection);
	*p = (struct peer){.fd = -1};
}

/* Serve whoever has something, for at most that long. Lost connections are closed. */
static int wait_until(uint64_t deadline_ns)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t now = now_ns();
	uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
	int rv = 0, count = epoll_wait(epoll, events, EVENTS_MAX, (int)(left_ns / 1000000));
	for (int i = 0; i < count; i++) {
		struct peer *p = events[i].data.ptr;
		if (p->connection && peer_turn(p) != 0) {
			peer_lose(p);
			rv = -EPIPE;
		}
	}
	return rv;
}

static void open_all(unsigned count, unsigned endpoint_count)
{
	peers = must_alloc(count * sizeof(*peers));
	peer_count = count;
	for (unsigned i = 0; i < count; i++) {
		if (peer_open(&peers[i], options.endpoints[i % endpoint_count]) == 0)
			continue;
		fprintf(stderr, "cannot connect to %s\n", options.endpoints[i % endpoint_count]);
		exit(1);
	}
	if (sys->prepare && sys->prepare(peers[0].connection) != 0) {
		fprintf(stderr, "cannot make the keys\n");
		exit(1);
	}
}

static int ask(struct peer *p)
{
	return request(p->connection, (unsigned)random() % LOAD_KEYS, now_ns());
}

void load_answered(uint64_t tag, bool ok)
{
	uint64_t now = now_ns();
	if (ok)
		ok_ns = now;
	if (ok && killed_ns && tag > killed_ns && !recovered_ns)
		recovered_ns = now;
	if (counted_from_ns && tag >= counted_from_ns) {
		if (ok)
			samples_add(&samples, now - tag);
		else
			errors++;
	}
	if (options.in_flight && ask(current) != 0)
		errors++;
}

void load_armed(void)
{
	armed++;
}

void load_changed(void)
{
	changed++;
}

static int closed_loop(void)
{
	unsigned count =
	    options.connections < options.in_flight ? options.connections : options.in_flight;
	open_all(count, 1);
	counted_from_ns = now_ns() + WARM_NS;
	uint64_t end_ns = counted_from_ns + options.seconds * 1000000000ULL;
	for (unsigned i = 0; i < options.in_flight; i++)
		ask(&peers[i % count]);
	for (unsigned i = 0; i < count; i++)
		peer_turn(&peers[i]);
	while (now_ns() < end_ns) {
		if (wait_until(end_ns) != 0) {
			fprintf(stderr, "connection lost\n");
			return 1;
		}
	}
	double per_second = (double)samples.count / (double)(now_ns() - counted_from_ns) * 1e9;
	printf("{\"op\": \"%s\", \"in_flight\": %u, \"seconds\": %u, \"operations\": %zu, "
	       "\"errors\": %llu, \"per_second\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
	       "\"max_us\": %.1f}\n",
	    options.what, options.in_flight, options.seconds, samples.count,
	    (unsigned long long)errors, per_second, samples_us(&samples, 500),
	    samples_us(&samples, 990), samples_us(&samples, 1000));
	return samples.count && errors == 0 ? 0 : 1;
}

static int wait_count(const unsigned *counter, unsigned wanted)
{
	uint64_t deadline_ns = now_ns() + WATCH_LIMIT_NS;
	while (*counter < wanted && now_ns() < deadline_ns)
		wait_until(deadline_ns);
	if (*counter >= wanted)
		return 0;
	fprintf(stderr, "%u of %u watchers in 30 s\n", *counter, wanted);
	return -ETIMEDOUT;
}

static void watch_all(void)
{
	armed = 0;
	for (unsigned i = 0; i < options.watchers; i++) {
		sys->watch(peers[i].connection);
		peer_turn(&peers[i]);
	}
}

/* One change to key 0, and how long until the last of the watchers has seen it. */
static int watch_round(struct peer *writer)
{
	if (sys->watch_fires_once)
		watch_all();
	if (wait_count(&armed, options.watchers) != 0)
		return -ETIMEDOUT;
	uint64_t pause_ns = now_ns() + WATCH_PAUSE_NS;
	while (now_ns() < pause_ns)
		wait_until(pause_ns);
	changed = 0;
	uint64_t asked_ns = now_ns();
	sys->put(writer->connection, 0, asked_ns);
	peer_turn(writer);
	if (wait_count(&changed, options.watchers) != 0)
		return -ETIMEDOUT;
	samples_add(&samples, now_ns() - asked_ns);
	return 0;
}

static int watch_rounds(void)
{
	/* The writer is the last, so that the first watcher is on the leader. */
	open_all(options.watchers + 1, options.endpoint_count);
	struct peer *writer = &peers[options.watchers];
	watch_all();
	watch_round(writer);
	samples.count = 0;
	for (unsigned i = 0; i < options.rounds; i++) {
		if (watch_round(writer) != 0)
			return 1;
	}
	printf("{\"op\": \"watch\", \"watchers\": %u, \"rounds\": %u, \"last_p50_us\": %.1f, "
	       "\"last_max_us\": %.1f}\n",
	    options.watchers, options.rounds, samples_us(&samples, 500),
	    samples_us(&samples, 1000));
	return 0;
}

static void probe_all(void)
{
	for (unsigned i = 0; i < peer_count; i++) {
		struct peer *p = &peers[i];
		if (!p->connection && peer_open(p, options.endpoints[i]) != 0)
			continue;
		sys->put(p->connection, 1, now_ns());
		p->fd = -1; /* it may have connected anew under the same number */
		if (peer_turn(p) != 0)
			peer_lose(p);
	}
}

/* Lose the primary once service has been good for a while, at any moment of its heartbeat. */
static void probe_strike(uint64_t *good_since_ns, uint64_t extra_ns)
{
	uint64_t now = now_ns();
	if (now - ok_ns > 10 * PROBE_PERIOD_NS)
		*good_since_ns = 0;
	else if (!*good_since_ns)
		*good_since_ns = now;
	else if (now - *good_since_ns > PROBE_SETTLE_NS + extra_ns) {
		kill(options.victim, options.signal);
		killed_ns = now_ns();
	}
}

static int probe(void)
{
	uint64_t deadline_ns = now_ns() + options.seconds * 1000000000ULL;
	uint64_t extra_ns = (uint64_t)(random() % 300) * 1000000, good_since_ns = 0;
	peer_count = options.endpoint_count;
	peers = must_alloc(peer_count * sizeof(*peers));
	memset(peers, 0, peer_count * sizeof(*peers)); /* probe_all connects */
	uint64_t next_ns = now_ns();
	while (!recovered_ns && now_ns() < deadline_ns) {
		if (now_ns() >= next_ns) {
			probe_all();
			next_ns += PROBE_PERIOD_NS;
		}
		if (!killed_ns)
			probe_strike(&good_since_ns, extra_ns);
		wait_until(next_ns);
	}
	if (!recovered_ns) {
		fprintf(stderr, killed_ns ? "no answer in %u s\n" : "never good in %u s\n",
		    options.seconds);
		return 1;
	}
	printf("{\"op\": \"probe\", \"signal\": %d, \"outage_ms\": %.1f}\n", options.signal,
	    (double)(recovered_ns - killed_ns) / 1e6);
	return 0;
}

static void usage(const char *program)
{
	fprintf(stderr,
	    "usage: %s put|read|lease --endpoints A,B,C [--in-flight N] [--seconds S] "
	    "[--connections N]\n"
	    "       %s watch --endpoints A,B,C [--watchers N] [--rounds N]\n"
	    "       %s probe --endpoints A,B,C --kill PID [--signal KILL|STOP] [--seconds S]\n",
	    program, program, program);
	exit(2);
}

static void options_endpoints(char *list)
{
	char *rest = list, *endpoint;
	while ((endpoint = strsep(&rest, ",")) && options.endpoint_count < ENDPOINTS_MAX)
		options.endpoints[options.endpoint_count++] = endpoint;
}

static void options_read(int argc, char **argv)
{
	static const struct option known[] = {{"in-flight", 1, 0, 'i'}, {"seconds", 1, 0, 's'},
	    {"endpoints", 1, 0, 'e'}, {"connections", 1, 0, 'c'}, {"watchers", 1, 0, 'w'},
	    {"rounds", 1, 0, 'r'}, {"kill", 1, 0, 'k'}, {"signal", 1, 0, 'g'}, {0, 0, 0, 0}};
	options = (struct options){.in_flight = 1,
	    .seconds = 5,
	    .connections = 16,
	    .watchers = 1000,
	    .rounds = 20,
	    .signal = SIGKILL};
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;
		switch (c) {
		case 'i':
			options.in_flight = (unsigned)number;
			break;
		case 's':
			options.seconds = (unsigned)number;
			break;
		case 'e':
			options_endpoints(optarg);
			break;
		case 'c':
			options.connections = (unsigned)number;
			break;
		case 'w':
			options.watchers = (unsigned)number;
			break;
		case 'r':
			options.rounds = (unsigned)number;
			break;
		case 'k':
			options.victim = (pid_t)number;
			break;
		case 'g':
			options.signal = strcmp(optarg, "STOP") == 0 ? SIGSTOP : SIGKILL;
			break;
		default:
			usage(argv[0]);
		}
	}
	if (optind + 1 != argc || !options.endpoint_count || !options.in_flight ||
	    !options.connections)
		usage(argv[0]);
	options.what = argv[optind];
}

int load_main(int argc, char **argv, const struct load_system *system)
{
	options_read(argc, argv);
	sys = system;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	srandom((unsigned)now_ns());
	signal(SIGPIPE, SIG_IGN);
	request = strcmp(options.what, "put") == 0     ? sys->put
		  : strcmp(options.what, "read") == 0  ? sys->read
		  : strcmp(options.what, "lease") == 0 ? sys->lease
						       : NULL;
	if (request)
		return closed_loop();
	options.in_flight = 0;
	if (strcmp(options.what, "watch") == 0 && sys->watch)
		return watch_rounds();
	if (strcmp(options.what, "probe") == 0 && options.victim)
		return probe();
	usage(argv[0]);
	return 2;
}
