/* One load generator for every system that is compared.
 *
 * What is measured and how is here, once: closed loops, watchers, the loss of a
 * primary. A system says only how to connect, ask and listen. All of them get
 * the same keys, the same values, and one thread.
 *
 *   X_load put   --endpoints A,B,C --in-flight N --seconds S [--connections N]
 *   X_load read  the same; linearizable reads, each proven by a majority
 *   X_load lease the same; linearizable reads that trust the leader's lease
 *   X_load watch --endpoints A,B,C --watchers N --rounds N
 *   X_load probe --endpoints A,B,C --kill PID --signal KILL|STOP --seconds S
 *
 * put and read ask the first endpoint, the leader; watchers sit on all of them;
 * probe asks all every 5 ms, sends the signal, and waits for an answer to what
 * was asked after it. Each prints one line of JSON. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_KEYS	10000
#define LOAD_VALUE_SIZE 256

struct load_system {
	/* Connect; may block. What it returns is handed to the others; NULL when refused. */
	void *(*open)(const char *endpoint);
	void (*close)(void *connection);
	/* Make sure that the keys can be read and written; may block. NULL: always so. */
	int (*prepare)(void *connection);
	/* Ask; load_answered(tag, ok) follows, from turn. Negative when it cannot be asked now. */
	int (*put)(void *connection, unsigned key, uint64_t tag);
	int (*read)(void *connection, unsigned key, uint64_t tag);
	int (*lease)(void *connection, unsigned key, uint64_t tag);
	/* Listen to key 0: load_armed() once, then load_changed() for each change. */
	int (*watch)(void *connection);
	bool watch_fires_once; /* and must be asked for again */
	/* Read what has come, write what is queued. Negative when the connection is lost. */
	int (*turn)(void *connection);
	/* What to wait for: EPOLLIN, EPOLLOUT. fd is -1 while there is nothing to wait for. */
	void (*interest)(void *connection, int *fd, uint32_t *events);
};

void load_answered(uint64_t tag, bool ok);
void load_armed(void);
void load_changed(void);

extern const uint8_t load_value[LOAD_VALUE_SIZE];

/* Read the command line, measure, print. Returns the exit status. */
int load_main(int argc, char **argv, const struct load_system *system);

#endif
