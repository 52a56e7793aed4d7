/* The configuration: what files say, and what is made of it. Texts of errors
 * and printed configurations are in tests/golden/config. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/config/config.h"
#include "node/config/config_idle.h"
#include "node/config/config_key.h"

#define EXAMPLE "debian/pvcnoded.yaml"
#define LEAST	"pvc: {node: hv1, cluster: {name: c1, coordinators: [hv1]}}\n"

static struct config config;

static int parse(const char *text, size_t size, struct buffer *problems)
{
	/* What is not set must not be what was there. */
	memset(&config, 0xa5, sizeof(config));
	return config_parse(&config, "f", text, size, problems);
}

static void parse_good(const char *text)
{
	struct buffer problems = {0};
	if (parse(text, strlen(text), &problems) < 0)
		fail_msg("%.*s", (int)problems.size, (char *)problems.data);
	assert_int_equal(problems.size, 0);
	buffer_close(&problems);
}

static void assert_problem(const char *text, const char *wanted)
{
	struct buffer problems = {0};
	assert_int_equal(parse(text, strlen(text), &problems), -EINVAL);
	buffer_append_u8(&problems, 0);
	if (!strstr((char *)problems.data, wanted))
		fail_msg("no '%s' in '%s'", wanted, (char *)problems.data);
	buffer_close(&problems);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	if (!file)
		fail_msg("%s: run from the root of the tree", path);
	char *text = must_alloc(65536);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static char *print(void)
{
	struct buffer out = {0};
	config_print(&config, &out);
	buffer_append_u8(&out, 0);
	return (char *)out.data;
}

static void what_is_not_said_is_the_default(void **state)
{
	parse_good(LEAST);
	assert_string_equal(config.node, "hv1");
	assert_int_equal(config.mode, MODE_NODE);
	assert_string_equal(config.cluster.coordinators[0], "hv1");
	assert_int_equal(config.cluster.coordinators_count, 1);
	assert_int_equal(config.services_count, 0);
	assert_int_equal(config.raft.port, 7000);
	assert_int_equal(config.raft.heartbeat_ms, 50);
	assert_int_equal(config.raft.election_ms, 300);
	assert_int_equal(config.hypervisor.driver, CONFIG_HYPERVISOR_LIBVIRT);
	assert_string_equal(config.hypervisor.uri, "qemu:///system");
	assert_int_equal(config.system.intervals.vm_shutdown_timeout, 180);
	assert_int_equal(config.system.intervals.keepalive_interval, 1);
	assert_int_equal(config.system.intervals.fence_intervals, 6);
	assert_int_equal(config.system.intervals.suicide_intervals, 0);
	assert_int_equal(config.system.fencing.actions.successful_fence, CONFIG_FENCE_MIGRATE);
	assert_int_equal(config.system.fencing.actions.failed_fence, CONFIG_FENCE_NONE);
	assert_string_equal(config.system.configuration.directories.dynamic_directory, "/run/pvc");
	assert_true(config.system.configuration.logging.stdout_logging);
	assert_false(config.debug);
}

static void without_a_node_it_is_the_host(void **state)
{
	char host[256] = "";
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	parse_good("pvc: {node: , cluster: {name: c1, coordinators: [hv1]}}");
	assert_string_equal(config.node, host);
	parse_good("pvc: {cluster: {name: c1, coordinators: [hv1]}}");
	assert_string_equal(config.node, host);
}

static void the_example_is_valid_and_names_every_key(void **state)
{
	char *example = read_file(EXAMPLE);
	parse_good(example);
	/* An item in each list, so that all keys are printed. */
	config.services_count = config.system.configuration.networking.sriov_device_count = 1;
	char *printed = print(), *rest;
	for (char *line = strtok_r(printed, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char key[64];
		char *start = line + strspn(line, " -");
		char *colon = strchr(start, ':');
		if (!colon)
			continue; /* a coordinator */
		snprintf(key, sizeof(key), " %.*s:", (int)(colon - start), start);
		if (!strstr(example, key) && strcmp(key, " pvc:") != 0)
			fail_msg(EXAMPLE " does not name '%s'", key + 1);
	}
	free(printed);
	free(example);
}

static void the_example_has_the_defaults(void **state)
{
	char *example = read_file(EXAMPLE);
	parse_good(example);
	struct config from_example = config;
	parse_good(LEAST);
	assert_memory_equal(&from_example.raft, &config.raft, sizeof(config.raft));
	assert_memory_equal(&from_example.functions, &config.functions, sizeof(config.functions));
	assert_memory_equal(
	    &from_example.hypervisor, &config.hypervisor, sizeof(config.hypervisor));
	assert_memory_equal(&from_example.system.intervals, &config.system.intervals,
	    sizeof(config.system.intervals));
	assert_memory_equal(&from_example.system.configuration.logging,
	    &config.system.configuration.logging, sizeof(config.system.configuration.logging));
	assert_memory_equal(&from_example.system.configuration.directories,
	    &config.system.configuration.directories,
	    sizeof(config.system.configuration.directories));
	free(example);
}

static void what_is_printed_parses_to_itself(void **state)
{
	char *example = read_file(EXAMPLE);
	parse_good(example);
	char *once = print();
	parse_good(once);
	char *twice = print();
	assert_string_equal(once, twice);
	free(example);
	free(once);
	free(twice);
}

static void simulated_vms_live_in_a_directory(void **state)
{
	const char *least = "node: hv1, cluster: {name: c, coordinators: [a]}";
	char text[256];
	snprintf(text, sizeof(text), "pvc: {%s, hypervisor: {driver: sim}}", least);
	parse_good(text);
	assert_string_equal(config.hypervisor.uri, "/run/pvc/hypervisor_sim");
	snprintf(text, sizeof(text), "pvc: {%s, hypervisor: {driver: sim, uri: /a/b}}", least);
	parse_good(text);
	assert_string_equal(config.hypervisor.uri, "/a/b");
	snprintf(
	    text, sizeof(text), "pvc: {%s, hypervisor: {driver: sim, uri: qemu:///system}}", least);
	assert_problem(text, "'uri' must be the absolute path of a directory with driver sim");
	snprintf(text, sizeof(text), "pvc: {%s, hypervisor: {uri: /a/b}}", least);
	assert_problem(text, "'uri' must be a URI as qemu:///system with driver libvirt");
}

static void words_that_mean_yes_or_no(void **state)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"yes", true}, {"No", false}, {"TRUE", true}, {"False", false}, {"on", true},
	    {"Off", false}};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		char text[256];
		snprintf(text, sizeof(text),
		    "pvc: {debug: %s, node: hv1, cluster: {name: c, coordinators: [a]}}",
		    words[i].word);
		parse_good(text);
		assert_int_equal(config.debug, words[i].value);
	}
	assert_problem("pvc: {debug: 1}", "'debug' must be yes or no, not '1'");
	assert_problem("pvc: {debug: 'yes'}", "'debug' must be yes or no, not the text \"yes\"");
	assert_problem("pvc: {raft: {port: \"7000\"}}", "not the text \"7000\"");
}

