/* What can be asked of VMs, and of the VMs of a node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fsm/vm.h"
#include "tests/unit/stage.h"

static int open_stage(void **state)
{
	struct stage *s = must_alloc(sizeof(*s));
	stage_open(s);
	stage_node(s, 2, "hv2");
	*state = s;
	return 0;
}

static int close_stage(void **state)
{
	stage_close(*state);
	free(*state);
	return 0;
}

/* What stands for FILE in a line. */
static const char *xml_text = STAGE_WEB1;

static void parse(const char *line, struct operation_call *call)
{
	char text[512], *rest = text;
	const char *words[24];
	unsigned n = 0;
	struct err err = {""};
	snprintf(text, sizeof(text), "%s", line);
	for (char *word; (word = strsep(&rest, " ")) && n < 24;)
		words[n++] = word;
	int result = operation_parse(words, n, call, &err);
	assert_string_equal(err.text, result ? err.text : "");
	assert_int_equal(result, 0);
	if (json_object_get(call->arguments, "xml"))
		json_object_set_new(call->arguments, "xml", json_string(xml_text));
}

static struct stage_answer run(struct stage *s, const char *line)
{
	struct operation_call call;
	struct stage_answer answer = {0};
	parse(line, &call);
	operation_run(&s->context, &call, stage_done, &answer);
	operation_call_close(&call);
	return answer;
}

/* It is done, and says that; NULL: whatever. */
static void says(struct stage *s, const char *line, const char *message)
{
	struct stage_answer answer = run(s, line);
	assert_string_equal(answer.err.text, "");
	assert_int_equal(answer.status, 0);
	const char *text = json_string_value(json_object_get(answer.result, "message"));
	if (message)
		assert_string_equal(text, message);
	json_decref(answer.result);
}

static void refused(struct stage *s, const char *line, int status, const char *message)
{
	struct stage_answer answer = run(s, line);
	assert_null(answer.result);
	assert_string_equal(answer.err.text, message);
	assert_int_equal(answer.status, status);
}

/* A member of what `vm info web1` answers, as JSON. */
static void info(struct stage *s, const char *member, const char *wanted)
{
	struct stage_answer answer = run(s, "vm info web1");
	char *text = json_dumps(json_object_get(answer.result, member), JSON_ENCODE_ANY);
	assert_string_equal(text, wanted);
	free(text);
	json_decref(answer.result);
}

static unsigned listed(struct stage *s, const char *line)
{
	struct stage_answer answer = run(s, line);
	unsigned n = (unsigned)json_array_size(answer.result);
	json_decref(answer.result);
	return n;
}

static struct operation_progress waits(
    struct stage *s, const char *line, int wanted, const char *text)
{
	struct operation_call call;
	struct operation_progress progress;
	parse(line, &call);
	assert_int_equal(operation_progress(&s->context, &call, &progress), 0);
	assert_string_equal(progress.text, text);
	assert_int_equal(progress.state, wanted);
	operation_call_close(&call);
	return progress;
}

static void both_tick(struct stage *s)
{
	stage_tick(s, 1, 1000, COLLECTOR_OK);
	stage_tick(s, 2, 0, COLLECTOR_OK);
}

static struct vm *web1(struct stage *s)
{
	return cluster_vm_named(&s->cluster, "web1");
}

/* It is defined on hv1, started and seen running. */
static void start_web1(struct stage *s)
{
	says(s, "vm define web1.xml --node hv1", NULL);
	says(s, "vm start web1", "web1: start, on hv1");
	both_tick(s);
	assert_int_equal(web1(s)->observed, OBSERVED_RUNNING);
}

