/* What systemd is told, with a socket of our own in its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/control/notify.h"

/* A socket at name, '@' for the abstract namespace, that NOTIFY_SOCKET names. */
static int listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = strlen(name);
	memcpy(address.sun_path, name, size);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size += offsetof(struct sockaddr_un, sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)size), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void assert_told(int fd, const char *wanted)
{
	char message[1024] = "";
	assert_true(recv(fd, message, sizeof(message) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(message, wanted);
}

static void everything_at(const char *name)
{
	int fd = listen_at(name);
	assert_int_equal(notify_ready(), 1);
	assert_told(fd, "READY=1");
	assert_int_equal(notify_watchdog(), 1);
	assert_told(fd, "WATCHDOG=1");
	assert_int_equal(notify_status("term %d\nREADY=0", 7), 1);
	assert_told(fd, "STATUS=term 7");
	assert_int_equal(notify_stopping(), 1);
	assert_told(fd, "STOPPING=1");
	assert_int_equal(notify_patience(30000), 1);
	assert_told(fd, "EXTEND_TIMEOUT_USEC=30000000");
	close(fd);
}

static void systemd_is_told_by_path(void **state)
{
	char name[64];
	snprintf(name, sizeof(name), "/tmp/notify_test.%d", (int)getpid());
	everything_at(name);
	unlink(name);
}

static void systemd_is_told_by_abstract_name(void **state)
{
	char name[64];
	snprintf(name, sizeof(name), "@notify_test.%d", (int)getpid());
	everything_at(name);
}

static void without_systemd_nothing_happens(void **state)
{
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_ready(), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(notify_ready(), 0);
	setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
	assert_int_equal(notify_ready(), -ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(notify_ready(), -EAFNOSUPPORT);
}

static void a_systemd_that_does_not_read_is_not_waited_for(void **state)
{
	char name[64];
	snprintf(name, sizeof(name), "@notify_test.full.%d", (int)getpid());
	int fd = listen_at(name);
	int status = 1;
	/* More than any queue of datagrams holds. */
	for (int i = 0; i < 1000000 && status == 1; i++)
		status = notify_watchdog();
	assert_int_equal(status, -EAGAIN);
	close(fd);
}

static void the_watchdog_is_petted_twice_as_often_as_asked(void **state)
{
	char pid[32];
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(notify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "10000000", 1);
	assert_int_equal(notify_watchdog_ms(), 5000);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_ms(), 5000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_ms(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(systemd_is_told_by_path),
	    cmocka_unit_test(systemd_is_told_by_abstract_name),
	    cmocka_unit_test(without_systemd_nothing_happens),
	    cmocka_unit_test(a_systemd_that_does_not_read_is_not_waited_for),
	    cmocka_unit_test(the_watchdog_is_petted_twice_as_often_as_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
