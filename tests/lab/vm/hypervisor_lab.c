/* The hypervisor's worker with a real libvirt and a real QEMU.
 *
 *   hypervisor_lab embed DIR      libvirt's embedded driver, its root is DIR/root
 *   hypervisor_lab system DIR     a libvirtd of our own, started by vm/hypervisor
 *
 * DIR has guest.img and guest.xml, whose name is "guest" and whose serial
 * port goes to DIR/guest.log. The tests are one story: each goes on where the
 * last one stopped. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/worker/domain.h"
#include "node/worker/hypervisor_client.h"
#include "node/worker/worker_main.h"

#define PATIENCE_MS 120000 /* QEMU on a busy machine */

extern char **environ;

struct outcome {
	bool answered;
	int status;
	struct err err;
	struct hypervisor_vm vms[8];
	unsigned n;
};

static uv_loop_t loop;
static uv_timer_t alarm_timer;
static struct hypervisor_client *client;
static const char *directory;
static bool embedded;
static bool late;
static char xml[16384];
static struct domain guest;

static void on_alarm(uv_timer_t *timer)
{
	late = true;
}

static void on_told(void *data, enum worker_event event, const char *text)
{
	printf("# %s\n", text);
}

/* Let the loop run until *condition, or for ms. */
static void run_for(const bool *condition, unsigned ms)
{
	late = false;
	uv_timer_start(&alarm_timer, on_alarm, ms, 0);
	while (!late && !(condition && *condition))
		uv_run(&loop, UV_RUN_ONCE);
	uv_timer_stop(&alarm_timer);
	if (condition && !*condition)
		fail_msg("waited %u ms in vain", ms);
}

static void on_ordered(void *data, int status, const struct err *err)
{
	struct outcome *o = data;
	*o = (struct outcome){.answered = true, .status = status, .err = *err};
}

static void on_listed(void *data, const struct hypervisor_listing *listing)
{
	struct outcome *o = data;
	*o = (struct outcome){.answered = true, .status = listing->status, .err = *listing->err};
	for (; o->n < listing->n && o->n < 8; o->n++)
		o->vms[o->n] = listing->vms[o->n];
}

static struct outcome order_within(
    enum hypervisor_op op, const char *uuid, const char *text, unsigned deadline_ms)
{
	struct outcome o = {0};
	uint64_t from_ns = uv_hrtime();
	assert_int_equal(hypervisor_order(client, &(struct hypervisor_order){.op = op,
						      .uuid = uuid,
						      .xml = text,
						      .deadline_ms = deadline_ms,
						      .done = on_ordered,
						      .data = &o}),
	    0);
	run_for(&o.answered, PATIENCE_MS);
	printf("# %s: %d %s (%.0f ms)\n", hypervisor_op_name(op), o.status, o.err.text,
	    (double)(uv_hrtime() - from_ns) / 1e6);
	return o;
}

static struct outcome order(enum hypervisor_op op, const char *uuid, const char *text)
{
	return order_within(op, uuid, text, PATIENCE_MS);
}

static void order_well(enum hypervisor_op op)
{
	struct outcome o = order(op, guest.uuid, xml);
	if (o.status != 0)
		fail_msg("%s: %s", hypervisor_op_name(op), o.err.text);
}

static struct outcome list_within(unsigned deadline_ms)
{
	struct outcome o = {0};
	assert_int_equal(hypervisor_list(client, deadline_ms, on_listed, &o), 0);
	run_for(&o.answered, PATIENCE_MS);
	return o;
}

static struct outcome list(void)
{
	struct outcome o = list_within(PATIENCE_MS);
	if (o.status != 0)
		fail_msg("list: %s", o.err.text);
	return o;
}

static void assert_one(const struct outcome *o, enum vm_observed observed)
{
	assert_int_equal(o->n, 1);
	assert_string_equal(o->vms[0].uuid, guest.uuid);
	assert_string_equal(o->vms[0].name, guest.name);
	assert_int_equal(o->vms[0].observed, observed);
	assert_int_equal(o->vms[0].memory_mib, 4);
	assert_int_equal(o->vms[0].vcpus, 1);
}