static void what_is_said_at_define_is_kept(void **state)
{
	struct stage *s = *state;
	says(s,
	    "vm define web1.xml --node hv2 --limit hv2,hv1 --selector load --method shutdown "
	    "--autostart --priority 7 --tag web,prod,web",
	    "web1 is defined on hv2");
	info(s, "limit", "[\"hv1\", \"hv2\"]");
	info(s, "selector", "\"load\"");
	info(s, "method", "\"shutdown\"");
	info(s, "autostart", "true");
	info(s, "priority", "7");
	info(s, "tags", "[\"web\", \"prod\"]");
	assert_int_equal(listed(s, "vm list --tag prod"), 1);
	assert_int_equal(listed(s, "vm list --tag pro"), 0);
	assert_int_equal(listed(s, "vm list --observed unknown"), 1);
	assert_int_equal(listed(s, "vm list --observed running"), 0);
	assert_int_equal(listed(s, "vm list --node hv1"), 0);
}

static void what_is_wrong_with_it_is_told(void **state)
{
	struct stage *s = *state;
	refused(s, "vm define web1.xml --limit hv1,hv11", -ENOENT,
	    "limit: there is no node hv11 (did you mean 'hv1'?)");
	refused(s, "vm define web1.xml --limit hv1,hv1", -EINVAL, "limit: hv1 is given twice");
	refused(s, "vm define web1.xml --tag a/b", -EINVAL,
	    "'a/b' is no tag: at most 31 letters, digits, '-', '_' and '.', the first a letter or "
	    "digit");
	refused(
	    s, "vm define web1.xml --priority 4294967296", -EINVAL, "priority: at most 4294967295");
	assert_int_equal(listed(s, "vm list"), 0);
}

static void a_vm_that_is_provisioned_is_not_started_before_a_stop(void **state)
{
	struct stage *s = *state;
	says(s, "vm define web1.xml --node hv1 --provision", NULL);
	info(s, "state", "\"provision\"");
	struct stage_answer answer = run(s, "vm start web1");
	assert_int_equal(answer.status, -EBUSY);
	says(s, "vm stop web1", "web1: stop, on hv1");
	says(s, "vm start web1", "web1: start, on hv1");
}

static void only_what_is_given_is_described_anew(void **state)
{
	struct stage *s = *state;
	says(s, "vm define web1.xml --node hv1 --limit hv1 --priority 7 --autostart --tag a", NULL);
	refused(s, "vm meta web1", -EINVAL,
	    "vm meta: say what is to change: --limit, --no-limit, --selector, --method, "
	    "--autostart or --priority");
	refused(s, "vm meta web1 --limit hv1 --no-limit", -EINVAL,
	    "vm meta: --limit and --no-limit are one too many");
	says(s, "vm meta web1 --autostart no --method none", "web1 is described anew");
	info(s, "autostart", "false");
	info(s, "method", "\"none\"");
	info(s, "priority", "7");
	info(s, "limit", "[\"hv1\"]");
	info(s, "tags", "[\"a\"]");
	says(s, "vm meta web1 --no-limit --autostart yes", NULL);
	info(s, "limit", "[]");
	info(s, "autostart", "true");
}

static void tags_come_and_go(void **state)
{
	struct stage *s = *state;
	says(s, "vm define web1.xml --node hv1 --tag a", NULL);
	says(s, "vm tag add web1 b c a", "web1 has a b c");
	says(s, "vm tag remove web1 a c", "web1 has b");
	refused(s, "vm tag remove web1 c", -ENOENT, "web1: it has no tag c");
	says(s, "vm tag remove web1 b", "web1 has no tags");
	info(s, "tags", "[]");
}

static void another_name_is_in_the_xml_as_well(void **state)
{
	struct stage *s = *state;
	start_web1(s);
	refused(s, "vm rename web9 web2", -ENOENT, "there is no VM web9 (did you mean 'web1'?)");
	refused(
	    s, "vm rename web1 web2", -EBUSY, "web1 is not off (start, running): stop it first");
	says(s, "vm stop web1", NULL);
	both_tick(s);
	refused(s, "vm rename web1 a/b", -EINVAL,
	    "'a/b' is no name of a VM: at most 63 bytes, no '/' and no control character, not . or "
	    "..");
	says(s, "vm rename web1 web<2", "web1 is web<2 from now on");
	const struct vm *vm = cluster_vm_named(&s->cluster, "web<2");
	assert_non_null(vm);
	assert_non_null(memmem(vm->xml.data, vm->xml.size, "<name>web&lt;2</name>", 21));
}

