/* pvc simulate: try a failure before it happens.
 *
 *   pvc simulate FILE [--seed N] [-f json]      play a scenario, print what happens
 *   pvc simulate --seeds N [--from S]           play N random seeds, on all processors
 *   pvc simulate --seed N                       play one random seed again, with its trace */
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

struct simulate_options {
	const char *file;
	uint64_t seeds, from, seed;
	bool one_seed, json;
};

static int usage(FILE *out, int code)
{
	fputs("usage: pvc simulate FILE [--seed N] [-f json]\n"
	      "       pvc simulate --seeds N [--from FIRST]\n"
	      "       pvc simulate --seed N\n"
	      "Plays a whole cluster in one process: the daemon's own consensus, value and\n"
	      "decisions over a simulated network, disks, hypervisors and power.\n"
	      "\n"
	      "FILE is a scenario, one step a line:\n"
	      "  nodes 5 coordinators 3                  first; 3 and 3 when left out\n"
	      "  nodes 3 coordinators 2 witness 3        and node 3 votes and runs nothing\n"
	      "  vm NAME node=1 memory=512 state=start   or state=stop\n"
	      "  at 10s power 3 off                      on; without 'at': right away\n"
	      "  daemon 2 off                            kill -9; on: started again\n"
	      "  pause 2 5s                              the daemon is stopped\n"
	      "  network 3 off                           cut from everybody; on: mended\n"
	      "  oneway 1 3 off                          3 no longer hears 1\n"
	      "  disk 1 full                             fail, slow=200ms, ok\n"
	      "  spoil 2                                 its value is not the others' any more\n"
	      "  hang 2 hypervisor 10s                   pool, nic; without a time: for good\n"
	      "  clock 2 +1h                             the wall clock jumps\n"
	      "  op node primary 2                       any operation; 'op on 3 ...' asks node 3\n"
	      "  until 120s\n"
	      "  expect vm NAME running on 2             running, running not on 2, off\n"
	      "  expect primary 2                        primary, no-primary\n"
	      "  expect node 3 fenced                    any state of its daemon; current;\n"
	      "                                          voter, standby, diverged\n"
	      "  expect fence                            no-fence\n"
	      "It ends with 0 when every expectation held, 1 when one did not, 2 when the file\n"
	      "is not a scenario. Without FILE, random seeds: each is a cluster with people at\n"
	      "work and faults; a seed that fails is named, with the command that repeats it.\n",
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
	return o->file || o->seeds || o->one_seed ? 0 : -EINVAL;
}

static int play_one(uint64_t seed)
{
	struct chaos_result result;
	/* Line by line: should it crash, all that went before has been said. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	chaos_play(seed, CHAOS_PRINT, &result);
	printf("seed %" PRIu64 ": %s\n", seed, *result.failure ? result.failure : "held");
	return *result.failure ? 1 : 0;
}

static void say_failed(uint64_t seed, const char *why)
{
	printf(
	    "seed %" PRIu64 ": %s\n    again: pvc simulate --seed %" PRIu64 "\n", seed, why, seed);
	fflush(stdout);
}

/* Processes that share the seeds: the n-th plays every stride-th from its first on. */
struct shared {
	uint64_t seed; /* that is being played; past the last: done */
	uint64_t failed;
};

static void play_some(struct shared *mine, uint64_t end, unsigned stride)
{
	for (; mine->seed < end; mine->seed += stride) {
		struct chaos_result result;
		chaos_play(mine->seed, CHAOS_QUIET, &result);
		if (!*result.failure)
			continue;
		mine->failed++;
		say_failed(mine->seed, result.failure);
	}
}

static pid_t worker_start(struct shared *mine, uint64_t end, unsigned stride)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	play_some(mine, end, stride);
	_exit(0);
}

/* A worker that crashed: its seed failed, and another goes on behind it. Returns whether it did. */
static bool worker_crashed(struct shared *his, unsigned stride, int status)
{
	char why[64];
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "the simulator crashed (signal %d)", WTERMSIG(status));
	else /* a sanitizer's way */
		snprintf(why, sizeof(why), "the simulator ended by itself");
	say_failed(his->seed, why);
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

static int play_seeds(uint64_t from, uint64_t seeds)
{
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
		pids[i] = worker_start(&shared[i], end, workers);
		running += pids[i] > 0;
	}
	while (running) {
		int status = 0;
		pid_t pid = wait(&status);
		for (unsigned i = 0; i < workers; i++) {
			if (pids[i] != pid)
				continue;
			running--;
			if (worker_crashed(&shared[i], workers, status)) {
				pids[i] = worker_start(&shared[i], end, workers);
				running += pids[i] > 0;
			}
		}
	}
	for (unsigned i = 0; i < workers; i++)
		failed += shared[i].failed + (shared[i].seed < end);
	printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", seeds - failed, failed);
	return failed ? 1 : 0;
}

int applet_simulate(int argc, char **argv)
{
	struct simulate_options o = {.from = 1};
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return usage(stdout, 0);
	if (parse(&o, argc, argv))
		return usage(stderr, 2);
	if (o.file)
		return scenario_play(o.file, o.seed, o.json);
	return o.one_seed ? play_one(o.seed) : play_seeds(o.from, o.seeds);
}
