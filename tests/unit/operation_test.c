/* Operations: from the words of a command line to what they answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/config/config.h"
#include "node/guess.h"
#include "node/operation/json.h"
#include "tests/unit/stage.h"

static int open_stage(void **state)
{
	struct stage *s = must_alloc(sizeof(*s));
	stage_open(s);
	*state = s;
	return 0;
}

static int close_stage(void **state)
{
	stage_close(*state);
	free(*state);
	return 0;
}

/* The words of a line, parsed. */
static int parse(const char *line, struct operation_call *call, struct err *err)
{
	char text[512], *rest = text;
	const char *words[16];
	unsigned n = 0;
	snprintf(text, sizeof(text), "%s", line);
	for (char *word; (word = strsep(&rest, " ")) && n < 16;)
		words[n++] = word;
	return operation_parse(words, n, call, err);
}

static struct stage_answer run(struct stage *s, const char *line)
{
	struct operation_call call;
	struct stage_answer answer = {0};
	struct err err;
	assert_int_equal(parse(line, &call, &err), 0);
	if (!strncmp(line, "vm define", 9))
		json_object_set_new(call.arguments, "xml", json_string(STAGE_WEB1));
	operation_run(&s->context, &call, stage_done, &answer);
	operation_call_close(&call);
	return answer;
}

/* Runs it, asserts that it is done, and gives the result, which the caller frees. */
static json_t *result_of(struct stage *s, const char *line)
{
	struct stage_answer answer = run(s, line);
	assert_true(answer.done);
	assert_int_equal(answer.status, 0);
	assert_non_null(answer.result);
	return answer.result;
}

static void done(struct stage *s, const char *line)
{
	json_decref(result_of(s, line));
}

static void refused(struct stage *s, const char *line, int status, const char *message)
{
	struct stage_answer answer = run(s, line);
	assert_true(answer.done);
	assert_null(answer.result);
	assert_string_equal(answer.err.text, message);
	assert_int_equal(answer.status, status);
}

static void not_understood(const char *line, const char *message)
{
	struct operation_call call;
	struct err err;
	assert_int_equal(parse(line, &call, &err), -EINVAL);
	assert_string_equal(err.text, message);
	assert_null(call.arguments);
}

/* The names of an object's members, in order. */
static void assert_members(const json_t *object, const char *wanted)
{
	char names[1024] = "";
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		size_t used = strlen(names);
		snprintf(names + used, sizeof(names) - used, "%s%s", used ? " " : "", name);
	}
	assert_string_equal(names, wanted);
}

static const char *text_at(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "(none)";
}

static void every_name_and_every_route_is_there_once(void **state)
{
	for (const struct operation *a = operations; a->name; a++)
		for (const struct operation *b = a + 1; b->name; b++) {
			assert_string_not_equal(a->name, b->name);
			assert_false(a->method == b->method && !strcmp(a->path, b->path));
		}
}

/* "/api/v1/vm/{vm}" needs an argument vm, or no request could be told from it. */
static void what_a_route_names_is_a_needed_argument(void **state)
{
	for (const struct operation *o = operations; o->name; o++) {
		const char *at = o->path;
		while ((at = strchr(at, '{'))) {
			bool found = false;
			size_t size = strcspn(++at, "}");
			for (const struct operation_argument *a = o->arguments; a->name; a++)
				found |= a->kind == ARGUMENT_NEEDED && strlen(a->name) == size &&
					 !strncmp(a->name, at, size);
			assert_true(found);
		}
	}
}

static void what_must_be_confirmed_is_an_argument(void **state)
{
	for (const struct operation *o = operations; o->name; o++) {
		bool found = !o->confirm;
		for (const struct operation_argument *a = o->arguments; a->name; a++)
			found |= o->confirm && !strcmp(a->name, o->confirm);
		assert_true(found);
	}
}

static void words_become_arguments(void **state)
{
	struct operation_call call;
	struct err err;
	assert_int_equal(parse("vm define --node=hv2 web1.xml --selector load", &call, &err), 0);
	assert_string_equal(call.operation->name, "vm define");
	assert_string_equal(text_at(call.arguments, "xml"), "web1.xml");
	assert_string_equal(text_at(call.arguments, "node"), "hv2");
	assert_string_equal(text_at(call.arguments, "selector"), "load");
	operation_call_close(&call);
}