static void await_listed(unsigned n)
{
	uint64_t until_ns = uv_hrtime() + PATIENCE_MS * 1000000ull;
	while (list().n != n) {
		if (uv_hrtime() > until_ns)
			fail_msg("never came to list %u VMs", n);
		run_for(NULL, 50);
	}
}

static void path_in(char path[512], const char *name)
{
	snprintf(path, 512, "%s/%s", directory, name);
}

static size_t file_read(const char *path, char *text, size_t capacity)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, capacity - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static unsigned ticks(void)
{
	static char log[1 << 20];
	char path[512];
	unsigned n = 0;
	path_in(path, "guest.log");
	file_read(path, log, sizeof(log));
	for (const char *at = log; (at = strstr(at, "tick ")); at++)
		n++;
	return n;
}

static void await_ticks(unsigned more)
{
	unsigned before = ticks();
	uint64_t until_ns = uv_hrtime() + PATIENCE_MS * 1000000ull;
	while (ticks() < before + more) {
		if (uv_hrtime() > until_ns)
			fail_msg("the guest does not tick");
		run_for(NULL, 50);
	}
}

/* Of the guest's QEMU, from the file that libvirt keeps. */
static pid_t qemu_pid(void)
{
	char path[512], text[32];
	path_in(path, "root/run/qemu/guest.pid");
	file_read(embedded ? path : "/run/libvirt/qemu/guest.pid", text, sizeof(text));
	pid_t pid = (pid_t)strtol(text, NULL, 10);
	assert_true(pid > 1);
	return pid;
}

static int command(char *const argv[])
{
	pid_t pid;
	int status;
	assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void client_begin(void)
{
	char uri[600] = "qemu:///system";
	if (embedded)
		snprintf(uri, sizeof(uri), "qemu:///embed?root=%s/root", directory);
	client = hypervisor_client_new(&(struct hypervisor_client_options){
	    .loop = &loop, .driver = "libvirt", .uri = uri, .told = on_told});
}

static void on_closed(void *data)
{
	*(bool *)data = true;
}

static void client_end(void)
{
	bool closed = false;
	hypervisor_client_close(client, on_closed, &closed);
	run_for(&closed, PATIENCE_MS);
}

static int group_begin(void **state)
{
	char path[512];
	struct err err;
	path_in(path, "guest.xml");
	size_t size = file_read(path, xml, sizeof(xml));
	if (domain_read(xml, size, &guest, &err) != 0)
		fail_msg("%s: %s", path, err.text);
	client_begin();
	return 0;
}

static int group_end(void **state)
{
	order(HYPERVISOR_stop, guest.uuid, NULL);
	client_end();
	return 0;
}

static void a_new_hypervisor_has_no_vms(void **state)
{
	assert_int_equal(list().n, 0);
}

/* The guest's XML with every "from" in it replaced; from and to have the same length. */
static const char *xml_changed(const char *from, const char *to)
{
	static char wrong[sizeof(xml)];
	memcpy(wrong, xml, sizeof(wrong));
	assert_int_equal(strlen(from), strlen(to));
	assert_non_null(strstr(wrong, from));
	for (char *at = wrong; (at = strstr(at, from)); at++)
		memcpy(at, to, strlen(to));
	return wrong;
}

static void validate_refuses_what_start_would_refuse_and_leaves_nothing(void **state)
{
	static const char *const changes[][2] = {
	    {"on_crash", "on_krash"}, /* libvirt's schema */
	    {"<acpi/>", "<acip/>"}, /* the same, deeper down */
	    {"'pc'", "'cp'"}, /* a machine that QEMU does not know */
	    {"x86_64'", "x68_46'"}, /* nor this */
	    {"</domain>", "</niamod>"}, /* no XML at all */
	};
	order_well(HYPERVISOR_validate);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const char *wrong = xml_changed(changes[i][0], changes[i][1]);
		struct outcome o = order(HYPERVISOR_validate, "", wrong);
		assert_int_not_equal(o.status, 0);
		assert_int_not_equal(o.err.text[0], '\0');
		assert_int_not_equal(order(HYPERVISOR_start, guest.uuid, wrong).status, 0);
	}
	assert_int_equal(list().n, 0);
}

static void xml_of_another_vm_is_not_started(void **state)
{
	struct outcome o = order(HYPERVISOR_start, "22222222-0000-4000-8000-0000000000ff", xml);
	assert_int_equal(o.status, -EINVAL);
	assert_int_equal(list().n, 0);
}