static void other_xml_is_of_the_same_vm(void **state)
{
	struct stage *s = *state;
	static const char larger[] =
	    "<domain><name>web1</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>"
	    "<memory unit='MiB'>1024</memory><vcpu>3</vcpu></domain>";
	start_web1(s);
	char hash[32], line[80];
	snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)web1(s)->xml_hash);
	xml_text = "<domain>\n<name>web2</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>"
		   "<memory>1</memory></domain>";
	refused(s, "vm modify web1 a.xml", -EINVAL,
	    "line 2: this is the XML of web2, not of web1: pvc vm rename gives it another name");
	xml_text = "<domain>\n<name>web1</name>\n<uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa1</uuid>"
		   "<memory>1</memory></domain>";
	refused(s, "vm modify web1 a.xml", -EINVAL,
	    "line 3: the UUID of web1 is 4dea22b3-1d52-d8f3-2516-782e98ab3fa0, and stays so: "
	    "another is another VM");
	xml_text = larger;
	snprintf(line, sizeof(line), "vm modify web1 a.xml --expect %s", hash);
	says(s, line, "web1 is modified; it runs as it was started until it is started anew");
	info(s, "memory_mib", "1024");
	info(s, "vcpus", "3");
	struct stage_answer late = run(s, line);
	assert_int_equal(late.status, -ESTALE);
	xml_text = STAGE_WEB1;
	refused(s, "vm modify web1 a.xml", -EBUSY,
	    "web1 has 1024 MiB and is not off: it can get less, 512 MiB, only while it is");
}

/* The first says no, the second does not answer. */
static void validate(void *data, const char *xml, context_checked done, void *done_data)
{
	static unsigned asked;
	struct err err;
	if (asked++ == 0)
		done(done_data, -EINVAL, (err_set(&err, 0, "no such machine"), &err));
	else
		done(done_data, -ETIMEDOUT, (err_set(&err, 0, "no answer within 5 s"), &err));
}

static void the_hypervisor_is_heard_but_not_waited_for(void **state)
{
	struct stage *s = *state;
	s->context.validate = validate;
	refused(s, "vm define web1.xml", -EINVAL,
	    "the hypervisor of hv1 would not start it: no such machine");
	struct stage_answer answer = run(s, "vm define web1.xml");
	assert_int_equal(answer.status, 0);
	assert_string_equal(json_string_value(json_object_get(answer.result, "warning")),
	    "the XML was not shown to the hypervisor: no answer within 5 s");
	json_decref(answer.result);
}

static void migrated(struct stage *s)
{
	struct command command = {.number = COMMAND_vm_migrated};
	command.vm_migrated.node = web1(s)->node;
	command.vm_migrated.vm = web1(s)->id;
	command.vm_migrated.generation = web1(s)->generation;
	struct err err = {""};
	stage_apply(s, &command, &err);
	assert_string_equal(err.text, "");
}

static void failed(struct stage *s, const char *reason)
{
	struct command command = {.number = COMMAND_vm_migrate_failed};
	command.vm_migrate_failed.node = web1(s)->node;
	command.vm_migrate_failed.vm = web1(s)->id;
	command.vm_migrate_failed.generation = web1(s)->generation;
	snprintf(command.vm_migrate_failed.reason, sizeof(command.vm_migrate_failed.reason), "%s",
	    reason);
	struct err err = {""};
	stage_apply(s, &command, &err);
	assert_string_equal(err.text, "");
}

/* A keepalive of hv1 with how far web1's migration is. */
static void tell_movement(struct stage *s, uint64_t generation)
{
	struct command command = {.number = COMMAND_tick};
	struct movement movement = {.vm = web1(s)->id,
	    .generation = generation,
	    .percent = 43,
	    .left_mib = 120,
	    .rate_mib_s = 110};
	struct keepalive keepalive = {
	    .node = 1, .memory_total_mib = 8192, .movements = {&movement, 1}};
	command.tick.keepalives.items = &keepalive;
	command.tick.keepalives.count = 1;
	stage_apply(s, &command, NULL);
}