static void a_secret_is_never_shown(void **state)
{
	parse_good("pvc: {node: a, cluster: {name: c, coordinators: [a]},\n"
		   " system: {fencing: {ipmi: {pass: hunter2}}}}");
	assert_string_equal(config.system.fencing.ipmi.pass, "hunter2");
	assert_true(config_secret_known(config.system.fencing.ipmi.pass));
	char *printed = print();
	assert_null(strstr(printed, "hunter2"));
	assert_non_null(strstr(printed, "pass: \"***\"\n"));

	/* The mask is no password. */
	parse_good(printed);
	assert_false(config_secret_known(config.system.fencing.ipmi.pass));
	assert_false(config_secret_known(""));
	free(printed);

	struct buffer problems = {0};
	const char text[] = "pvc: {system: {fencing: {ipmi: {pass: \"hunter2\\n\"}}}}";
	assert_int_equal(parse(text, strlen(text), &problems), -EINVAL);
	assert_non_null(memmem(problems.data, problems.size, "'pass'", 6));
	assert_null(memmem(problems.data, problems.size, "hunter2", 7));
	buffer_close(&problems);
}

static void an_alias_bomb_is_refused_before_it_unfolds(void **state)
{
	struct buffer bomb = {0};
	buffer_print(&bomb, "a0: &a0 x\n");
	for (int i = 1; i < 30; i++) {
		buffer_print(&bomb, "a%d: &a%d [", i, i);
		for (int k = 0; k < 9; k++)
			buffer_print(&bomb, "*a%d, ", i - 1);
		buffer_print(&bomb, "]\n");
	}
	buffer_append_u8(&bomb, 0);
	assert_problem((char *)bomb.data, "f:2:10: aliases are not accepted: *a0\n");
	buffer_close(&bomb);
}

