/* Between pvc and libc (LD_PRELOAD), for tests: a program that is killed before its N-th change
 * of the world, a clock that is wrong, a disk that hangs.
 *
 * PVC_SHIM_KILL_AT=N: the process that was started (none of its children) is killed in place of
 * the N-th call that would change a file or say something to another machine. PVC_SHIM_CLOCK_S=S:
 * the wall clock is S seconds off. PVC_SHIM_HANG=1: what is written in place never ends. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;
static long kill_at, clock_s;
static int hang;
static pid_t owner;

__attribute__((constructor)) static void shim_start(void)
{
	const char *text = getenv("PVC_SHIM_KILL_AT");
	kill_at = text ? atol(text) : 0;
	text = getenv("PVC_SHIM_CLOCK_S");
	clock_s = text ? atol(text) : 0;
	hang = getenv("PVC_SHIM_HANG") != NULL;
	owner = getpid();
}

static void change(void)
{
	if (kill_at && getpid() == owner && atomic_fetch_add(&calls, 1) + 1 == kill_at)
		raise(SIGKILL);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define CHANGE(name, parameters, arguments)                                                        \
	int name parameters                                                                        \
	{                                                                                          \
		change();                                                                          \
		return NEXT(name) arguments;                                                       \
	}

CHANGE(mkdir, (const char *path, mode_t mode), (path, mode))
CHANGE(rmdir, (const char *path), (path))
CHANGE(unlink, (const char *path), (path))
CHANGE(unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
CHANGE(rename, (const char *from, const char *to), (from, to))
CHANGE(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
CHANGE(chmod, (const char *path, mode_t mode), (path, mode))
CHANGE(fchmod, (int fd, mode_t mode), (fd, mode))
CHANGE(fsync, (int fd), (fd))
CHANGE(fdatasync, (int fd), (fd))
CHANGE(ftruncate, (int fd, off_t size), (fd, size))

ssize_t write(int fd, const void *bytes, size_t size)
{
	if (fd > STDERR_FILENO)
		change();
	return NEXT(write)(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
	change();
	while (hang)
		pause();
	return NEXT(pwrite)(fd, bytes, size, at);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
	change();
	return NEXT(send)(fd, bytes, size, flags);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
	change();
	return NEXT(recv)(fd, bytes, size, flags);
}

static mode_t open_mode(int flags, va_list arguments)
{
	if (!(flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE)
		return 0;
	change();
	return va_arg(arguments, mode_t);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = open_mode(flags, arguments);
	va_end(arguments);
	return NEXT(open)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = open_mode(flags, arguments);
	va_end(arguments);
	return NEXT(openat)(dir, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	if (strpbrk(mode, "wa+"))
		change();
	return NEXT(fopen)(path, mode);
}

int fclose(FILE *file)
{
	change();
	return NEXT(fclose)(file);
}

time_t time(time_t *out)
{
	struct timespec now;
	NEXT(clock_gettime)(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec + clock_s;
	return now.tv_sec + clock_s;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = NEXT(clock_gettime)(clock, now);
	if (!result && clock == CLOCK_REALTIME)
		now->tv_sec += clock_s;
	return result;
}
