/* XML held against what the cluster has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "node/operation/domain_check.h"
#include "tests/unit/stage.h"

#define XML(name, digit, devices)                                                                  \
	"<domain>\n<name>" name "</name>\n<uuid>00000000-0000-4000-8000-00000000000" digit         \
	"</uuid>\n<memory unit='MiB'>64</memory>\n<devices>\n" devices "</devices></domain>"
#define NIC(mac, bridge)                                                                           \
	"<interface type='bridge'><mac address='" mac "'/><source bridge='" bridge                 \
	"'/></interface>\n"
#define DISK(source) "<disk type='network'><source protocol='rbd' name='" source "'/></disk>\n"

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

static uint32_t define(struct stage *s, const char *xml)
{
	struct command command = {.number = COMMAND_vm_define};
	struct command_vm_define *define = &command.vm_define;
	struct domain domain;
	assert_int_equal(domain_read(xml, strlen(xml), &domain, NULL), 0);
	memcpy(define->name, domain.name, sizeof(define->name));
	memcpy(define->uuid, domain.uuid, sizeof(define->uuid));
	define->memory_mib = domain.memory_mib;
	define->vcpus = 1;
	define->xml = (struct blob){(uint8_t *)(uintptr_t)xml, (uint32_t)strlen(xml)};
	int id = stage_apply(s, &command, NULL);
	assert_true(id > 0);
	return (uint32_t)id;
}

static void check(struct stage *s, uint32_t self, const char *xml, const char *wanted)
{
	struct domain domain;
	struct err err = {""};
	assert_int_equal(domain_read(xml, strlen(xml), &domain, &err), 0);
	int status = domain_check(&s->cluster, self, &domain, &err);
	assert_string_equal(err.text, wanted);
	assert_int_equal(status != 0, *wanted != 0);
}

static void bridges(struct stage *s, uint32_t node, const char *first, const char *second)
{
	struct command command = {.number = COMMAND_tick};
	struct bridge names[2] = {{""}, {""}};
	struct keepalive keepalive = {.node = node, .memory_total_mib = 8192};
	snprintf(names[0].name, sizeof(names[0].name), "%s", first);
	snprintf(names[1].name, sizeof(names[1].name), "%s", second);
	keepalive.bridges.items = names;
	keepalive.bridges.count = 2;
	command.tick.keepalives.items = &keepalive;
	command.tick.keepalives.count = 1;
	stage_apply(s, &command, NULL);
}

static void pools(struct stage *s, const char *first, const char *second)
{
	struct command command = {.number = COMMAND_ceph_report};
	struct ceph_pool list[2] = {{.id = 1}, {.id = 2}};
	snprintf(list[0].name, sizeof(list[0].name), "%s", first);
	snprintf(list[1].name, sizeof(list[1].name), "%s", second);
	command.ceph_report.node = 1;
	command.ceph_report.epoch = 7;
	command.ceph_report.pools.items = list;
	command.ceph_report.pools.count = 2;
	assert_int_equal(stage_apply(s, &command, NULL), 0);
}

static void a_name_and_a_uuid_are_of_one_vm(void **state)
{
	struct stage *s = *state;
	uint32_t web1 = define(s, XML("web1", "1", ""));
	check(s, 0, XML("web1", "2", ""), "line 2: there is a VM web1 already");
	check(s, 0, XML("web2", "1", ""),
	    "line 3: the VM web1 has the UUID 00000000-0000-4000-8000-000000000001 already");
	check(s, 0, XML("web2", "2", ""), "");
	check(s, web1, XML("web1", "1", ""), "");
}

static void a_mac_address_is_found_however_it_is_written(void **state)
{
	struct stage *s = *state;
	uint32_t web1 = define(
	    s, XML("web1", "1", NIC("52:54:00:00:00:09", "br0") NIC("52:54:0:A:b:1", "br0")));
	define(s, XML("web3", "3",
		      "<!-- <mac address='52:54:00:00:00:77'/> --><mac/><mac x"
		      "='52:54:00:00:00:78'/>\n"));
	const char *taken = "line 7: the VM web1 has the MAC address 52:54:00:0a:0b:01 already";
	check(s, 0,
	    XML("web2", "2", NIC("52:54:00:00:00:01", "br0") NIC("52:54:00:0a:0b:01", "br0")),
	    taken);
	check(s, web1, XML("web1", "1", NIC("52:54:00:0a:0b:01", "br0")), "");
	check(s, 0, XML("web2", "2", NIC("52:54:00:00:00:77", "br0")), "");
	check(s, 0, XML("web2", "2", NIC("52:54:00:00:00:78", "br0")), "");
}

static void a_bridge_is_one_that_some_node_has(void **state)
{
	struct stage *s = *state;
	const char *xml =
	    XML("web1", "1", NIC("52:54:00:00:00:01", "vmbr7") NIC("52:54:00:00:00:02", "vmbr20"));
	check(s, 0, xml, "");
	stage_node(s, 2, "hv2");
	bridges(s, 1, "vmbr1", "vmbr7");
	bridges(s, 2, "vmbr1", "vmbr2");
	check(s, 0, xml, "line 7: no node has the bridge vmbr20 (did you mean 'vmbr2'?)");
	bridges(s, 2, "vmbr1", "vmbr20");
	check(s, 0, xml, "");
}

static void a_pool_is_one_that_ceph_has_once_that_is_known(void **state)
{
	struct stage *s = *state;
	const char *xml = XML("web1", "1", DISK("vms/web1_root") DISK("vsm/web1_data"));
	check(s, 0, xml, "");
	pools(s, "rbd", "vms");
	check(s, 0, xml, "line 7: there is no pool vsm (did you mean 'vms'?)");
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STAGED(a_name_and_a_uuid_are_of_one_vm),
	    STAGED(a_mac_address_is_found_however_it_is_written),
	    STAGED(a_bridge_is_one_that_some_node_has),
	    STAGED(a_pool_is_one_that_ceph_has_once_that_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
