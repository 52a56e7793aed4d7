#include "node/log/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fsm/text.h"

#define LINES_DEFAULT	 2000
#define COMPONENT_MAX	 32
#define RENDERED_MAX	 (LOG_TEXT_MAX + 128)
#define JOURNAL_SOCKET	 "/run/systemd/journal/socket"
#define SINK_STACK_BYTES (128 * 1024)

struct line {
	uint64_t sequence;
	struct timespec time; /* wall clock: for people only */
	const struct sink *except; /* not for this one: it knows already */
	char state;
	char component[COMPONENT_MAX];
	char text[LOG_TEXT_MAX];
};

struct sink {
	const char *name;
	int (*write)(struct sink *s, const struct line *line); /* 0 or negative errno */
	char path[512];
	int fd;
	bool started;
	bool torn; /* the last line was written in part */
	atomic_bool reopen; /* asked for */
	uint64_t next; /* sequence of the line to be written next */
	uint64_t dropped; /* lines since the last one that was written */
	uint64_t unsaid; /* lines dropped that only this sink was told of */
	char reason[128]; /* why */
	pthread_t thread;
};

enum sink_number { SINK_STDOUT, SINK_FILE, SINK_JOURNAL, SINKS };

static struct {
	pthread_mutex_t mutex; /* for everything here but what a sink's thread has alone */
	pthread_cond_t changed;
	struct line **ring; /* line n is at n % size; allocated when used first */
	unsigned size;
	uint64_t newest; /* sequence numbers count from 1 */
	uint64_t first; /* the oldest line that no change of size has lost */
	uint64_t closed; /* the newest line when the sinks were closed last */
	enum { LOG_OPEN, LOG_DRAINING, LOG_CLOSED } phase;
	atomic_bool debug;
	bool colours, dates;
	char name[32], node[64];
	struct sink sinks[SINKS];
} logger = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .first = 1};

struct state {
	char letter;
	const char *word, *colour;
	int priority;
};

static const struct state *state_of(char letter)
{
	static const struct state states[] = {
#define LOG_STATE(letter_, name, word_, colour_, priority_) {letter_, word_, colour_, priority_},
#include "node/log/log.def"
#undef LOG_STATE
	};
	unsigned last = sizeof(states) / sizeof(states[0]) - 1;
	for (unsigned i = 0; i < last; i++)
		if (states[i].letter == letter)
			return &states[i];
	return &states[last];
}

/* The ring. */

static uint64_t oldest(void)
{
	bool turned = logger.newest >= logger.first + logger.size;
	return turned ? logger.newest - logger.size + 1 : logger.first;
}

static struct line **slot(uint64_t sequence)
{
	return &logger.ring[sequence % logger.size];
}

static void ring_resize(unsigned size)
{
	struct line **old = logger.ring;
	unsigned old_size = logger.size;
	struct line **ring = must_alloc(size * sizeof(*ring));
	logger.first = oldest();
	for (uint64_t n = logger.first; n <= logger.newest; n++) {
		struct line **target = &ring[n % size];
		free(*target);
		*target = old[n % old_size];
		old[n % old_size] = NULL;
	}
	for (unsigned i = 0; i < old_size; i++)
		free(old[i]);
	free(old);
	logger.ring = ring;
	logger.size = size;
}