static void a_guest_starts_and_ticks(void **state)
{
	order_well(HYPERVISOR_start);
	struct outcome o = list();
	assert_one(&o, OBSERVED_RUNNING);
	await_ticks(2);
}

static void to_start_it_again_changes_nothing(void **state)
{
	pid_t pid = qemu_pid();
	order_well(HYPERVISOR_start);
	assert_int_equal(qemu_pid(), pid);
	assert_int_equal(list().n, 1);
}

static void a_guest_that_ignores_the_power_button_goes_on(void **state)
{
	order_well(HYPERVISOR_shutdown);
	await_ticks(1);
	struct outcome o = list();
	assert_one(&o, OBSERVED_RUNNING);
}

static void the_guest_outlives_its_worker_and_is_adopted_by_the_next(void **state)
{
	pid_t pid = qemu_pid();
	assert_int_equal(kill(hypervisor_client_status(client).pid, SIGKILL), 0);
	/* The first may meet the dead one. */
	struct outcome o = list_within(PATIENCE_MS);
	assert_true(o.status == 0 || o.status == -EPIPE);
	o = list();
	assert_one(&o, OBSERVED_RUNNING);
	assert_int_equal(qemu_pid(), pid);
	await_ticks(2);
	assert_int_equal(hypervisor_client_status(client).starts, 2);
}

static void the_guest_outlives_an_orderly_end_as_well(void **state)
{
	pid_t pid = qemu_pid();
	client_end();
	await_ticks(1);
	client_begin();
	struct outcome o = list();
	assert_one(&o, OBSERVED_RUNNING);
	assert_int_equal(qemu_pid(), pid);
}

static void a_frozen_worker_is_killed_at_its_deadline_and_replaced(void **state)
{
	list();
	int pid = hypervisor_client_status(client).pid;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	struct outcome o = list_within(200);
	assert_int_equal(o.status, -ETIMEDOUT);
	o = list();
	assert_one(&o, OBSERVED_RUNNING);
	assert_int_not_equal(hypervisor_client_status(client).pid, pid);
}

static void a_frozen_qemu_does_not_stop_the_list_and_can_be_stopped(void **state)
{
	pid_t pid = qemu_pid();
	assert_int_equal(kill(pid, SIGSTOP), 0);
	struct outcome o = list_within(5000);
	assert_int_equal(o.status, 0);
	assert_int_equal(o.n, 1);
	order_well(HYPERVISOR_stop);
	await_listed(0);
	assert_int_equal(kill(pid, 0), -1);
}

static void what_does_not_run_can_be_stopped_and_shut_down(void **state)
{
	order_well(HYPERVISOR_stop);
	order_well(HYPERVISOR_shutdown);
}

static void a_guest_that_dies_leaves_nothing_behind(void **state)
{
	order_well(HYPERVISOR_start);
	assert_int_equal(kill(qemu_pid(), SIGKILL), 0);
	await_listed(0);
	order_well(HYPERVISOR_start);
	order_well(HYPERVISOR_stop);
	await_listed(0);
}

static void a_root_in_use_is_refused_until_it_is_free(void **state)
{
	struct hypervisor_client *first = client;
	client_begin();
	struct outcome o = list_within(PATIENCE_MS);
	assert_int_equal(o.status, -ENOTRECOVERABLE);
	assert_non_null(strstr(o.err.text, "driver.pid"));
	struct hypervisor_client *second = client;
	client = first;
	client_end();
	client = second;
	/* This may meet the process that is about to leave. */
	o = list_within(PATIENCE_MS);
	assert_true(o.status == 0 || o.status == -EPIPE);
	assert_int_equal(list().n, 0);
}

static void a_definition_of_somebody_else_is_used_and_kept(void **state)
{
	char path[512];
	path_in(path, "guest.xml");
	assert_int_equal(command((char *[]){"virsh", "-q", "define", path, NULL}), 0);
	struct outcome o = list();
	assert_one(&o, OBSERVED_SHUTOFF);
	order_well(HYPERVISOR_start);
	o = list();
	assert_one(&o, OBSERVED_RUNNING);
	order_well(HYPERVISOR_stop);
	o = list();
	assert_one(&o, OBSERVED_SHUTOFF);
	assert_int_equal(command((char *[]){"virsh", "-q", "undefine", "guest", NULL}), 0);
	assert_int_equal(list().n, 0);
}