static void what_is_not_given_has_its_preset(void **state)
{
	struct operation_call call;
	struct err err;
	assert_int_equal(parse("vm define web1.xml", &call, &err), 0);
	assert_null(json_object_get(call.arguments, "selector"));
	operation_call_close(&call);
	assert_int_equal(parse("node log hv1", &call, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(call.arguments, "last")), 100);
	operation_call_close(&call);
}

static void waiting_is_for_what_takes_time(void **state)
{
	struct operation_call call;
	struct err err;
	assert_int_equal(parse("vm start web1 --wait --timeout 5m", &call, &err), 0);
	assert_true(call.wait);
	assert_int_equal(call.timeout_ms, 300000);
	assert_null(json_object_get(call.arguments, "wait"));
	operation_call_close(&call);
	assert_int_equal(parse("vm start web1", &call, &err), 0);
	assert_false(call.wait);
	assert_int_equal(call.timeout_ms, 120000);
	operation_call_close(&call);
	not_understood("vm list --wait", "vm list has no option --wait");
	not_understood(
	    "vm start web1 --timeout soon", "--timeout: 'soon' is not a time such as 90s");
}

static void after_two_dashes_nothing_is_an_option(void **state)
{
	struct operation_call call;
	struct err err;
	assert_int_equal(parse("fact set -- --key --value", &call, &err), 0);
	assert_string_equal(text_at(call.arguments, "key"), "--key");
	assert_string_equal(text_at(call.arguments, "value"), "--value");
	operation_call_close(&call);
}

static void a_slip_is_told_with_what_was_meant(void **state)
{
	not_understood(
	    "vm strat web1", "there is no command 'vm strat' (did you mean 'vm start'?)");
	not_understood("stauts", "there is no command 'stauts' (did you mean 'status'?)");
	not_understood("cluster member lits",
	    "there is no command 'cluster member lits' (did you mean 'cluster member list'?)");
	not_understood("make coffee", "there is no command 'make coffee'");
	not_understood(
	    "vm list --stat start", "vm list has no option --stat (did you mean '--state'?)");
	not_understood("vm list --state strat",
	    "vm list: state: 'strat' is not one of stop, start, shutdown, disable, fail, "
	    "restart, migrate, unmigrate, provision (did you mean 'start'?)");
}

static void a_line_that_says_too_little_or_too_much_is_refused(void **state)
{
	not_understood("vm start", "vm start: vm is missing: name or UUID of the VM");
	not_understood(
	    "vm define", "vm define: xml is missing: file with the XML; - reads standard input");
	not_understood("vm start web1 web2", "vm start: 'web2' is one word too many");
	not_understood("vm list --node", "--node wants a value");
	not_understood("vm list --node hv1 --node hv2", "node is given twice");
	not_understood("vm define a.xml --autostrat",
	    "vm define has no option --autostrat (did you mean '--autostart'?)");
	not_understood("vm define a.xml --limit hv1,,hv2",
	    "vm define: limit: 'hv1,,hv2' has an empty word between its commas");
	not_understood(
	    "vm meta web1 --autostart maybe", "vm meta: autostart: 'maybe' is not one of no, yes");
	not_understood("raft hash --cluster=yes", "--cluster takes no value");
	not_understood("raft log --last many", "last: 'many' is not a number");
	not_understood("vm start -x", "vm start has no option -x");
	not_understood("maintenance on --for ever",
	    "maintenance on: for: 'ever' is not a time such as 90s, 30m or 2h");
	not_understood("node fenced hv1",
	    "node fenced: say --by-hand when that is so: I have seen that it is off");
}

static void times_have_a_unit(void **state)
{
	uint64_t ms;
	assert_int_equal(operation_duration("90", &ms), 0);
	assert_int_equal(ms, 90000);
	assert_int_equal(operation_duration("250ms", &ms), 0);
	assert_int_equal(ms, 250);
	assert_int_equal(operation_duration("2h", &ms), 0);
	assert_int_equal(ms, 7200000);
	assert_int_equal(operation_duration("", &ms), -EINVAL);
	assert_int_equal(operation_duration("h", &ms), -EINVAL);
	assert_int_equal(operation_duration("1w", &ms), -EINVAL);
	assert_int_equal(operation_duration("-1s", &ms), -EINVAL);
	assert_int_equal(operation_duration("99999999999d", &ms), -EINVAL);
}

