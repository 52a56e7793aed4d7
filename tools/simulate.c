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

/* Every stride-th seed from first on; what failed is said at once. */
static int play_some(uint64_t first, uint64_t end, unsigned stride)
{
	unsigned failed = 0;
	for (uint64_t seed = first; seed < end; seed += stride) {
		struct chaos_result result;
		chaos_play(seed, true, &result);
		buffer_close(&result.trace);
		if (!*result.failure)
			continue;
		failed++;
		printf("seed %" PRIu64 ": %s\n    again: pvc simulate --seed %" PRIu64 "\n", seed,
		    result.failure, seed);
		fflush(stdout);
	}
	return failed > 200 ? 200 : (int)failed;
}

static int play_seeds(uint64_t from, uint64_t seeds)
{
	long workers = sysconf(_SC_NPROCESSORS_ONLN);
	workers = workers < 1 ? 1 : workers > WORKERS_MAX ? WORKERS_MAX : workers;
	uint64_t failed = 0;
	bool broke = false;
	fflush(stdout);
	for (long i = 0; i < workers; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("pvc simulate: fork");
			return 1;
		}
		if (pid == 0) {
			alarm(0);
			_exit(play_some(from + (uint64_t)i, from + seeds, (unsigned)workers));
		}
	}
	for (long i = 0; i < workers; i++) {
		int status = 0;
		if (wait(&status) < 0)
			break;
		broke |= !WIFEXITED(status);
		failed += WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 0;
	}
	if (broke)
		puts("a worker crashed");
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", seeds - failed, failed + broke);
	return failed || broke ? 1 : 0;
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