/* A line is an event; whoever wrote the text must not be able to forge another. */
/* One line, and no terminal's business. */
static void line_clean(char *text)
{
	for (char *c = text; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	text_clean(text, '?');
}

static void line_format(struct line *line, const char *format, va_list args)
{
	clock_gettime(CLOCK_REALTIME, &line->time);
	int size = vsnprintf(line->text, sizeof(line->text), format, args);
	if (size >= (int)sizeof(line->text))
		memcpy(line->text + sizeof(line->text) - 4, "...", 4);
	line_clean(line->text);
	line_clean(line->component);
}

static size_t line_bytes(const struct line *line)
{
	/* Lines are short: what is not used of the text is neither kept nor copied. */
	return offsetof(struct line, text) + strlen(line->text) + 1;
}

static void ring_add(struct line *line)
{
	pthread_mutex_lock(&logger.mutex);
	if (!logger.size)
		ring_resize(LINES_DEFAULT);
	line->sequence = ++logger.newest;
	struct line **place = slot(line->sequence);
	*place = must_realloc(*place, line_bytes(line));
	memcpy(*place, line, line_bytes(line));
	pthread_cond_broadcast(&logger.changed);
	pthread_mutex_unlock(&logger.mutex);
}

void log_line(char state, const char *format, ...)
{
	struct line line = {.state = state};
	va_list args;
	va_start(args, format);
	line_format(&line, format, args);
	va_end(args);
	ring_add(&line);
}

void log_debug(const char *component, const char *format, ...)
{
	if (!atomic_load_explicit(&logger.debug, memory_order_relaxed))
		return;
	struct line line = {.state = 'd'};
	snprintf(line.component, sizeof(line.component), "%s", component);
	va_list args;
	va_start(args, format);
	line_format(&line, format, args);
	va_end(args);
	ring_add(&line);
}

/* How lines look. */

struct look {
	bool colours, dates;
};

static void date_print(char out[40], const struct timespec *time)
{
	struct tm tm;
	localtime_r(&time->tv_sec, &tm);
	size_t used = strftime(out, 40, "%Y/%m/%d %H:%M:%S", &tm);
	snprintf(out + used, 40 - used, ".%06ld ", time->tv_nsec / 1000);
}

/* Prompt, date, component, text, newline. Returns the size. */
static size_t line_print(char out[RENDERED_MAX], const struct line *line, struct look look)
{
	const struct state *state = state_of(line->state);
	bool bare = state->letter == 'x'; /* neither prompt nor date */
	char date[40] = "";
	if (look.dates && !bare)
		date_print(date, &line->time);
	const char *open = "", *prompt = state->word, *close = "";
	if (look.colours && !bare) {
		open = "\033[";
		prompt = state->colour;
		close = "m>>> \033[0m";
	}
	int size = snprintf(out, RENDERED_MAX, "%s%s%s%s%s%s%s\n", open, prompt, close, date,
	    line->component, *line->component ? " - " : "", line->text);
	assert(size > 0 && size < RENDERED_MAX);
	return (size_t)size;
}

uint64_t log_after(uint64_t sequence, unsigned most_lines, struct buffer *out)
{
	char text[RENDERED_MAX];
	pthread_mutex_lock(&logger.mutex);
	uint64_t newest = logger.newest;
	if (sequence > newest)
		sequence = 0;
	uint64_t first = sequence + 1 > oldest() ? sequence + 1 : oldest();
	if (newest >= most_lines && first < newest - most_lines + 1)
		first = newest - most_lines + 1;
	for (uint64_t n = first; n <= newest; n++)
		buffer_append(out, text, line_print(text, *slot(n), (struct look){.dates = true}));
	pthread_mutex_unlock(&logger.mutex);
	return newest;
}

/* The sinks. Each thread blocks as long as its sink does: that is what it is for. */

static int fd_write(struct sink *s, const struct line *line)
{
	char text[1 + RENDERED_MAX];
	struct look look = {.colours = logger.colours, .dates = logger.dates};
	size_t size = line_print(text + 1, line, look);
	char *start = text + 1;
	if (s->torn) { /* end what was begun */
		*--start = '\n';
		size++;
	}
	ssize_t written = write(s->fd, start, size);
	while (written < 0 && (errno == EINTR || errno == EAGAIN)) {
		struct pollfd writable = {.fd = s->fd, .events = POLLOUT};
		if (errno == EAGAIN)
			poll(&writable, 1, 1000);
		written = write(s->fd, start, size);
	}
	if (written < 0)
		return -errno;
	s->torn = (size_t)written < size;
	return s->torn ? -ENOSPC : 0;
}

static int file_open(struct sink *s)
{
	int fd = open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		return -errno;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	s->torn = false;
	return 0;
}

/* https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: fields without a newline are
 * "KEY=value\n". Unconnected, so that it goes on when journald comes anew. */
static int journal_write(struct sink *s, const struct line *line)
{
	char fields[RENDERED_MAX + 256];
	int size = snprintf(fields, sizeof(fields),
	    "MESSAGE=%s%s%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nSYSLOG_PID=%d\nPVC_NODE=%s\n"
	    "PVC_STATE=%c\nPVC_SEQUENCE=%llu\n%s%s%s",
	    line->component, *line->component ? " - " : "", line->text,
	    state_of(line->state)->priority, logger.name, (int)getpid(), logger.node, line->state,
	    (unsigned long long)line->sequence, *line->component ? "PVC_COMPONENT=" : "",
	    line->component, *line->component ? "\n" : "");
	assert(size > 0 && (size_t)size < sizeof(fields));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%.107s", s->path);
	ssize_t sent;
	do
		sent = sendto(s->fd, fields, (size_t)size, MSG_NOSIGNAL,
		    (struct sockaddr *)&address, sizeof(address));
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* Wait for the next line and copy it. False when there is none for this sink. */
static bool sink_next(struct sink *s, struct line *line)
{
	bool found = false;
	pthread_mutex_lock(&logger.mutex);
	while (s->next > logger.newest && logger.phase == LOG_OPEN && !atomic_load(&s->reopen))
		pthread_cond_wait(&logger.changed, &logger.mutex);
	if (s->next < oldest()) {
		s->dropped += oldest() - s->next;
		s->next = oldest();
		snprintf(s->reason, sizeof(s->reason), "is too slow");
	}
	if (s->next <= logger.newest) {
		const struct line *kept = *slot(s->next++);
		found = kept->except != s;
		memcpy(line, kept, line_bytes(kept));
	}
	pthread_mutex_unlock(&logger.mutex);
	return found;
}

static bool sink_is_level(struct sink *s)
{
	pthread_mutex_lock(&logger.mutex);
	bool level = s->next > logger.newest;
	pthread_mutex_unlock(&logger.mutex);
	return level;
}

static bool sink_is_done(struct sink *s)
{
	pthread_mutex_lock(&logger.mutex);
	bool done =
	    logger.phase == LOG_CLOSED || (logger.phase == LOG_DRAINING && s->next > logger.newest);
	pthread_mutex_unlock(&logger.mutex);
	return done;
}

static void sink_reopen(struct sink *s)
{
	if (!atomic_exchange(&s->reopen, false))
		return;
	int status = file_open(s);
	if (status < 0)
		log_warning("%s: not opened anew: %s", s->name, strerror(-status));
}

__attribute__((format(printf, 3, 4))) static void sink_warn(
    struct line *line, const struct sink *s, const char *format, ...)
{
	va_list args;
	*line = (struct line){.state = 'w', .except = s};
	va_start(args, format);
	line_format(line, format, args);
	va_end(args);
}

static void sink_failed(struct sink *s, int status)
{
	struct line warning;
	sink_warn(&warning, s, "%s: %s: log lines are dropped", s->name, strerror(-status));
	if (s->dropped++ == 0)
		ring_add(&warning);
	snprintf(s->reason, sizeof(s->reason), "failed: %s", strerror(-status));
}

/* A line, and before it, what is missing there. */
static int sink_write(struct sink *s, const struct line *line)
{
	if (s->dropped) {
		struct line warning;
		sink_warn(&warning, s, "%llu log lines dropped: %s %s",
		    (unsigned long long)s->dropped, s->name, s->reason);
		int status = s->write(s, &warning);
		if (status < 0)
			return status;
		s->unsaid += s->dropped;
		s->dropped = 0;
	}
	return s->write(s, line);
}

/* Tell the others what is missing here, once this sink is level again: a line
 * for each gap would only make it slower. */
static void sink_confess(struct sink *s)
{
	struct line warning;
	if (!s->unsaid || !sink_is_level(s))
		return;
	sink_warn(&warning, s, "%llu log lines dropped: %s %s", (unsigned long long)s->unsaid,
	    s->name, s->reason);
	s->unsaid = 0;
	ring_add(&warning);
}

static void *sink_run(void *data)
{
	struct sink *s = data;
	struct line *line = must_alloc(sizeof(*line));
	while (!sink_is_done(s)) {
		bool found = sink_next(s, line);
		sink_reopen(s);
		int status = found ? sink_write(s, line) : 0;
		if (status < 0)
			sink_failed(s, status);
		sink_confess(s);
	}
	free(line);
	return NULL;
}

static int sink_start(struct sink *s, struct err *err)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_mutex_lock(&logger.mutex);
	s->next = logger.closed + 1 > oldest() ? logger.closed + 1 : oldest();
	pthread_mutex_unlock(&logger.mutex);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, SINK_STACK_BYTES);
	/* Signals are for the loop; a SIGPIPE of ours becomes EPIPE. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int status = pthread_create(&s->thread, &attributes, sink_run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	s->started = status == 0;
	if (status)
		return err_set(err, -status, "log to %s: %s", s->name, strerror(status));
	return 0;
}

static int stdout_start(const struct log_options *options, struct err *err)
{
	struct sink *s = &logger.sinks[SINK_STDOUT];
	*s = (struct sink){.name = "standard output", .write = fd_write, .fd = STDOUT_FILENO};
	return options->to_stdout ? sink_start(s, err) : 0;
}

static int file_start(const struct log_options *options, struct err *err)
{
	struct sink *s = &logger.sinks[SINK_FILE];
	*s = (struct sink){.name = s->path, .write = fd_write, .fd = -1};
	if (!options->file)
		return 0;
	if (snprintf(s->path, sizeof(s->path), "%s", options->file) >= (int)sizeof(s->path))
		return err_set(err, -ENAMETOOLONG, "log to %s: the path is too long", s->path);
	int status = file_open(s);
	if (status < 0)
		return err_set(err, status, "log to %s: %s", s->path, strerror(-status));
	return sink_start(s, err);
}

static int journal_start(const struct log_options *options, struct err *err)
{
	struct sink *s = &logger.sinks[SINK_JOURNAL];
	*s = (struct sink){.name = "the journal", .write = journal_write, .fd = -1};
	snprintf(
	    s->path, sizeof(s->path), "%s", options->journal ? options->journal : JOURNAL_SOCKET);
	if (!options->to_journal || access(s->path, W_OK) < 0)
		return 0;
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return err_set(err, -errno, "log to %s: %s", s->name, strerror(errno));
	return sink_start(s, err);
}

int log_open(const struct log_options *options, struct err *err)
{
	static int (*const starts[SINKS])(const struct log_options *, struct err *) = {
	    stdout_start, file_start, journal_start};
	tzset(); /* localtime_r() need not */
	pthread_mutex_lock(&logger.mutex);
	ring_resize(options->lines ? options->lines : LINES_DEFAULT);
	logger.phase = LOG_OPEN;
	logger.colours = options->colours;
	logger.dates = options->dates;
	atomic_store(&logger.debug, options->debug);
	snprintf(logger.name, sizeof(logger.name), "%s", options->name);
	snprintf(logger.node, sizeof(logger.node), "%s", options->node);
	pthread_mutex_unlock(&logger.mutex);
	int status = 0;
	for (int i = 0; i < SINKS; i++) {
		struct err other;
		int failed = starts[i](options, &other);
		if (failed < 0 && status == 0)
			status = err_set(err, failed, "%s", other.text);
	}
	return status;
}