static void a_paused_guest_is_seen_as_paused(void **state)
{
	order_well(HYPERVISOR_start);
	assert_int_equal(command((char *[]){"virsh", "-q", "suspend", "guest", NULL}), 0);
	struct outcome o = list();
	assert_one(&o, OBSERVED_PAUSED);
	assert_int_equal(command((char *[]){"virsh", "-q", "resume", "guest", NULL}), 0);
	o = list();
	assert_one(&o, OBSERVED_RUNNING);
}

static void libvirtd_may_be_killed_and_started_again(void **state)
{
	char script[512];
	snprintf(script, sizeof(script), "%s/libvirtd", directory);
	int pid = hypervisor_client_status(client).pid;
	assert_int_equal(command((char *[]){script, "kill", NULL}), 0);
	assert_int_not_equal(list_within(PATIENCE_MS).status, 0);
	assert_int_equal(command((char *[]){script, "start", NULL}), 0);
	struct outcome o = list();
	assert_one(&o, OBSERVED_RUNNING);
	await_ticks(1);
	assert_int_equal(hypervisor_client_status(client).pid, pid);
}

static void a_stopped_libvirtd_costs_a_deadline_and_nothing_else(void **state)
{
	char script[512];
	snprintf(script, sizeof(script), "%s/libvirtd", directory);
	assert_int_equal(command((char *[]){script, "freeze", NULL}), 0);
	assert_int_equal(list_within(300).status, -ETIMEDOUT);
	assert_int_equal(list_within(300).status, -ETIMEDOUT);
	assert_int_equal(command((char *[]){script, "thaw", NULL}), 0);
	struct outcome o = list();
	assert_one(&o, OBSERVED_RUNNING);
}

#define EVERYWHERE                                                                                 \
	cmocka_unit_test(a_new_hypervisor_has_no_vms),                                             \
	    cmocka_unit_test(validate_refuses_what_start_would_refuse_and_leaves_nothing),         \
	    cmocka_unit_test(xml_of_another_vm_is_not_started),                                    \
	    cmocka_unit_test(a_guest_starts_and_ticks),                                            \
	    cmocka_unit_test(to_start_it_again_changes_nothing),                                   \
	    cmocka_unit_test(a_guest_that_ignores_the_power_button_goes_on),                       \
	    cmocka_unit_test(the_guest_outlives_its_worker_and_is_adopted_by_the_next),            \
	    cmocka_unit_test(the_guest_outlives_an_orderly_end_as_well),                           \
	    cmocka_unit_test(a_frozen_worker_is_killed_at_its_deadline_and_replaced),              \
	    cmocka_unit_test(a_frozen_qemu_does_not_stop_the_list_and_can_be_stopped),             \
	    cmocka_unit_test(what_does_not_run_can_be_stopped_and_shut_down),                      \
	    cmocka_unit_test(a_guest_that_dies_leaves_nothing_behind)

static const struct CMUnitTest of_embedded[] = {
    EVERYWHERE,
    cmocka_unit_test(a_root_in_use_is_refused_until_it_is_free),
};
static const struct CMUnitTest of_system[] = {
    EVERYWHERE,
    cmocka_unit_test(a_definition_of_somebody_else_is_used_and_kept),
    cmocka_unit_test(a_paused_guest_is_seen_as_paused),
    cmocka_unit_test(libvirtd_may_be_killed_and_started_again),
    cmocka_unit_test(a_stopped_libvirtd_costs_a_deadline_and_nothing_else),
};

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return worker_main(argc - 1, argv + 1);
	if (argc != 3) {
		fprintf(stderr, "usage: hypervisor_lab embed|system DIR\n");
		return 2;
	}
	embedded = strcmp(argv[1], "embed") == 0;
	directory = argv[2];
	uv_loop_init(&loop);
	uv_timer_init(&loop, &alarm_timer);
	if (embedded)
		return cmocka_run_group_tests(of_embedded, group_begin, group_end);
	return cmocka_run_group_tests(of_system, group_begin, group_end);
}
