/* The log of this process: one line, one event, one write(2).
 *
 * A line is put into a ring of the last lines and the caller goes on; a thread
 * for each sink (standard output, file, journal) writes from there. So nobody
 * ever waits for a slow or full sink, and none of them for another: what a sink
 * missed is counted, and said in the log once it takes lines again.
 *
 * Any thread may call any function but log_open() and log_close(). Lines of
 * before log_open() are kept in the ring and go to the sinks once they are
 * opened. */
#ifndef NODE_LOG_LOG_H
#define NODE_LOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"

#define LOG_TEXT_MAX 1024 /* bytes of a line's text with its NUL; longer ones are cut */

struct log_options {
	const char *name; /* pvcnoded: who logs, in the journal */
	const char *node; /* this node's name, in the journal */
	const char *file; /* its path; NULL: no file */
	bool to_stdout;
	bool to_journal; /* nothing happens without systemd */
	const char *journal; /* its socket; NULL: systemd's own */
	bool colours; /* state by colour instead of by word */
	bool dates; /* YYYY/MM/DD HH:MM:SS.ffffff, local time */
	bool debug; /* log_debug() does something */
	unsigned lines; /* how many the ring holds; 0: 2000 */
};

/* Start writing. Texts are copied. Returns 0, or a negative errno when the
 * file cannot be opened or a thread not started; all other sinks then work. */
int log_open(const struct log_options *options, struct err *err);

/* Whether there is anybody who reads: a sink that was started. */
bool log_is_heard(void);

/* Open the file anew, as after it was moved away. Does not wait. */
void log_reopen(void);

/* Give the sinks up to wait_ms to write what is left, and close them. */
void log_close(unsigned wait_ms);

/* Log a line; state is a letter of log.def. Control characters are replaced. */
void log_line(char state, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_ok(...)	 log_line('o', __VA_ARGS__)
#define log_error(...)	 log_line('e', __VA_ARGS__)
#define log_warning(...) log_line('w', __VA_ARGS__)
#define log_tick(...)	 log_line('t', __VA_ARGS__)
#define log_info(...)	 log_line('i', __VA_ARGS__)
#define log_system(...)	 log_line('s', __VA_ARGS__)
#define log_plain(...)	 log_line('x', __VA_ARGS__)

/* The same in state 'd', "COMPONENT - TEXT"; nothing unless debug is on. */
void log_debug(const char *component, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Append lines newer than sequence, each with date, word and newline: the last
 * most_lines of them, oldest first. Returns the sequence number of the newest
 * line of all, to be given next time. 0 is older than any; a number that is
 * not of this process's log counts as 0. */
uint64_t log_after(uint64_t sequence, unsigned most_lines, struct buffer *out);

#endif