bool log_is_heard(void)
{
	bool heard = false;
	for (int i = 0; i < SINKS; i++)
		heard |= logger.sinks[i].started;
	return heard;
}

void log_reopen(void)
{
	struct sink *s = &logger.sinks[SINK_FILE];
	pthread_mutex_lock(&logger.mutex);
	if (s->started)
		atomic_store(&s->reopen, true);
	pthread_cond_broadcast(&logger.changed);
	pthread_mutex_unlock(&logger.mutex);
}

static struct timespec deadline_in(unsigned wait_ms)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t); /* what pthread_timedjoin_np() goes by */
	uint64_t ns = (uint64_t)t.tv_nsec + wait_ms % 1000 * 1000000ull;
	t.tv_sec += (time_t)(wait_ms / 1000 + ns / 1000000000);
	t.tv_nsec = (long)(ns % 1000000000);
	return t;
}

void log_close(unsigned wait_ms)
{
	struct timespec deadline = deadline_in(wait_ms);
	pthread_mutex_lock(&logger.mutex);
	logger.phase = LOG_DRAINING;
	pthread_cond_broadcast(&logger.changed);
	pthread_mutex_unlock(&logger.mutex);
	for (int i = 0; i < SINKS; i++) {
		struct sink *s = &logger.sinks[i];
		if (!s->started)
			continue;
		s->started = false;
		if (pthread_timedjoin_np(s->thread, NULL, &deadline)) {
			/* It hangs in its write: left behind. If that ever ends, so does it. */
			pthread_detach(s->thread);
			continue;
		}
		if (i != SINK_STDOUT)
			close(s->fd);
		s->fd = -1;
	}
	pthread_mutex_lock(&logger.mutex);
	logger.phase = LOG_CLOSED;
	logger.closed = logger.newest;
	pthread_mutex_unlock(&logger.mutex);
}
