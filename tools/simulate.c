/* pvc simulate: try a failure before it happens.
 *
 *   pvc simulate FILE [--seed N] [-f json]      play a scenario, print what happens
 *   pvc simulate --seeds N [--from S]           play N random seeds, on all processors
 *   pvc simulate --seed N                       play one random seed again, with its trace */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
	      "decisions over a simulated network, disks, hypervisors and power.\n",
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
	chaos_play(seed, false, &result);
	fwrite(result.trace.data, 1, result.trace.size, stdout);
	printf("seed %" PRIu64 ": %s\n", seed, *result.failure ? result.failure : "held");
	int code = *result.failure ? 1 : 0;
	buffer_close(&result.trace);
	return code;
}

/* What a worker has done so far: in memory that both see, so that one that
 * crashes is not taken for one that passed. */
struct tally {
	uint64_t passed, failed;
};

/* Every stride-th seed from first on; what failed is said at once. */
static void play_some(uint64_t first, uint64_t end, unsigned stride, struct tally *tally)
{
	for (uint64_t seed = first; seed < end; seed += stride) {
		struct chaos_result result;
		chaos_play(seed, true, &result);
		buffer_close(&result.trace);
		if (!*result.failure) {
			tally->passed++;
			continue;
		}
		tally->failed++;
		printf("seed %" PRIu64 ": %s\n    again: pvc simulate --seed %" PRIu64 "\n", seed,
		    result.failure, seed);
		fflush(stdout);
	}
}

/* Start the workers; how many there are. */
static unsigned start_workers(uint64_t from, uint64_t seeds, struct tally tallies[WORKERS_MAX])
{
	long workers = sysconf(_SC_NPROCESSORS_ONLN);
	workers = workers < 1 ? 1 : workers > WORKERS_MAX ? WORKERS_MAX : workers;
	fflush(stdout);
	for (long i = 0; i < workers; i++) {
		pid_t pid = fork();
		if (pid < 0)
			perror("pvc simulate: fork");
		if (pid != 0)
			continue;
		play_some(from + (uint64_t)i, from + seeds, (unsigned)workers, &tallies[i]);
		_exit(0);
	}
	return (unsigned)workers;
}

static int play_seeds(uint64_t from, uint64_t seeds)
{
	size_t size = WORKERS_MAX * sizeof(struct tally);
	struct tally *tallies =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tallies == MAP_FAILED) {
		perror("pvc simulate: mmap");
		return 1;
	}
	unsigned workers = start_workers(from, seeds, tallies);
	struct tally sum = {0};
	while (wait(NULL) > 0)
		;
	for (unsigned i = 0; i < workers; i++) {
		sum.passed += tallies[i].passed;
		sum.failed += tallies[i].failed;
	}
	uint64_t lost = seeds - sum.passed - sum.failed;
	if (lost)
		printf("%" PRIu64 " seeds were not played: a worker crashed\n", lost);
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", sum.passed, sum.failed + lost);
	return sum.failed || lost ? 1 : 0;
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