static void read_refuses(const char *name, json_t *arguments, int status, const char *message)
{
	struct operation_call call;
	struct err err;
	assert_int_equal(operation_read(name, arguments, &call, &err), status);
	assert_string_equal(err.text, message);
	json_decref(arguments);
}

static void arguments_that_somebody_sent_are_checked(void **state)
{
	read_refuses(
	    "vm lost", NULL, -ENOENT, "there is no operation 'vm lost' (did you mean 'vm list'?)");
	read_refuses("vm start", NULL, -EINVAL, "vm start: vm is missing: name or UUID of the VM");
	read_refuses(
	    "vm start", json_array(), -EINVAL, "vm start: the arguments are not an object");
	read_refuses(
	    "vm start", json_pack("{s:i}", "vm", 1), -EINVAL, "vm start: vm: must be a text");
	read_refuses("vm start", json_pack("{s:s#}", "vm", "we\0b", 4), -EINVAL,
	    "vm start: vm: must be a text");
	read_refuses("vm start", json_pack("{s:s, s:b}", "vm", "web1", "force", 1), -EINVAL,
	    "vm start: an argument that it does not have");
	read_refuses("raft log", json_pack("{s:i}", "last", -1), -EINVAL,
	    "raft log: last: must be a number");
	read_refuses("raft hash", json_pack("{s:s}", "cluster", "yes"), -EINVAL,
	    "raft hash: cluster: must be true or false");
	read_refuses("node fenced", json_pack("{s:s, s:b}", "node", "hv1", "by_hand", 0), -EINVAL,
	    "node fenced: by-hand: must be true");
}

static void status_has_the_members_that_others_rely_on(void **state)
{
	json_t *status = result_of(*state, "status");
	assert_members(status,
	    "cluster health health_messages maintenance primary raft "
	    "schema_version nodes vms tolerance overprovisioned storage collectors");
	assert_string_equal(text_at(status, "cluster"), "prod");
	const json_t *primary = json_object_get(status, "primary");
	assert_members(primary, "node epoch state since_ms step");
	assert_string_equal(text_at(primary, "node"), "hv1");
	assert_string_equal(text_at(primary, "state"), "primary");
	assert_members(
	    json_object_get(status, "nodes"), "total init run shutdown stop dead fenced");
	json_decref(status);
}

static void node_list_has_the_members_that_others_rely_on(void **state)
{
	struct stage *s = *state;
	done(s, "vm define web1.xml");
	done(s, "vm start web1");
	stage_tick(s, 1, 1000, COLLECTOR_OK);
	json_t *list = result_of(s, "node list");
	const json_t *node = json_array_get(list, 0);
	assert_members(node,
	    "name id mode daemon_state coordinator_state domain_state "
	    "domain_reason keepalive_age_ms keepalive_late_ms load vcpus memory vms_running "
	    "version collectors");
	assert_string_equal(text_at(node, "mode"), "coordinator");
	assert_string_equal(text_at(node, "version"), "1.2.3");
	const json_t *memory = json_object_get(node, "memory");
	assert_members(memory, "total used free allocated provisioned promisable overprovisioned");
	assert_int_equal(json_integer_value(json_object_get(memory, "allocated")), 512);
	assert_int_equal(json_integer_value(json_object_get(memory, "total")), 8192);
	assert_members(json_object_get(node, "vcpus"), "total allocated");
	assert_int_equal(json_integer_value(json_object_get(node, "vms_running")), 1);
	const json_t *collectors = json_object_get(node, "collectors");
	assert_members(json_object_get(collectors, "hypervisor"), "age_ms state kills");
	json_decref(list);
}

static void vm_list_has_the_members_that_others_rely_on(void **state)
{
	struct stage *s = *state;
	done(s, "vm define web1.xml");
	json_t *list = result_of(s, "vm list");
	const json_t *vm = json_array_get(list, 0);
	assert_members(vm, "name uuid state observed node last_node target home queued generation "
			   "memory_mib vcpus autostart tags failed_reason");
	assert_string_equal(text_at(vm, "node"), "hv1");
	assert_true(json_is_null(json_object_get(vm, "last_node")));
	json_decref(list);
	list = result_of(s, "vm list --state start");
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	list = result_of(s, "vm list --node hv1 --state stop");
	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
}