static void lists_have_limits(void **state)
{
	struct buffer text = {0};
	buffer_print(&text, "pvc: {node: a, cluster: {name: c, coordinators: [");
	for (int i = 0; i <= CONFIG_COORDINATORS_MAX; i++)
		buffer_print(&text, "n%d, ", i);
	buffer_print(&text, "]}, services: [");
	for (int i = 0; i <= CONFIG_SERVICES_MAX; i++)
		buffer_print(&text, "{name: s%d, start: x}, ", i);
	buffer_print(&text, "]}");
	buffer_append_u8(&text, 0);
	assert_problem((char *)text.data, "'coordinators' has more than 16 items");
	assert_problem((char *)text.data, "'services' has more than 16 items");
	assert_int_equal(config.services_count, CONFIG_SERVICES_MAX);
	buffer_close(&text);
}

static void a_text_that_just_fits(void **state)
{
	char text[512], name[65];
	memset(name, 'n', 64);
	name[64] = '\0';
	snprintf(
	    text, sizeof(text), "pvc: {node: %.63s, cluster: {name: c, coordinators: [a]}}", name);
	parse_good(text);
	assert_int_equal(strlen(config.node), 63);
	snprintf(text, sizeof(text), "pvc: {node: %s}", name);
	assert_problem(text, "'node' must be at most 63 bytes long, not 'nnnn");
}

static void cut_anywhere_it_is_still_judged(void **state)
{
	char *example = read_file(EXAMPLE);
	size_t size = strlen(example);
	for (size_t cut = 0; cut < size; cut += 7) {
		struct buffer problems = {0};
		char *part = must_alloc(cut); /* to the byte, for the sanitizer */
		memcpy(part, example, cut);
		int status = parse(part, cut, &problems);
		assert_true(status == 0 ? problems.size == 0 : problems.size > 0);
		buffer_close(&problems);
		free(part);
	}
	free(example);
}

static void a_wrong_value_is_not_blamed_twice(void **state)
{
	struct buffer problems = {0};
	const char text[] = "pvc: {node: a, cluster: {name: c, coordinators: [a]},\n"
			    " raft: {election_ms: 9, heartbeat_ms: 200}}";
	assert_int_equal(parse(text, strlen(text), &problems), -EINVAL);
	buffer_append_u8(&problems, 0);
	assert_string_equal((char *)problems.data,
	    "f:2:22: 'election_ms' must be a number from 10 to 60000, not '9'\n");
	buffer_close(&problems);
}

static void a_file_that_is_not_there_is_said(void **state)
{
	struct buffer problems = {0};
	assert_int_equal(config_load(&config, "/no/such/file", &problems), -ENOENT);
	buffer_append_u8(&problems, 0);
	assert_string_equal((char *)problems.data, "/no/such/file: No such file or directory\n");
	buffer_close(&problems);
	assert_int_equal(config_load(&config, "/", &problems), -EISDIR);
	buffer_close(&problems);
	/* One without an end. */
	assert_int_equal(config_load(&config, "/dev/zero", &problems), -EINVAL);
	assert_non_null(memmem(problems.data, problems.size, "larger than", 11));
	buffer_close(&problems);
}

