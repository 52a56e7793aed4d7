/* With what status the command line ends, by what a daemon answers it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "fsm/buffer.h"
#include "node/control/control_wire.h"
#include "tools/cli.h"

/* A daemon that has three answers: to what is asked, and to how far it has come. */
struct daemon {
	char path[64];
	int listener;
	const char *answer; /* a result, or an error in {"code"}; NULL: it hangs up */
	const char *progress;
	unsigned asked, looked;
};

static bool read_whole(int fd, void *bytes, size_t size)
{
	uint8_t *at = bytes;
	while (size > 0) {
		ssize_t n = read(fd, at, size);
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

/* The next request in JSON; NULL: there will be none. Watches are not answered. */
static json_t *request_read(int fd)
{
	for (;;) {
		uint8_t head[CONTROL_HEADER_SIZE];
		if (!read_whole(fd, head, sizeof(head)))
			return NULL;
		struct reader r = reader_of(head, sizeof(head));
		size_t size = reader_u32(&r);
		char *payload = must_alloc(size);
		json_t *request = NULL;
		if (read_whole(fd, payload, size) && payload[0] == CONTROL_JSON)
			request = json_loadb(payload, size, 0, NULL);
		free(payload);
		if (request)
			return request;
	}
}

static void answer_write(int fd, json_int_t id, const char *text)
{
	json_t *said = json_loads(text, 0, NULL);
	bool refused = json_object_get(said, "code") != NULL;
	json_t *whole = json_pack(
	    "{s:I, s:b, s:o}", "id", id, "ok", !refused, refused ? "error" : "result", said);
	char *bytes = json_dumps(whole, JSON_COMPACT);
	struct buffer out = {0};
	buffer_append_u32(&out, (uint32_t)strlen(bytes));
	buffer_append(&out, bytes, strlen(bytes));
	/* Who asked may be gone. */
	send(fd, out.data, out.size, MSG_NOSIGNAL);
	buffer_close(&out);
	free(bytes);
	json_decref(whole);
}

static void serve(struct daemon *d, int fd)
{
	json_t *request;
	while ((request = request_read(fd))) {
		bool look = json_is_true(json_object_get(request, "progress"));
		json_int_t id = json_integer_value(json_object_get(request, "id"));
		const char *text = look ? d->progress : d->answer;
		json_decref(request);
		d->asked += !look;
		d->looked += look;
		if (!text)
			return;
		answer_write(fd, id, text);
	}
}

static void *daemon_main(void *data)
{
	struct daemon *d = data;
	int fd;
	while ((fd = accept(d->listener, NULL, NULL)) >= 0) {
		serve(d, fd);
		close(fd);
	}
	return NULL;
}

/* pvc with these words, ended by NULL, and a daemon that answers so. */
static int pvc(struct daemon *d, char **words)
{
	char *argv[16] = {"pvc", "--socket", d->path};
	int argc = 3;
	pthread_t thread;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/cli-test-XXXXXX";
	assert_non_null(mkdtemp(directory));
	snprintf(d->path, sizeof(d->path), "%s/socket", directory);
	memcpy(address.sun_path, d->path, sizeof(d->path));
	d->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(d->listener, 5), 0);
	assert_int_equal(pthread_create(&thread, NULL, daemon_main, d), 0);
	for (; *words; words++)
		argv[argc++] = *words;
	int status = cli_main(argc, argv);
	shutdown(d->listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(d->listener);
	unlink(d->path);
	rmdir(directory);
	return status;
}

#define PVC(daemon, ...) pvc(daemon, (char *[]){__VA_ARGS__, NULL})
#define ACCEPTED	 "{\"message\": \"web1 is to be started\"}"

static void what_has_come_about_ends_with_0(void **state)
{
	struct daemon d = {
	    .answer = ACCEPTED, .progress = "{\"state\": \"done\", \"text\": \"web1 runs\"}"};
	assert_int_equal(PVC(&d, "vm", "start", "web1", "--wait"), CLI_DONE);
	assert_int_equal(d.asked, 1);
	assert_int_equal(d.looked, 1);
}

/* What "vm start web1 --wait" prints when it is answered so; the caller frees. */
static char *waited_for(const char *answer)
{
	struct daemon d = {
	    .answer = answer, .progress = "{\"state\": \"done\", \"text\": \"web1 runs\"}"};
	char *text = must_alloc(4096);
	FILE *file = tmpfile();
	assert_non_null(file);
	fflush(stdout);
	int terminal = dup(STDOUT_FILENO);
	dup2(fileno(file), STDOUT_FILENO);
	int status = PVC(&d, "vm", "start", "web1", "--wait");
	fflush(stdout);
	dup2(terminal, STDOUT_FILENO);
	close(terminal);
	assert_int_equal(status, CLI_DONE);
	rewind(file);
	text[fread(text, 1, 4095, file)] = 0;
	fclose(file);
	return text;
}

static void a_state_that_is_waited_for_is_said_once(void **state)
{
	char *said =
	    waited_for("{\"name\": \"web1\", \"state\": \"start\", \"message\": \"web1: start\"}");
	assert_string_equal(said, "web1 runs\n");
	free(said);
	said =
	    waited_for("{\"name\": \"web1\", \"state\": \"start\", \"message\": \"web1: start\", "
		       "\"warning\": \"no room is left\"}");
	assert_string_equal(said, "warning: no room is left\nweb1 runs\n");
	free(said);
	/* What the last word does not tell. */
	said = waited_for("{\"message\": \"voters 3\", \"preflight\": {}}");
	assert_string_equal(said, "voters 3\nweb1 runs\n");
	free(said);
}

static void what_failed_in_the_end_does_not(void **state)
{
	struct daemon d = {
	    .answer = ACCEPTED, .progress = "{\"state\": \"failed\", \"text\": \"no such image\"}"};
	assert_int_equal(PVC(&d, "vm", "start", "web1", "--wait"), CLI_REFUSED);
	assert_int_equal(d.looked, 1);
	/* Who does not wait for it does not learn of it. */
	assert_int_equal(PVC(&d, "vm", "start", "web1"), CLI_DONE);
	assert_int_equal(d.looked, 1);
}

static void what_is_not_there_in_time_does_not_either(void **state)
{
	struct daemon d = {.answer = ACCEPTED,
	    .progress = "{\"state\": \"pending\", \"text\": \"web1 is being started\"}"};
	int status = PVC(&d, "vm", "start", "web1", "--wait", "--timeout", "1s");
	assert_int_equal(status, CLI_REFUSED);
	assert_true(d.looked > 0);
}

static void a_daemon_that_is_gone_for_good_is_said(void **state)
{
	struct daemon d = {.answer = ACCEPTED};
	int status = PVC(&d, "vm", "start", "web1", "--wait", "--timeout", "1s");
	assert_int_equal(status, CLI_UNREACHABLE);
	assert_true(d.looked > 0);
}

static void what_is_refused_is_not_waited_for(void **state)
{
	struct daemon d = {.answer = "{\"code\": \"not_found\", \"message\": \"no such VM\"}"};
	assert_int_equal(PVC(&d, "vm", "start", "web1", "--wait"), CLI_REFUSED);
	assert_int_equal(d.looked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_has_come_about_ends_with_0),
	    cmocka_unit_test(what_failed_in_the_end_does_not),
	    cmocka_unit_test(what_is_not_there_in_time_does_not_either),
	    cmocka_unit_test(a_daemon_that_is_gone_for_good_is_said),
	    cmocka_unit_test(what_is_refused_is_not_waited_for),
	    cmocka_unit_test(a_state_that_is_waited_for_is_said_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
