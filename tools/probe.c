#include "tools/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REAP_WITHIN_MS 500 /* after its end or its kill */
#define REAP_EVERY_MS  5
#define OUTPUT_MAX     (64u << 20) /* bytes */

uint64_t probe_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int probe_start(struct probe *probe, int (*run)(void *data, int out), void *data)
{
	int ends[2];
	pid_t parent = getpid();
	*probe = (struct probe){0};
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		/* A group of its own, so that what it starts is killed with it. */
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(ends[0]);
		_exit(run(data, ends[1]));
	}
	int result = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (result) {
		close(ends[0]);
		return result;
	}
	setpgid(pid, pid);
	*probe = (struct probe){.pid = pid, .fd = ends[0]};
	return 0;
}

static int left_ms(uint64_t deadline_ms)
{
	uint64_t now = probe_now_ms();
	uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
	return left < INT_MAX ? (int)left : INT_MAX;
}

/* Until the child has closed its end, or the deadline. -EFBIG: that was more than is kept. */
static int read_all(int fd, uint64_t deadline_ms, struct buffer *out)
{
	char bytes[65536];
	size_t read_bytes = 0;
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, left_ms(deadline_ms));
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return -ETIMEDOUT;
		ssize_t n = read(fd, bytes, sizeof(bytes));
		if (n <= 0)
			return read_bytes > OUTPUT_MAX ? -EFBIG : 0;
		read_bytes += (size_t)n;
		if (read_bytes <= OUTPUT_MAX)
			buffer_append(out, bytes, (size_t)n);
	}
}

/* Its exit status; -EIO: it crashed; -ETIMEDOUT: it does not end. */
static int reap(int pid, uint64_t deadline_ms)
{
	int status;
	for (;;) {
		pid_t ended = waitpid(pid, &status, WNOHANG);
		if (ended == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
		if ((ended < 0 && errno != EINTR) || probe_now_ms() >= deadline_ms)
			return -ETIMEDOUT;
		poll(NULL, 0, REAP_EVERY_MS);
	}
}

int probe_finish(struct probe *probe, uint64_t deadline_ms, struct buffer *out)
{
	if (!probe->pid)
		return -EIO;
	int result = read_all(probe->fd, deadline_ms, out);
	if (!result)
		result = reap(probe->pid, probe_now_ms() + REAP_WITHIN_MS);
	/* Also what it left running behind it. */
	kill(-probe->pid, SIGKILL);
	if (result == -ETIMEDOUT || result == -EFBIG)
		reap(probe->pid, probe_now_ms() + REAP_WITHIN_MS);
	close(probe->fd);
	*probe = (struct probe){0};
	return result;
}

static void program_exec(char *const argv[], char *const variables[], int out)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	for (; variables && *variables; variables++)
		putenv(*variables);
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

int probe_program(char *const argv[], char *const variables[], struct buffer *said)
{
	int ends[2], status;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid_t pid = fork();
	if (pid == 0)
		program_exec(argv, variables, ends[1]);
	int result = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (!result)
		read_all(ends[0], UINT64_MAX / 2, said);
	close(ends[0]);
	if (result)
		return result;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}