static void a_migration_is_waited_for_to_its_end(void **state)
{
	struct stage *s = *state;
	start_web1(s);
	says(s, "vm migrate web1", "web1: migrate, from hv1 to hv2");
	struct operation_progress p =
	    waits(s, "vm migrate web1", PROGRESS_PENDING, "web1: migrate, from hv1 to hv2");
	assert_int_equal(p.movement.vm, 0);
	tell_movement(s, web1(s)->generation - 1);
	p = waits(s, "vm migrate web1", PROGRESS_PENDING, "web1: migrate, from hv1 to hv2");
	assert_int_equal(p.movement.vm, 0);
	tell_movement(s, web1(s)->generation);
	p = waits(
	    s, "vm migrate web1 --node hv2", PROGRESS_PENDING, "web1: migrate, from hv1 to hv2");
	assert_int_equal(p.movement.percent, 43);
	info(s, "possible",
	    "[\"start\", \"shutdown\", \"stop\", \"restart\", \"migrate\", \"move\"]");
	says(s, "vm shutdown web1", "web1: migrate, from hv1 to hv2; then shutdown");
	info(s, "queued", "\"shutdown\"");
	waits(s, "vm shutdown web1", PROGRESS_PENDING,
	    "web1: migrate, from hv1 to hv2; then shutdown");
	says(s, "vm start web1", "web1: migrate, from hv1 to hv2, is aborted");
	info(s, "queued", "null");
	migrated(s);
	waits(s, "vm migrate web1", PROGRESS_PENDING, "web1: start, has come to hv2");
	both_tick(s);
	waits(s, "vm migrate web1", PROGRESS_DONE, "web1 runs on hv2");
	waits(s, "vm migrate web1 --node hv1", PROGRESS_FAILED, "web1 is on hv2 still");
	info(s, "home", "\"hv1\"");
	waits(s, "vm unmigrate web1", PROGRESS_FAILED, "web1 is on hv2 still");
	says(s, "vm unmigrate web1", "web1: unmigrate, from hv2 to hv1");
	migrated(s);
	both_tick(s);
	waits(s, "vm unmigrate web1", PROGRESS_DONE, "web1 runs on hv1");
	info(s, "home", "null");
}

static void a_migration_that_fails_says_why(void **state)
{
	struct stage *s = *state;
	start_web1(s);
	says(s, "vm migrate web1 --node hv2 --live-only", NULL);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(web1(s)->target, 2);
		failed(s, "no route to hv2");
		for (unsigned n = 0; n < 4; n++)
			both_tick(s);
	}
	waits(s, "vm migrate web1 --node hv2", PROGRESS_FAILED, "web1 is on hv1: no route to hv2");
	waits(s, "vm migrate web1", PROGRESS_FAILED, "web1 is on hv1: no route to hv2");
	says(s, "vm stop web1", NULL);
	waits(s, "vm migrate web1", PROGRESS_FAILED, "web1: stop is wanted by now");
}

static void what_is_off_moves_at_once(void **state)
{
	struct stage *s = *state;
	says(s, "vm define web1.xml --node hv1", NULL);
	both_tick(s);
	says(s, "vm move web1 hv2", "web1: stop, on hv2");
	waits(s, "vm move web1 hv2", PROGRESS_DONE, "web1 is on hv2");
	waits(s, "vm move web1 hv1", PROGRESS_FAILED, "web1 is on hv2 still");
	refused(s, "vm migrate web1 --node hv1", -EINVAL,
	    "web1 is stopped: only what runs can do that (possible: start, disable, move)");
}

