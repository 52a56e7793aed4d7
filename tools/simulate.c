/* pvc simulate: try a failure before it happens.
 *
 *   pvc simulate FILE [--seed N] [-f json]      play a scenario, print what happens
 *   pvc simulate --seeds N [--from S]           play N random seeds, on all processors
 *   pvc simulate --seed N                       play one random seed again, with its trace
 *
 * With --vms N [--steps M] the seeds are about VMs (chaos.h). */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/applet.h"
#include "tools/sim/chaos.h"
#include "tools/sim/scenario.h"

#define WORKERS_MAX 64
#define STEPS	    500
#define STEPS_MAX   1000000
#define VMS_MAX	    2000

struct simulate_options {
	const char *file;
	uint64_t seeds, from, seed;
	bool one_seed, json;
	uint64_t vms, steps;
};

static int usage(FILE *out, int code)
{
	fputs(
	    "usage: pvc simulate FILE [--seed N] [-f json]\n"
	    "       pvc simulate --seeds N [--from FIRST]\n"
	    "       pvc simulate --seed N\n"
	    "       pvc simulate --vms N [--steps M] --seeds N|--seed N\n"
	    "Plays a whole cluster in one process: the daemon's own consensus, value and\n"
	    "decisions over a simulated network, disks, hypervisors and power.\n"
	    "\n"
	    "FILE is a scenario, one step a line:\n"
	    "  nodes 5 coordinators 3                  first; 3 and 3 when left out\n"
	    "  nodes 3 coordinators 2 witness 3        and node 3 votes and runs nothing\n"
	    "  vm NAME node=1 memory=512 state=start   or state=stop; method=live,\n"
	    "                                          shutdown, none; priority=2, autostart\n"
	    "  at 10s power 3 off                      on; without 'at': right away\n"
	    "  daemon 2 off                            kill -9; on: started again\n"
	    "  pause 2 5s                              the daemon is stopped\n"
	    "  network 3 off                           cut from everybody; on: mended\n"
	    "  oneway 1 3 off                          3 no longer hears 1\n"
	    "  disk 1 full                             fail, slow=200ms, ok\n"
	    "  spoil 2                                 its value is not the others' any more\n"
	    "  hang 2 hypervisor 10s                   pool, nic; without a time: for good\n"
	    "  libvirt 2 off                           libvirt's daemon is killed; on: it is back\n"
	    "  crash NAME 2                            QEMU of that VM on node 2 is killed\n"
	    "  copy NAME 20s                           so long its memory takes to another node\n"
	    "  await NAME whole 2                      copying, whole, running there: time passes\n"
	    "  clock 2 +1h                             the wall clock jumps\n"
	    "  op node primary 2                       any operation; 'op on 3 ...' asks node 3\n"
	    "  until 120s\n"
	    "  expect vm NAME running on 2             running, running not on 2, off\n"
	    "  expect vm NAME booted 1                 so often; a live migration is none\n"
	    "  expect primary 2                        primary, no-primary\n"
	    "  expect node 3 fenced                    any state of its daemon; current,\n"
	    "                                          ready, flushed;\n"
	    "                                          voter, standby, diverged\n"
	    "  expect fence                            no-fence\n"
	    "It ends with 0 when every expectation held, 1 when one did not, 2 when the file\n"
	    "is not a scenario. Without FILE, random seeds: each is a cluster with people at\n"
	    "work and faults; a seed that fails is named, with the command that repeats it.\n"
	    "With --vms each is five nodes, so many VMs and so many steps (500 when left out):\n"
	    "a step is a request of a person, or a fault.\n",
	    out);
	return code;
}

static int parse_number(const char *text, uint64_t *number)
{
	char *end;
	errno = 0;
	*number = text ? strtoull(text, &end, 10) : 0;
	if (!text || errno || end == text || *end || *text == '-') {
		fprintf(stderr, "pvc simulate: '%s' is not a number\n", text ? text : "");
		return -EINVAL;
	}
	return 0;
}

static int parse(struct simulate_options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int result = 0;
		if (!strcmp(argv[i], "--seeds"))
			result = parse_number(argv[++i], &o->seeds);
		else if (!strcmp(argv[i], "--from"))
			result = parse_number(argv[++i], &o->from);
		else if (!strcmp(argv[i], "--vms"))
			result = parse_number(argv[++i], &o->vms);
		else if (!strcmp(argv[i], "--steps"))
			result = parse_number(argv[++i], &o->steps);
		else if (!strcmp(argv[i], "--seed")) {
			o->one_seed = true;
			result = parse_number(argv[++i], &o->seed);
		} else if (!strcmp(argv[i], "-f") && argv[i + 1] && !strcmp(argv[i + 1], "json")) {
			o->json = true;
			i++;
		} else if (argv[i][0] != '-' && !o->file)
			o->file = argv[i];
		else
			result = -EINVAL;
		if (result)
			return result;
	}
	if (o->vms > VMS_MAX || o->steps > STEPS_MAX || !o->steps || (!o->vms && o->steps != STEPS))
		return -EINVAL;
	return o->file || o->seeds || o->one_seed ? 0 : -EINVAL;
}