static void a_vm_is_placed_as_configured_unless_somebody_says_how(void **state)
{
	static struct config config = {.system.migration.target_selector = SELECTOR_VCPUS};
	struct stage *s = *state;
	s->context.config = &config;
	done(s, "vm define web1.xml");
	json_t *info = result_of(s, "vm info web1");
	assert_string_equal(text_at(info, "selector"), "vcpus");
	json_decref(info);
}

static void a_vm_goes_from_its_xml_to_nothing(void **state)
{
	struct stage *s = *state;
	json_t *defined = result_of(s, "vm define web1.xml --node hv1 --selector load");
	assert_string_equal(text_at(defined, "message"), "web1 is defined on hv1");
	json_decref(defined);
	refused(s, "vm define web1.xml", -EEXIST, "line 1: there is a VM web1 already");
	json_t *dump = result_of(s, "vm dump web1");
	assert_string_equal(text_at(dump, "xml"), STAGE_WEB1);
	json_decref(dump);
	json_t *info = result_of(s, "vm info 4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
	assert_string_equal(text_at(info, "selector"), "load");
	json_decref(info);
	done(s, "vm start web1");
	refused(s, "vm undefine web1", -EBUSY, "web1 is not off (start, unknown): stop it first");
	done(s, "vm stop web1");
	stage_tick(s, 1, 1000, COLLECTOR_OK);
	done(s, "vm disable web1");
	refused(s, "vm start web1", -EPERM,
	    "web1 is disabled: stop enables it again (possible: stop, move)");
	stage_tick(s, 1, 1000, COLLECTOR_OK);
	done(s, "vm undefine web1");
	refused(s, "vm info web1", -ENOENT, "there is no VM web1");
}

static void a_name_that_there_is_not_is_told_with_one_that_there_is(void **state)
{
	struct stage *s = *state;
	done(s, "vm define web1.xml");
	refused(s, "vm start web9", -ENOENT, "there is no VM web9 (did you mean 'web1'?)");
	refused(s, "vm start mail", -ENOENT, "there is no VM mail");
	refused(s, "vm list --node hv11", -ENOENT, "there is no node hv11 (did you mean 'hv1'?)");
}

static void what_the_log_refuses_is_told_in_its_words(void **state)
{
	struct stage *s = *state;
	refused(
	    s, "node fenced hv1 --by-hand", -EBUSY, "hv1 sent a keepalive 0 ms ago: it is not off");
	s->refuse = -ENOTCONN;
	refused(s, "maintenance on", -ENOTCONN, "maintenance on: no leader");
	s->refuse = -ETIMEDOUT;
	refused(s, "maintenance on", -ETIMEDOUT, "maintenance on: no answer in time");
	assert_true(*operation_hint(-ETIMEDOUT));
}

static void operations_without_a_log_say_so(void **state)
{
	refused(*state, "raft log", -EIO, "this node's log is not open: the disk is full");
	json_t *status = result_of(*state, "raft status");
	assert_string_equal(text_at(status, "role"), "closed");
	assert_string_equal(text_at(status, "failure"), "the disk is full");
	assert_string_equal(text_at(status, "node"), "hv1");
	json_decref(status);
	refused(*state, "raft members", -EIO, "this node's log is not open: the disk is full");
}

static void assert_progress(struct stage *s, const char *line, int wanted, const char *text)
{
	struct operation_call call;
	struct operation_progress progress;
	struct err err;
	assert_int_equal(parse(line, &call, &err), 0);
	assert_int_equal(operation_progress(&s->context, &call, &progress), 0);
	assert_string_equal(progress.text, text);
	assert_int_equal(progress.state, wanted);
	operation_call_close(&call);
}

static void a_start_is_done_when_the_vm_was_seen_running(void **state)
{
	struct stage *s = *state;
	done(s, "vm define web1.xml");
	assert_progress(s, "vm start web1", PROGRESS_FAILED, "web1: stop is wanted by now");
	done(s, "vm start web1");
	assert_progress(s, "vm start web1", PROGRESS_PENDING, "web1: start, on hv1 (unknown)");
	stage_tick(s, 1, 1000, COLLECTOR_OK);
	assert_progress(s, "vm start web1", PROGRESS_DONE, "web1 runs on hv1");
	struct command report = {.number = COMMAND_vm_report};
	report.vm_report.node = report.vm_report.vm = 1;
	report.vm_report.generation = cluster_vm(&s->cluster, 1)->generation;
	report.vm_report.observed = OBSERVED_RUNNING;
	stage_apply(s, &report, NULL);
	/* What is known of it is of before it was wanted again. */
	done(s, "vm stop web1");
	done(s, "vm start web1");
	assert_progress(s, "vm start web1", PROGRESS_PENDING, "web1: start, on hv1 (running)");
	done(s, "vm stop web1");
	assert_progress(s, "vm stop web1", PROGRESS_PENDING, "web1: stop, on hv1 (running)");
	stage_tick(s, 1, 1000, COLLECTOR_OK);
	assert_progress(s, "vm stop web1", PROGRESS_DONE, "web1 is off");
	done(s, "vm undefine web1");
	assert_progress(s, "vm stop web1", PROGRESS_FAILED, "web1 is no longer defined");
}

static void a_new_primary_is_waited_for_step_by_step(void **state)
{
	struct stage *s = *state;
	stage_node(s, 2, "hv2");
	json_t *asked = result_of(s, "node primary hv2");
	assert_string_equal(text_at(asked, "message"), "hv2 is to be the primary");
	json_decref(asked);
	assert_progress(s, "node primary hv2", PROGRESS_PENDING,
	    "hv1 holds the role until leadership has moved");
	struct command takeover = {.number = COMMAND_takeover, .takeover = {2, 8}};
	stage_apply(s, &takeover, NULL);
	assert_progress(s, "node primary hv2", PROGRESS_PENDING, "hv2 is in takeover: begin");
	assert_progress(s, "node secondary hv1", PROGRESS_PENDING, "hv2 is in takeover: begin");
	struct command primary = {.number = COMMAND_primary, .primary = {2, 8}};
	stage_apply(s, &primary, NULL);
	assert_progress(s, "node primary hv2", PROGRESS_DONE, "hv2 is the primary");
	assert_progress(s, "node secondary hv1", PROGRESS_DONE, "hv2 is the primary");
}

static void a_wish_that_was_dropped_is_told(void **state)
{
	struct stage *s = *state;
	stage_node(s, 2, "hv2");
	done(s, "node primary hv2");
	stage_tick(s, 1, 11000, COLLECTOR_OK);
	assert_progress(s, "node primary hv2", PROGRESS_FAILED,
	    "leadership did not move to hv2 in time; hv1 is the primary");
}

static void secondary_finds_who_follows(void **state)
{
	struct stage *s = *state;
	refused(s, "node secondary hv1", -EHOSTDOWN, "no other coordinator runs");
	stage_node(s, 2, "hv2");
	refused(s, "node secondary hv2", -EINVAL, "hv2 is not the primary: hv1 is");
	json_t *asked = result_of(s, "node secondary hv1");
	assert_string_equal(text_at(asked, "message"), "hv2 is to be the primary instead of hv1");
	json_decref(asked);
	assert_int_equal(s->cluster.primary.wanted, 2);
}

/* Is text one of the health messages? */
static bool health_says(struct stage *s, const char *text)
{
	json_t *status = result_of(s, "status");
	size_t i;
	const json_t *message;
	bool found = false;
	json_array_foreach(json_object_get(status, "health_messages"), i, message) found |=
	    !strcmp(json_string_value(message), text);
	json_decref(status);
	return found;
}

static void health_names_what_is_not_well(void **state)
{
	struct stage *s = *state;
	stage_node(s, 2, "hv2");
	assert_false(health_says(s, "hv2 was not heard for 6 s"));
	stage_tick(s, 1, 6000, COLLECTOR_STUCK);
	assert_true(health_says(s, "hv2 was not heard for 6 s"));
	assert_true(health_says(s, "hv1: hypervisor is stuck"));
	stage_tick(s, 1, 100, COLLECTOR_OK);
	assert_false(health_says(s, "hv1: hypervisor is stuck"));
	done(s, "vm define web1.xml");
	struct command stop = {.number = COMMAND_node_state, .node_state = {1, DAEMON_STOP}};
	stage_apply(s, &stop, NULL);
	done(s, "vm start web1");
	assert_true(health_says(s, "VM web1 is on hv1, which is not well") ||
		    health_says(s, "VM web1 waits for a place: no node has room for it"));
}

static void health_names_what_cannot_be_moved_away(void **state)
{
	struct stage *s = *state;
	struct command flush = {
	    .number = COMMAND_node_domain, .node_domain = {1, DOMAIN_FLUSH, .shutdown = false}};
	stage_tick(s, 1, 100, COLLECTOR_OK);
	done(s, "vm define web1.xml");
	done(s, "vm start web1");
	stage_apply(s, &flush, NULL);
	stage_tick(s, 1, 100, COLLECTOR_OK);
	assert_true(health_says(s, "the flush of hv1 needs help: web1: no node has room for it"));
}

/* hv1's hypervisor's, as `pvc status` has it; NULL: it says nothing of it. */
static json_t *collector_in_status(struct stage *s, const char *line)
{
	json_t *status = result_of(s, line);
	const json_t *node = json_object_get(json_object_get(status, "collectors"), "hv1");
	json_t *collector = json_incref(json_object_get(node, "hypervisor"));
	json_decref(status);
	return collector;
}

static void a_stuck_collector_is_shown_with_the_age_of_its_values(void **state)
{
	struct stage *s = *state;
	assert_null(collector_in_status(s, "status"));
	json_t *well = collector_in_status(s, "status --detail");
	assert_string_equal(text_at(well, "state"), "ok");
	assert_int_equal(json_integer_value(json_object_get(well, "age_ms")), 70);
	json_decref(well);
	stage_tick(s, 1, 1000, COLLECTOR_STUCK);
	stage_tick(s, 0, 2000, COLLECTOR_OK);
	json_t *stuck = collector_in_status(s, "status");
	assert_string_equal(text_at(stuck, "state"), "stuck");
	/* Also while the node says nothing. */
	assert_int_equal(json_integer_value(json_object_get(stuck, "age_ms")), 2070);
	assert_int_equal(json_integer_value(json_object_get(stuck, "kills")), 3);
	assert_true(health_says(s, "hv1: hypervisor is stuck; last values are 2 s old"));
	json_decref(stuck);
}

static void facts_are_set_listed_and_removed(void **state)
{
	struct stage *s = *state;
	done(s, "fact set net.mtu 9000");
	done(s, "fact set net.vlan 7");
	done(s, "fact set pool ssd");
	json_t *list = result_of(s, "fact list net.");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(text_at(json_array_get(list, 1), "value"), "7");
	json_decref(list);
	done(s, "fact remove pool");
	refused(s, "fact get pool", -ENOENT, "there is no fact pool");
}

static void a_token_is_made_from_a_secret(void **state)
{
	json_t *token = result_of(*state, "cluster token --node hv2 --expire 10m");
	assert_string_equal(text_at(token, "token"), "a-token");
	json_decref(token);
	/* No node could ever use it. */
	refused(*state, "cluster token --node ../hv2", -EINVAL,
	    "names of nodes are of letters, digits, '-', '_' and '.'");
}

static void the_log_of_another_node_is_asked_there(void **state)
{
	struct stage *s = *state;
	stage_node(s, 2, "hv2");
	refused(s, "node log hv2", -EREMOTE, "the log of hv2 is on hv2: ask there");
}

/* What a record is as JSON says all of it: there and back, and the bytes are the same. */
static void records_come_back_from_json_the_same(void **state)
{
	struct stage *s = *state;
	done(s, "vm define web1.xml");
	done(s, "vm start web1");
	const struct record *records[] = {node_record(), vm_record(), settings_record()};
	const void *objects[] = {
	    cluster_node(&s->cluster, 1), cluster_vm(&s->cluster, 1), &s->cluster.settings};
	for (unsigned i = 0; i < 3; i++) {
		struct buffer before = {0}, after = {0};
		struct err err;
		void *back = must_alloc(records[i]->size);
		json_t *json = json_record(records[i], objects[i]);
		assert_int_equal(json_record_read(records[i], json, back, &err), 0);
		record_encode(records[i], objects[i], &before);
		record_encode(records[i], back, &after);
		assert_int_equal(before.size, after.size);
		assert_memory_equal(before.data, after.data, after.size);
		record_clear(records[i], back);
		free(back);
		json_decref(json);
		buffer_close(&before);
		buffer_close(&after);
	}
}

static void json_that_is_no_record_is_refused_by_field(void **state)
{
	struct fact fact;
	struct err err;
	json_t *json = json_pack("{s:s, s:i}", "key", "a", "value", 7);
	assert_int_equal(json_record_read(fact_record(), json, &fact, &err), -EINVAL);
	assert_string_equal(err.text, "value: a value that it cannot have");
	json_decref(json);
	json = json_pack("{s:s, s:{s:s}}", "key", "a", "value", "hex", "00fg");
	assert_int_equal(json_record_read(fact_record(), json, &fact, &err), -EINVAL);
	json_decref(json);
	json = json_pack("{s:s, s:{s:s}}", "key", "a", "value", "hex", "00ff");
	assert_int_equal(json_record_read(fact_record(), json, &fact, &err), 0);
	assert_memory_equal(fact.value.data, "\x00\xff", 2);
	record_clear(fact_record(), &fact);
	json_decref(json);
	json = json_pack("{s:s, s:i}", "key", "a", "keys", 7);
	assert_int_equal(json_record_read(fact_record(), json, &fact, &err), -EINVAL);
	assert_string_equal(err.text, "fact: a field that there is not");
	json_decref(json);
}

static void numbers_that_json_cannot_hold_are_texts(void **state)
{
	struct vm vm = {.xml_hash = UINT64_MAX, .generation = INT64_MAX}, back;
	struct err err;
	json_t *json = json_record(vm_record(), &vm);
	assert_string_equal(text_at(json, "xml_hash"), "18446744073709551615");
	assert_true(json_is_integer(json_object_get(json, "generation")));
	assert_int_equal(json_record_read(vm_record(), json, &back, &err), 0);
	assert_true(back.xml_hash == UINT64_MAX);
	json_decref(json);
}

static void a_guess_is_near_or_not_made(void **state)
{
	struct guess guess = guess_of("wbe1");
	guess_offer(&guess, "db1");
	guess_offer(&guess, "web1");
	guess_offer(&guess, "web12");
	assert_string_equal(guess.best, "web1");
	guess = guess_of("x");
	guess_offer(&guess, "y");
	assert_null(guess.best);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_name_and_every_route_is_there_once),
	    cmocka_unit_test(what_a_route_names_is_a_needed_argument),
	    cmocka_unit_test(what_must_be_confirmed_is_an_argument),
	    cmocka_unit_test(words_become_arguments),
	    cmocka_unit_test(what_is_not_given_has_its_preset),
	    cmocka_unit_test(waiting_is_for_what_takes_time),
	    cmocka_unit_test(after_two_dashes_nothing_is_an_option),
	    cmocka_unit_test(a_slip_is_told_with_what_was_meant),
	    cmocka_unit_test(a_line_that_says_too_little_or_too_much_is_refused),
	    cmocka_unit_test(times_have_a_unit),
	    cmocka_unit_test(arguments_that_somebody_sent_are_checked),
	    cmocka_unit_test(json_that_is_no_record_is_refused_by_field),
	    cmocka_unit_test(numbers_that_json_cannot_hold_are_texts),
	    cmocka_unit_test(a_guess_is_near_or_not_made),
	    STAGED(status_has_the_members_that_others_rely_on),
	    STAGED(node_list_has_the_members_that_others_rely_on),
	    STAGED(vm_list_has_the_members_that_others_rely_on),
	    STAGED(a_vm_is_placed_as_configured_unless_somebody_says_how),
	    STAGED(a_vm_goes_from_its_xml_to_nothing),
	    STAGED(a_name_that_there_is_not_is_told_with_one_that_there_is),
	    STAGED(what_the_log_refuses_is_told_in_its_words),
	    STAGED(operations_without_a_log_say_so),
	    STAGED(a_start_is_done_when_the_vm_was_seen_running),
	    STAGED(a_new_primary_is_waited_for_step_by_step),
	    STAGED(a_wish_that_was_dropped_is_told),
	    STAGED(secondary_finds_who_follows),
	    STAGED(a_stuck_collector_is_shown_with_the_age_of_its_values),
	    STAGED(health_names_what_is_not_well),
	    STAGED(health_names_what_cannot_be_moved_away),
	    STAGED(facts_are_set_listed_and_removed),
	    STAGED(a_token_is_made_from_a_secret),
	    STAGED(the_log_of_another_node_is_asked_there),
	    STAGED(records_come_back_from_json_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