static void a_restart_is_done_when_it_runs_anew(void **state)
{
	struct stage *s = *state;
	start_web1(s);
	says(s, "vm restart web1", "web1: restart, on hv1");
	waits(s, "vm restart web1", PROGRESS_PENDING, "web1: restart, on hv1 (running)");
	both_tick(s);
	waits(s, "vm restart web1", PROGRESS_PENDING, "web1: start, on hv1 (shutoff)");
	both_tick(s);
	waits(s, "vm restart web1", PROGRESS_DONE, "web1 runs on hv1");
}

static void a_flush_is_done_when_nothing_runs_there(void **state)
{
	struct stage *s = *state;
	start_web1(s);
	waits(s, "node flush hv1", PROGRESS_FAILED, "hv1 is in ready by now");
	says(s, "node flush hv1", "hv1 is to be left by its VMs");
	both_tick(s);
	waits(s, "node flush hv1", PROGRESS_PENDING, "hv1 is in flush: 1 VM still there");
	waits(s, "node ready hv1", PROGRESS_FAILED, "hv1 is in flush by now");
	migrated(s);
	both_tick(s);
	both_tick(s);
	waits(s, "node flush hv1", PROGRESS_DONE, "hv1 is flushed: no VM runs there");
	says(s, "node ready hv1", "hv1 is to have VMs again");
	both_tick(s);
	waits(s, "node ready hv1", PROGRESS_PENDING, "hv1 is in unflush: 1 VM to come back");
	migrated(s);
	both_tick(s);
	both_tick(s);
	waits(s, "node ready hv1", PROGRESS_DONE, "hv1 is ready");
}

static void a_flush_goes_on_with_the_others(void **state)
{
	struct stage *s = *state;
	start_web1(s);
	xml_text = "<domain><name>web2</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa2</uuid>"
		   "<memory unit='MiB'>64</memory></domain>";
	says(s, "vm define web2.xml --node hv1 --method none", NULL);
	xml_text = STAGE_WEB1;
	says(s, "vm start web2", NULL);
	both_tick(s);
	says(s, "node flush hv1 --no-shutdown", NULL);
	both_tick(s);
	waits(s, "node flush hv1", PROGRESS_PENDING,
	    "hv1 is in flush: 2 VMs still there; web2: its migration method is none");
	migrated(s);
	both_tick(s);
	waits(s, "node flush hv1", PROGRESS_FAILED,
	    "hv1 is not flushed: web2: its migration method is none");
}

static void a_flush_that_cannot_go_on_names_who_stays(void **state)
{
	struct stage *s = *state;
	start_web1(s);
	says(s, "vm meta web1 --method none", NULL);
	says(s, "node flush hv1 --no-shutdown", NULL);
	both_tick(s);
	waits(s, "node flush hv1", PROGRESS_FAILED,
	    "hv1 is not flushed: web1: its migration method is none");
	says(s, "node flush hv1", NULL);
	both_tick(s);
	assert_int_equal(web1(s)->state, VM_SHUTDOWN);
	info(s, "flushed_off", "true");
	both_tick(s);
	waits(s, "node flush hv1", PROGRESS_DONE, "hv1 is flushed: no VM runs there");
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STAGED(what_is_said_at_define_is_kept),
	    STAGED(what_is_wrong_with_it_is_told),
	    STAGED(a_vm_that_is_provisioned_is_not_started_before_a_stop),
	    STAGED(only_what_is_given_is_described_anew),
	    STAGED(tags_come_and_go),
	    STAGED(another_name_is_in_the_xml_as_well),
	    STAGED(other_xml_is_of_the_same_vm),
	    STAGED(the_hypervisor_is_heard_but_not_waited_for),
	    STAGED(a_migration_is_waited_for_to_its_end),
	    STAGED(a_migration_that_fails_says_why),
	    STAGED(what_is_off_moves_at_once),
	    STAGED(a_restart_is_done_when_it_runs_anew),
	    STAGED(a_flush_is_done_when_nothing_runs_there),
	    STAGED(a_flush_goes_on_with_the_others),
	    STAGED(a_flush_that_cannot_go_on_names_who_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
