#include <arpa/inet.h>
#include <ifaddrs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/own_address.h"

#define INTERFACES_MAX 64

static struct config config;
static struct ifaddrs interfaces[INTERFACES_MAX];
static struct sockaddr_storage sockets[INTERFACES_MAX];
static unsigned count;
static char text[OWN_ADDRESSES_MAX];

static int fresh(void **state)
{
	struct buffer problems = {0};
	static const char yaml[] = "pvc: {node: hv2, cluster: {name: c, coordinators: [hv2]}}\n";
	count = 0;
	(void)config_parse(&config, "test", yaml, sizeof(yaml) - 1, &problems);
	buffer_close(&problems);
	snprintf(config.node, sizeof(config.node), "hv2");
	return 0;
}

static void has(const char *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&sockets[count];
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sockets[count];
	struct ifaddrs *interface = &interfaces[count++];
	*interface = (struct ifaddrs){.ifa_name = "eth0", .ifa_addr = (struct sockaddr *)in};
	if (count > 1)
		interface[-1].ifa_next = interface;
	in->sin_family = AF_INET;
	if (inet_pton(AF_INET, address, &in->sin_addr) == 1)
		return;
	in6->sin6_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, address, &in6->sin6_addr), 1);
}

static const char *own(void)
{
	own_addresses_of(count ? interfaces : NULL, &config, text);
	return text;
}

static void set(struct config_network *network, struct config_interface *interface,
    const char *cidr, const char *address, const char *floating)
{
	snprintf(network->network, sizeof(network->network), "%s", cidr);
	snprintf(network->floating_ip, sizeof(network->floating_ip), "%s", floating);
	snprintf(interface->address, sizeof(interface->address), "%s", address);
}

static void a_machine_has_what_is_on_its_interfaces(void **state)
{
	assert_string_equal(own(), "");
	has("192.168.1.7");
	has("10.0.0.2");
	has("fd00::2");
	has("10.0.0.2");
	has("10.0.0.22");
	has("0.0.0.2");
	assert_string_equal(own(), "192.168.1.7 10.0.0.2 fd00::2 10.0.0.22 0.0.0.2");
}

static void a_floating_address_is_nobodys_own(void **state)
{
	struct config_networks *networks = &config.cluster.networks;
	struct config_networking *sides = &config.system.configuration.networking;
	has("10.0.1.254");
	has("10.0.1.2");
	has("10.0.2.254");
	has("fd00::fe");
	set(&networks->storage, &sides->storage, "10.0.1.0/24", "10.0.1.2/24", "10.0.1.254/24");
	set(&networks->cluster, &sides->cluster, "10.0.2.0/24", "", "10.0.2.254/24");
	set(&networks->upstream, &sides->upstream, "fd00::/64", "", "fd00::fe/64");
	assert_string_equal(own(), "10.0.1.2");
}

static void what_many_machines_have_is_nobodys_own(void **state)
{
	has("127.0.0.1");
	has("127.1.2.3");
	has("::1");
	has("fe80::1");
	has("febf::1");
	has("169.254.3.4");
	has("fec0::1");
	assert_string_equal(own(), "fec0::1");
}

static void loopback_is_where_it_is_configured(void **state)
{
	struct config_networks *networks = &config.cluster.networks;
	struct config_networking *sides = &config.system.configuration.networking;
	has("127.0.0.1");
	has("127.0.0.2");
	has("::1");
	has("10.0.0.9");
	set(&networks->storage, &sides->storage, "127.0.0.0/8", "by-id", "");
	assert_string_equal(own(), "127.0.0.2 10.0.0.9");
	set(&networks->cluster, &sides->cluster, "::/64", "::1/64", "");
	assert_string_equal(own(), "127.0.0.2 ::1 10.0.0.9");
	set(&networks->cluster, &sides->cluster, "10.0.0.0/8", "10.0.0.9/8", "");
	set(&networks->upstream, &sides->upstream, "127.0.0.0/8", "127.0.0.1/8", "");
	assert_string_equal(own(), "127.0.0.2 10.0.0.9");
}

static void what_is_configured_is_there_however_many_there_are(void **state)
{
	struct config_networks *networks = &config.cluster.networks;
	struct config_networking *sides = &config.system.configuration.networking;
	for (unsigned i = 0; i < INTERFACES_MAX - 1; i++) {
		char address[64];
		snprintf(
		    address, sizeof(address), "fd00:1111:2222:3333:4444:5555:6666:%x", 0x1000 + i);
		has(address);
	}
	has("10.0.0.2");
	set(&networks->storage, &sides->storage, "10.0.0.0/24", "by-id", "");
	assert_memory_equal(own(), "10.0.0.2 fd00:", 14);
	assert_in_range(strlen(text), OWN_ADDRESSES_MAX - 41, OWN_ADDRESSES_MAX - 1);
	assert_int_equal(strlen(strrchr(text, ' ')), 40);
}

static void of_this_machine_it_can_be_told(void **state)
{
	assert_int_equal(own_addresses(&config, text), 0);
	assert_null(strstr(text, "127.0.0.1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_machine_has_what_is_on_its_interfaces, fresh),
	    cmocka_unit_test_setup(a_floating_address_is_nobodys_own, fresh),
	    cmocka_unit_test_setup(what_many_machines_have_is_nobodys_own, fresh),
	    cmocka_unit_test_setup(loopback_is_where_it_is_configured, fresh),
	    cmocka_unit_test_setup(what_is_configured_is_there_however_many_there_are, fresh),
	    cmocka_unit_test_setup(of_this_machine_it_can_be_told, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