static void the_file_is_named_by_option_or_environment(void **state)
{
	unsetenv("PVC_CONFIG_FILE");
	assert_string_equal(config_path(NULL), "/etc/pvc/pvcnoded.yaml");
	setenv("PVC_CONFIG_FILE", "/a", 1);
	assert_string_equal(config_path(NULL), "/a");
	assert_string_equal(config_path("/b"), "/b");
	unsetenv("PVC_CONFIG_FILE");
}

static void a_node_has_the_number_at_the_end_of_its_name(void **state)
{
	assert_int_equal(config_node_number("pvchv1"), 1);
	assert_int_equal(config_node_number("hv012"), 12);
	assert_int_equal(config_node_number("rack2-hv3.dc4"), 3);
	assert_int_equal(config_node_number("rack2-hv"), 0);
	assert_int_equal(config_node_number(""), 0);
	assert_int_equal(config_node_number("hv99999999999"), 0);
}

static void assert_own(const char *node, const char *network, const char *wanted)
{
	struct config_network net = {0};
	struct config_interface interface = {.address = "by-id"};
	struct cidr own;
	char text[CIDR_TEXT_MAX] = "";
	snprintf(net.network, sizeof(net.network), "%s", network);
	if (config_own_address(node, &net, &interface, &own) == 0)
		cidr_print(&own, text);
	assert_string_equal(text, wanted);
}

static void by_id_counts_from_the_network(void **state)
{
	assert_own("hv1", "10.0.0.0/24", "10.0.0.1/24");
	assert_own("hv254", "10.0.0.0/24", "10.0.0.254/24");
	assert_own("hv255", "10.0.0.0/24", "");
	assert_own("hv256", "10.0.0.0/16", "10.0.1.0/16");
	assert_own("hv", "10.0.0.0/24", "");
	assert_own("hv7", "fd00:0:0:1::/64", "fd00:0:0:1::7/64");
	assert_own("hv70000", "fd00::/64", "fd00::1:1170/64");
	assert_own("hv1", "255.255.255.254/31", "255.255.255.255/31");
	assert_own("hv2", "255.255.255.254/31", "");
	assert_own("hv1", "", "");
}

static void own_and_floating_addresses_are_kept_apart(void **state)
{
	parse_good("pvc:\n"
		   "  node: hv3\n"
		   "  cluster:\n"
		   "    name: c\n"
		   "    coordinators: [a]\n"
		   "    networks:\n"
		   "      upstream: {network: 192.0.2.0/24, floating_ip: 192.0.2.9/24}\n"
		   "      cluster: {network: 10.0.0.0/24, floating_ip: 10.0.0.9/24}\n"
		   "  system: {configuration: {networking: {\n"
		   "    upstream: {device: a, address: 192.0.2.7/24},\n"
		   "    cluster: {device: b, address: by-id}}}}\n");
	const struct config_networking *own = &config.system.configuration.networking;
	struct cidr address;
	char text[CIDR_TEXT_MAX];
	assert_string_equal(config.cluster.networks.upstream.floating_ip, "192.0.2.9/24");
	assert_string_equal(config.cluster.networks.cluster.floating_ip, "10.0.0.9/24");
	assert_int_equal(
	    config_own_address("hv3", &config.cluster.networks.upstream, &own->upstream, &address),
	    0);
	cidr_print(&address, text);
	assert_string_equal(text, "192.0.2.7/24");
	assert_int_equal(
	    config_own_address("hv3", &config.cluster.networks.storage, &own->storage, &address),
	    -ENOENT);
	char peer[CONFIG_PEER_MAX];
	config_peer(&config, peer);
	assert_string_equal(peer, "10.0.0.3:7000");
}

static void assert_peer(const char *raft, const char *wanted)
{
	char text[256], peer[CONFIG_PEER_MAX];
	snprintf(text, sizeof(text),
	    "pvc: {node: hv1, cluster: {name: c, coordinators: [a]}, "
	    "raft: {%s}}",
	    raft);
	parse_good(text);
	config_peer(&config, peer);
	assert_string_equal(peer, wanted);
}