static void play_seed(const struct simulate_options *o, uint64_t seed, enum chaos_trace trace,
    struct chaos_result *result)
{
	struct chaos_options options = {
	    .seed = seed, .trace = trace, .vms = (unsigned)o->vms, .steps = (unsigned)o->steps};
	chaos_play(&options, result);
}

static int play_one(const struct simulate_options *o)
{
	uint64_t seed = o->seed;
	struct chaos_result result;
	/* Line by line: should it crash, all that went before has been said. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	play_seed(o, seed, CHAOS_PRINT, &result);
	printf("seed %" PRIu64 ": %s\n", seed, *result.failure ? result.failure : "held");
	return *result.failure ? 1 : 0;
}

static void say_failed(const struct simulate_options *o, uint64_t seed, const char *why)
{
	printf("seed %" PRIu64 ": %s\n    again: pvc simulate", seed, why);
	if (o->vms)
		printf(" --vms %" PRIu64 " --steps %" PRIu64, o->vms, o->steps);
	printf(" --seed %" PRIu64 "\n", seed);
	fflush(stdout);
}

/* Processes that share the seeds: the n-th plays every stride-th from its first on. */
struct shared {
	uint64_t seed; /* that is being played; past the last: done */
	uint64_t failed;
	uint64_t migrations, arrivals;
};

static void play_some(
    const struct simulate_options *o, struct shared *mine, uint64_t end, unsigned stride)
{
	for (; mine->seed < end; mine->seed += stride) {
		struct chaos_result result;
		play_seed(o, mine->seed, CHAOS_QUIET, &result);
		mine->migrations += result.migrations;
		mine->arrivals += result.arrivals;
		if (!*result.failure)
			continue;
		mine->failed++;
		say_failed(o, mine->seed, result.failure);
	}
}

static pid_t worker_start(
    const struct simulate_options *o, struct shared *mine, uint64_t end, unsigned stride)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	play_some(o, mine, end, stride);
	_exit(0);
}

/* A worker that crashed: its seed failed, and another goes on behind it. Returns whether it did. */
static bool worker_crashed(
    const struct simulate_options *o, struct shared *his, unsigned stride, int status)
{
	char why[64];
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "the simulator crashed (signal %d)", WTERMSIG(status));
	else /* a sanitizer's way */
		snprintf(why, sizeof(why), "the simulator ended by itself");
	say_failed(o, his->seed, why);
	his->failed++;
	his->seed += stride;
	return true;
}

static unsigned workers_wanted(uint64_t seeds)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned wanted = processors < 1 ? 1 : (unsigned)processors;
	wanted = wanted > WORKERS_MAX ? WORKERS_MAX : wanted;
	return wanted > seeds ? (unsigned)seeds : wanted;
}

static void say_moved(const struct simulate_options *o, const struct shared *shared, unsigned n)
{
	uint64_t migrations = 0, arrivals = 0;
	for (unsigned i = 0; i < n; i++) {
		migrations += shared[i].migrations;
		arrivals += shared[i].arrivals;
	}
	printf("%" PRIu64 " steps; %" PRIu64 " live migrations begun, %" PRIu64 " arrived\n",
	    o->seeds * o->steps, migrations, arrivals);
}

static int play_seeds(const struct simulate_options *o)
{
	uint64_t from = o->from, seeds = o->seeds;
	unsigned workers = workers_wanted(seeds), running = 0;
	uint64_t failed = 0, end = from + seeds;
	pid_t pids[WORKERS_MAX];
	struct shared *shared = mmap(NULL, sizeof(*shared) * WORKERS_MAX, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		perror("pvc simulate: mmap");
		return 1;
	}
	for (unsigned i = 0; i < workers; i++) {
		shared[i].seed = from + i;
		pids[i] = worker_start(o, &shared[i], end, workers);
		running += pids[i] > 0;
	}
	while (running) {
		int status = 0;
		pid_t pid = wait(&status);
		for (unsigned i = 0; i < workers; i++) {
			if (pids[i] != pid)
				continue;
			running--;
			if (worker_crashed(o, &shared[i], workers, status)) {
				pids[i] = worker_start(o, &shared[i], end, workers);
				running += pids[i] > 0;
			}
		}
	}
	for (unsigned i = 0; i < workers; i++)
		failed += shared[i].failed + (shared[i].seed < end);
	if (o->vms)
		say_moved(o, shared, workers);
	printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", seeds - failed, failed);
	return failed ? 1 : 0;
}

int applet_simulate(int argc, char **argv)
{
	struct simulate_options o = {.from = 1, .steps = STEPS};
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return usage(stdout, 0);
	if (parse(&o, argc, argv))
		return usage(stderr, 2);
	if (o.file)
		return scenario_play(o.file, o.seed, o.json);
	return o.one_seed ? play_one(&o) : play_seeds(&o);
}
