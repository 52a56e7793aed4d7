#include "node/worker/worker_main.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "node/worker/worker.h"

static const struct worker_role *const worker_roles[] = {
    &hypervisor_role, &pool_role, &console_role, NULL};

static void signal_swallow(int number)
{
	(void)number;
}

static void signals_settle(void)
{
	/* A terminal's Ctrl-C or a service manager's SIGTERM reaches the whole group, and the
	 * daemon may want its workers while it goes down. A handler and not SIG_IGN: that
	 * would be inherited by QEMU. */
	static const int swallowed[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2};
	struct sigaction action = {.sa_handler = signal_swallow, .sa_flags = SA_RESTART};
	for (size_t i = 0; i < sizeof(swallowed) / sizeof(swallowed[0]); i++)
		sigaction(swallowed[i], &action, NULL);
}

static bool read_whole(int fd, void *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = read(fd, (char *)bytes + at, size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static bool write_whole(int fd, const void *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = write(fd, (const char *)bytes + at, size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static bool request_read(int fd, struct buffer *request)
{
	uint8_t header[4];
	if (!read_whole(fd, header, sizeof(header)))
		return false;
	struct reader r = reader_of(header, sizeof(header));
	uint32_t size = reader_u32(&r);
	if (size > WORKER_FRAME_MAX)
		return false;
	*request = (struct buffer){.data = must_alloc(size), .size = size, .capacity = size};
	return read_whole(fd, request->data, size);
}

static bool answer_write(int fd, int status, const struct err *err, const struct buffer *answer)
{
	struct buffer frame = {0};
	size_t text_size = strlen(err->text);
	buffer_append_u32(&frame, (uint32_t)-status);
	buffer_append_varint(&frame, text_size);
	buffer_append(&frame, err->text, text_size);
	buffer_append(&frame, answer->data, answer->size);

	struct buffer header = {0};
	buffer_append_u32(&header, (uint32_t)frame.size);
	bool written =
	    write_whole(fd, header.data, header.size) && write_whole(fd, frame.data, frame.size);
	buffer_close(&header);
	buffer_close(&frame);
	return written;
}

struct service {
	const struct worker_role *role;
	const char *argument;
	void *state;
	bool opened;
	bool spoilt; /* will never open */
};

static int request_serve(
    struct service *s, struct reader *request, struct buffer *answer, struct err *err)
{
	if (!s->opened) {
		int rc = s->role->open(&s->state, s->argument, err);
		s->spoilt = rc == -ENOTRECOVERABLE;
		if (rc != 0)
			return rc;
		s->opened = true;
	}
	int rc = s->role->serve(s->state, request, answer, err);
	if (rc == 0 && answer->size > WORKER_FRAME_MAX - sizeof(struct err) - 16)
		rc = err_set(err, -EMSGSIZE, "the answer has %zu bytes", answer->size);
	if (rc == 0)
		err->text[0] = '\0';
	else
		answer->size = 0;
	return rc;
}

static void serve_for_ever(struct service *s, int fd)
{
	struct buffer request = {0}, answer = {0};
	bool alive = true;
	while (alive && !s->spoilt && request_read(fd, &request)) {
		struct err err = {""};
		struct reader r = reader_of(request.data, request.size);
		int status = request_serve(s, &r, &answer, &err);
		alive = answer_write(fd, status, &err, &answer);
		buffer_close(&request);
		buffer_close(&answer);
	}
}

/* Everything the parent had open and did not mean for us. */
static void descriptors_close(int fd)
{
	if (fd > 3)
		close_range(3, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0u, 0);
}

int worker_serve(const struct worker_role *const roles[], int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "worker: started by pvcnoded, not by hand\n");
		return 2;
	}
	int fd = (int)strtol(argv[2], NULL, 10);
	pid_t parent = (pid_t)strtol(argv[3], NULL, 10);
	while (*roles && strcmp((*roles)->name, argv[1]) != 0)
		roles++;
	if (!*roles || fd < 3) {
		fprintf(stderr, "worker: no role '%s' on descriptor %d\n", argv[1], fd);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before it could be watched. */
	if (getppid() != parent)
		_exit(0);
	char name[16];
	snprintf(name, sizeof(name), "pvc-%s", (*roles)->name);
	prctl(PR_SET_NAME, name);
	signals_settle();
	descriptors_close(fd);

	struct service s = {.role = *roles, .argument = argv[4]};
	serve_for_ever(&s, fd);
	_exit(0);
}

int worker_main(int argc, char **argv)
{
	return worker_serve(worker_roles, argc, argv);
}