static void peers_find_each_other(void **state)
{
	assert_peer("", "hv1:7000");
	assert_peer("address: 10.0.0.1, port: 7001", "10.0.0.1:7001");
	assert_peer("address: \"fd00::1\"", "[fd00::1]:7000");
	assert_peer("address: hv1.pvc.local", "hv1.pvc.local:7000");
	assert_problem("pvc: {raft: {address: \"10.0.0.1:7000\"}}", "'address' must be a host");
}

static void assert_migration_uri(const char *text, const char *wanted)
{
	char whole[512], uri[CONFIG_MIGRATION_URI_MAX];
	snprintf(whole, sizeof(whole),
	    "pvc: {node: hv1, cluster: {name: c, coordinators: [a]}, %s}", text);
	parse_good(whole);
	config_migration_uri(&config, uri);
	assert_string_equal(uri, wanted);
}

static void vms_arrive_where_the_peers_do_unless_it_is_said(void **state)
{
	assert_migration_uri("", "qemu+tls://hv1/system");
	assert_migration_uri("raft: {address: \"fd00::1\"}", "qemu+tls://[fd00::1]/system");
	assert_migration_uri(
	    "system: {migration: {uri: \"qemu+tcp://x/system\"}}", "qemu+tcp://x/system");
	assert_migration_uri("hypervisor: {driver: sim, uri: /srv/vms}", "/srv/vms");
	assert_migration_uri("hypervisor: {uri: \"qemu:///embed?root=/srv\"}", "");
}

static void a_lease_ends_before_an_election(void **state)
{
	for (uint32_t election_ms = 10; election_ms <= 60000; election_ms++) {
		struct config_raft raft = {.election_ms = election_ms};
		assert_in_range(config_lease_ms(&raft), 1, election_ms - 1);
	}
	assert_int_equal(config_lease_ms(&(struct config_raft){.election_ms = 300}), 240);
	assert_int_equal(
	    config_lease_ms(&(struct config_raft){.election_ms = 300, .lease_ms = 100}), 100);
}

static bool parses(const char *text)
{
	struct cidr c;
	return cidr_parse(&c, text) == 0;
}

static void addresses_are_numbers_with_a_prefix(void **state)
{
	assert_true(parses("10.0.0.1/24"));
	assert_true(parses("0.0.0.0/0"));
	assert_true(parses("fd00::1/128"));
	assert_false(parses("10.0.0.1"));
	assert_false(parses("10.0.0.1/33"));
	assert_false(parses("10.0.0.1/"));
	assert_false(parses("10.0.0.1/-1"));
	assert_false(parses("10.0.0.1/24x"));
	assert_false(parses("10.0.0.1/ 24"));
	assert_false(parses("10.0.0.1/9999999999999999999999"));
	assert_false(parses("10.0.0/24"));
	assert_false(parses("host/24"));
	assert_false(parses("fd00::1/129"));
	assert_false(parses("/24"));
	assert_false(parses(""));
}

static bool is_host(const char *network, const char *address)
{
	struct cidr net, host;
	assert_int_equal(cidr_parse(&net, network), 0);
	assert_int_equal(cidr_parse_address(&host, address), 0);
	return cidr_is_host(&net, &host);
}

static void networks_hold_hosts(void **state)
{
	assert_true(is_host("10.0.0.0/24", "10.0.0.1"));
	assert_false(is_host("10.0.0.0/24", "10.0.0.0"));
	assert_false(is_host("10.0.0.0/24", "10.0.0.255"));
	assert_false(is_host("10.0.0.0/24", "10.0.1.1"));
	assert_true(is_host("10.0.0.0/23", "10.0.1.1"));
	assert_true(is_host("10.0.0.0/31", "10.0.0.0"));
	assert_true(is_host("10.0.0.1/32", "10.0.0.1"));
	assert_true(is_host("fd00::/64", "fd00::ffff:ffff:ffff:ffff"));
	assert_false(is_host("fd00::/64", "fd00::"));
	assert_false(is_host("fd00::/64", "10.0.0.1"));
	assert_true(is_host("0.0.0.0/0", "10.0.0.1"));
}

static void a_key_written_wrong_is_guessed(void **state)
{
	const struct config_key *keys = config_file_keys()->keys();
	assert_string_equal(config_key_guess(keys, "clsuter"), "cluster");
	assert_string_equal(config_key_guess(keys, "Node"), "node");
	assert_string_equal(config_key_guess(keys, "service"), "services");
	assert_null(config_key_guess(keys, "x"));
	assert_null(config_key_guess(keys, ""));
	assert_null(config_key_guess(keys, "zookeeper"));
	char longer[300];
	memset(longer, 'n', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_null(config_key_guess(keys, longer));
}

static void collect(void *data, const char *key)
{
	buffer_print(data, "%s\n", key);
}

static void assert_idle(const char *text, const char *wanted)
{
	struct buffer said = {0};
	parse_good(text);
	config_idle_each(&config, collect, &said);
	buffer_append_u8(&said, 0);
	assert_string_equal((char *)said.data, wanted);
	buffer_close(&said);
}

static void what_this_version_does_nothing_with_is_named(void **state)
{
	assert_idle(LEAST, "");
	assert_idle(
	    "pvc: {node: hv1, cluster: {name: c1, coordinators: [hv1]}, nic: {driver: sim}, "
	    "system: {intervals: {fence_intervals: 6, suicide_intervals: 3}, configuration: "
	    "{networking: {sriov_device: [{phy: ens1, mtu: 9000}], upstream: {mtu: 1400}}}}}",
	    "nic.driver\n"
	    "system.intervals.suicide_intervals\n"
	    "system.configuration.networking.sriov_device\n"
	    "system.configuration.networking.upstream.mtu\n");
}

/* One that is misspelt would be a promise again. */
static void every_idle_key_is_a_key(void **state)
{
	static const char *const idle[] = {
#define IDLE(key) #key,
#include "node/config/config_idle.def"
	};
	for (size_t i = 0; i < sizeof(idle) / sizeof(*idle); i++) {
		const struct config_key *key = config_file_keys()->keys();
		char path[256], *rest = path;
		snprintf(path, sizeof(path), "%s", idle[i]);
		for (const char *name; (name = strsep(&rest, "."));) {
			while (key->kind != CONFIG_END && strcmp(key->name, name) != 0)
				key++;
			if (key->kind == CONFIG_END)
				fail_msg("there is no key %s", idle[i]);
			key = key->keys ? key->keys() : key;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_not_said_is_the_default),
	    cmocka_unit_test(without_a_node_it_is_the_host),
	    cmocka_unit_test(the_example_is_valid_and_names_every_key),
	    cmocka_unit_test(the_example_has_the_defaults),
	    cmocka_unit_test(what_is_printed_parses_to_itself),
	    cmocka_unit_test(simulated_vms_live_in_a_directory),
	    cmocka_unit_test(words_that_mean_yes_or_no),
	    cmocka_unit_test(a_secret_is_never_shown),
	    cmocka_unit_test(an_alias_bomb_is_refused_before_it_unfolds),
	    cmocka_unit_test(lists_have_limits),
	    cmocka_unit_test(what_this_version_does_nothing_with_is_named),
	    cmocka_unit_test(every_idle_key_is_a_key),
	    cmocka_unit_test(a_text_that_just_fits),
	    cmocka_unit_test(cut_anywhere_it_is_still_judged),
	    cmocka_unit_test(a_wrong_value_is_not_blamed_twice),
	    cmocka_unit_test(a_file_that_is_not_there_is_said),
	    cmocka_unit_test(the_file_is_named_by_option_or_environment),
	    cmocka_unit_test(a_node_has_the_number_at_the_end_of_its_name),
	    cmocka_unit_test(by_id_counts_from_the_network),
	    cmocka_unit_test(own_and_floating_addresses_are_kept_apart),
	    cmocka_unit_test(peers_find_each_other),
	    cmocka_unit_test(vms_arrive_where_the_peers_do_unless_it_is_said),
	    cmocka_unit_test(a_lease_ends_before_an_election),
	    cmocka_unit_test(addresses_are_numbers_with_a_prefix),
	    cmocka_unit_test(networks_hold_hosts),
	    cmocka_unit_test(a_key_written_wrong_is_guessed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
