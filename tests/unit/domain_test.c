#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/buffer.h"
#include "node/worker/domain.h"

#define UUID "<uuid>22222222-0000-4000-8000-0000000000d1</uuid>"

static struct err err;

static int read_text(const char *xml, struct domain *d)
{
	err.text[0] = '\0';
	return domain_read(xml, strlen(xml), d, &err);
}

static void what_libvirt_writes_is_read(void **state)
{
	struct domain d;
	const char *xml =
	    "<?xml version='1.0' encoding='UTF-8'?>\n<!-- a comment -->\n"
	    "<domain type='qemu'>\n  <name>web1</name>\n" UUID
	    "\n  <memory unit='MiB'>512</memory>\n"
	    "  <currentMemory unit='KiB'>1</currentMemory>\n"
	    "  <vcpu placement='static' current='1'>4</vcpu>\n"
	    "  <devices><disk><name>not this</name><memory>7</memory></disk></devices>\n"
	    "</domain>\n";
	assert_int_equal(read_text(xml, &d), 0);
	assert_string_equal(d.name, "web1");
	assert_string_equal(d.uuid, "22222222-0000-4000-8000-0000000000d1");
	assert_int_equal(d.memory_mib, 512);
	assert_int_equal(d.vcpus, 4);
}

static uint64_t memory_of(const char *unit, const char *number)
{
	char xml[512];
	struct domain d;
	snprintf(xml, sizeof(xml),
	    "<domain><name>a</name>" UUID "<memory%s%s%s>%s</memory></domain>",
	    *unit ? " unit='" : "", unit, *unit ? "'" : "", number);
	return read_text(xml, &d) == 0 ? d.memory_mib : 0;
}

static void memory_comes_in_every_unit_of_libvirt_and_is_rounded_up(void **state)
{
	static const struct {
		const char *unit, *number;
		uint64_t mib;
	} cases[] = {
	    {"", "1024", 1},
	    {"", "1025", 2},
	    {"b", "1", 1},
	    {"bytes", "1048577", 2},
	    {"KB", "1048576", 1000},
	    {"k", "2048", 2},
	    {"KiB", " 2048 \n", 2},
	    {"MB", "1", 1},
	    {"MB", "1000", 954},
	    {"M", "3", 3},
	    {"MiB", "3", 3},
	    {"mib", "3", 3},
	    {"GB", "1", 954},
	    {"G", "1", 1024},
	    {"GiB", "2", 2048},
	    {"TB", "1", 953675},
	    {"T", "1", 1048576},
	    {"TiB", "1", 1048576},
	    {"PiB", "1", 1u << 30},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(memory_of(cases[i].unit, cases[i].number), cases[i].mib);
}

/* Every unit, in any case of letters, with numbers of every size. */
static void memory_is_reckoned_from_any_number_of_any_unit(void **state)
{
	static const char *const thousands[] = {"KB", "MB", "GB", "TB", "PB", "EB"};
	static const char *const binary[] = {
	    "k", "M", "G", "T", "P", "E", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	uint32_t random = 1;
	for (unsigned i = 0; i < 20000; i++) {
		char unit[8], number[24];
		random = random * 1664525 + 1013904223;
		unsigned which = (random >> 8) % 18;
		unsigned __int128 bytes = 1;
		for (unsigned k = 0; k <= which % 6; k++)
			bytes *= which < 6 ? 1000 : 1024;
		uint64_t count = (random * 0x9e3779b97f4a7c15u) >> (14 + i % 50) | 1;
		snprintf(
		    unit, sizeof(unit), "%s", which < 6 ? thousands[which] : binary[which - 6]);
		for (char *at = unit; *at; at++)
			*at ^= random >> (at - unit + 3) & 1 ? 'a' ^ 'A' : 0;
		snprintf(number, sizeof(number), "%llu", (unsigned long long)count);
		unsigned __int128 mib = (bytes * count + 1048575) / 1048576;
		bool taken = mib <= DOMAIN_MIB_MAX;
		if (memory_of(unit, number) != (taken ? (uint64_t)mib : 0))
			fail_msg("%s %s is %llu MiB", number, unit,
			    (unsigned long long)memory_of(unit, number));
	}
}

static void memory_that_is_none_is_refused(void **state)
{
	static const char *const numbers[] = {"", "0", "-1", "+1", "1.5", "0x10", "1 2", "abc",
	    "18446744073709551616", "18014398509481985", "1125899906842625"};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_int_equal(memory_of("", numbers[i]), 0);
	static const char *const units[] = {"furlong", "X", "KiBB", "iB", "MMM", "EiBs"};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		assert_int_equal(memory_of(units[i], "1"), 0);
}

static void a_uuid_comes_out_in_one_form(void **state)
{
	struct domain d;
	assert_int_equal(read_text("<domain><name>a</name><memory>1</memory>"
				   "<uuid>\n 22222222000040008000-0000000000DE </uuid></domain>",
			     &d),
	    0);
	assert_string_equal(d.uuid, "22222222-0000-4000-8000-0000000000de");
	assert_int_equal(d.vcpus, 1);
}

static void a_refusal_names_the_line_and_what_is_wrong(void **state)
{
	static const struct {
		const char *xml, *text;
	} cases[] = {
	    {"", "line 1: no element found"},
	    {"<domain>\n<name>a</name>\n<b>\n</domain>", "line 4: mismatched tag"},
	    {"\n\n<network/>", "line 3: <network> where <domain> should be"},
	    {"\n<domain><name>a</name><memory>1</memory></domain>", "line 2: no <uuid>: add one"},
	    {"<domain><name>a</name>" UUID "</domain>", "line 1: no <memory>"},
	    {"<domain><memory>1</memory>" UUID "</domain>", "line 1: no <name>"},
	    {"<domain>\n<name>a</name>\n<name>b</name></domain>", "line 3: a second <name>"},
	    {"<domain>\n<name></name></domain>", "line 2: the name '' is empty"},
	    {"<domain>\n<name>a/b</name></domain>", "line 2: the name has a '/'"},
	    {"<domain>\n<name><b/></name></domain>", "line 2: <b> where there should be text"},
	    {"<domain>\n<uuid>2222</uuid></domain>", "line 2: '2222' is no uuid"},
	    {"<domain>\n\n<vcpu>0</vcpu></domain>", "line 3: vcpu '0' is no number"},
	    {"<domain><vcpu>4097</vcpu></domain>", "line 1: vcpu '4097' is no number"},
	};
	struct domain d;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_text(cases[i].xml, &d), -EINVAL);
		if (strncmp(err.text, cases[i].text, strlen(cases[i].text)) != 0)
			fail_msg("'%s' instead of '%s'", err.text, cases[i].text);
	}
}

static void entities_are_never_expanded(void **state)
{
	struct domain d;
	const char *xml = "<?xml version='1.0'?>\n<!DOCTYPE lolz [<!ENTITY a 'aaaa'>\n"
			  "<!ENTITY b '&a;&a;&a;&a;'>]>\n<domain><name>&b;</name></domain>";
	assert_int_equal(read_text(xml, &d), -EINVAL);
	assert_string_equal(err.text, "line 2: a DOCTYPE is not accepted");
}

static void what_is_too_deep_or_too_large_is_refused(void **state)
{
	struct buffer b = {0};
	struct domain d;
	for (int i = 0; i < 100; i++)
		buffer_print(&b, i == 0 ? "<domain>" : "<a>");
	assert_int_equal(domain_read((char *)b.data, b.size, &d, &err), -EINVAL);
	assert_non_null(strstr(err.text, "nested too deep"));
	buffer_close(&b);

	buffer_print(&b, "<domain><name>");
	for (int i = 0; i < 1000; i++)
		buffer_print(&b, "a");
	assert_int_equal(domain_read((char *)b.data, b.size, &d, &err), -EINVAL);
	assert_string_equal(err.text, "line 1: <name> is too long");
	for (int i = 0; i < 110000; i++)
		buffer_print(&b, "          ");
	assert_int_equal(domain_read((char *)b.data, b.size, &d, NULL), -EINVAL);
	buffer_close(&b);
}

/* The volumes of a domain with these devices, with a ' ' behind each. */
static const char *volumes_of(const char *devices)
{
	static char text[VOLUMES_MAX * VOLUME_NAME_MAX];
	struct domain d;
	struct buffer b = {0};
	buffer_print(&b,
	    "<domain><name>a</name>" UUID "<memory>1024</memory>\n<devices>%s</devices></domain>",
	    devices);
	err.text[0] = text[0] = '\0';
	if (domain_read((char *)b.data, b.size, &d, &err) == 0)
		for (unsigned i = 0; i < d.volumes.count; i++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ",
			    d.volumes.names[i]);
	buffer_close(&b);
	return text;
}

#define DISK(attributes, parts) "<disk type='network'" attributes ">" parts "</disk>"
#define RBD(name)		"<source protocol='rbd' name='" name "'/>"

static void the_volumes_are_the_rbd_disks_that_it_may_write(void **state)
{
	assert_string_equal(
	    volumes_of(DISK(" device='disk'",
		"<driver name='qemu' type='raw'/><auth username='libvirt'/>"
		"<source protocol='rbd' name='vms/web1_sda'><host name='10.0.0.1'/>"
		"</source><target dev='sda' bus='scsi'/>") DISK("", RBD("vms/blue/web1_sdb"))
		    DISK(" device='lun'", RBD("vms/web1_sda"))),
	    "vms/web1_sda vms/blue/web1_sdb ");
	assert_string_equal(
	    volumes_of("<interface type='network'>" RBD("vms/a") "</interface>"), "");
	assert_string_equal(volumes_of("<disk type='file'>" RBD("vms/a") "</disk>"), "");
	assert_string_equal(volumes_of("<disk>" RBD("vms/a") "</disk>"), "");
	assert_string_equal(
	    volumes_of(DISK("", "<source protocol='nbd' name='vms/a'/>") DISK("", "")), "");
	assert_string_equal(volumes_of("<x>" DISK("", RBD("vms/a")) "</x>"), "");
}

static void a_disk_that_it_does_not_lock_is_no_volume_of_it(void **state)
{
	assert_string_equal(
	    volumes_of(DISK("", RBD("iso/a") "<readonly/>") DISK("", "<shareable/>" RBD("vms/b"))
		    DISK(" device='cdrom'", RBD("iso/c")) DISK("", RBD("vms/d@monday"))
			DISK("", "<source protocol='rbd' name='vms/e'>"
				 "<snapshot name='monday'/></source>") DISK("", RBD("vms/f"))),
	    "vms/f ");
	assert_string_equal(
	    volumes_of(
		DISK("", "<backingStore type='network'>" RBD("vms/base") "</backingStore>" RBD(
			     "vms/top") "<mirror>" RBD("vms/copy") "</mirror>")),
	    "vms/top ");
}

static void a_volume_that_is_none_is_refused_with_its_line(void **state)
{
	assert_string_equal(volumes_of("\n" DISK("", RBD("web1_sda"))), "");
	assert_string_equal(err.text, "line 3: rbd: 'web1_sda' is no volume: POOL/IMAGE is");
	volumes_of(DISK("", RBD("")));
	assert_string_equal(err.text, "line 2: rbd: '?' is no volume: POOL/IMAGE is");
	volumes_of(DISK("", "<source protocol='rbd'/>"));
	assert_string_equal(err.text, "line 2: rbd: '?' is no volume: POOL/IMAGE is");
	struct buffer many = {0};
	for (unsigned i = 0; i <= VOLUMES_MAX; i++)
		buffer_print(&many, DISK("", RBD("vms/disk%u")), i);
	buffer_append_u8(&many, 0);
	volumes_of((char *)many.data);
	assert_string_equal(err.text, "line 2: rbd: more than 64 volumes");
	buffer_close(&many);
}

static const char with_network[] =
    "<domain><name>a</name>" UUID "<memory>1</memory><devices>\n"
    "<interface type='bridge'><mac address='52:54:0:0A:b:1'/><source bridge='vmbr1'/>"
    "</interface>\n"
    "<interface type='bridge'><mac address='52:54:00:0a:0b:02'/><source bridge='vmbr1'/>"
    "<backend><source bridge='inner'/></backend></interface>\n"
    "<interface type='hostdev'><mac address='52:54:00:0a:0b:03'/><source bridge='vmbr2'/>"
    "</interface><source bridge='none'/>\n"
    "<disk type='network' device='cdrom'><source protocol='rbd' name='iso/debian'/></disk>\n"
    "<disk type='network'><source protocol='rbd' name='vms/a'/></disk>"
    "<disk type='network'><source protocol='rbd' name='vms/b'/></disk>\n"
    "</devices></domain>";

static void what_it_refers_to_is_known_with_its_line(void **state)
{
	static const uint8_t mac[] = {0x52, 0x54, 0, 0x0a, 0x0b, 1};
	struct domain d;
	assert_int_equal(read_text(with_network, &d), 0);
	assert_int_equal(d.macs_count, 3);
	assert_memory_equal(d.macs[0].bytes, mac, sizeof(mac));
	assert_int_equal(d.macs[2].line, 4);
	assert_int_equal(d.bridges.count, 2);
	assert_string_equal(d.bridges.items[0].text, "vmbr1");
	assert_int_equal(d.bridges.items[0].line, 2);
	assert_string_equal(d.bridges.items[1].text, "vmbr2");
	assert_int_equal(d.pools.count, 2);
	assert_string_equal(d.pools.items[0].text, "iso");
	assert_int_equal(d.pools.items[0].line, 5);
	assert_string_equal(d.pools.items[1].text, "vms");
	assert_int_equal(d.name_line, 1);
	assert_int_equal(d.uuid_line, 1);
}

static void interface_refused(const char *interfaces, const char *message)
{
	char xml[1024];
	struct domain d;
	snprintf(xml, sizeof(xml),
	    "<domain><name>a</name>" UUID "<memory>1</memory><devices>\n%s</devices></domain>",
	    interfaces);
	assert_int_equal(read_text(xml, &d), -EINVAL);
	assert_string_equal(err.text, message);
}

static void a_mac_address_is_one_and_of_one_interface(void **state)
{
	interface_refused("<interface><mac address='52:54:00:0a:0b'/></interface>",
	    "line 2: '52:54:00:0a:0b' is no MAC address");
	interface_refused("<interface><mac address='52:54:00:0a:0b:100'/></interface>",
	    "line 2: '52:54:00:0a:0b:100' is no MAC address");
	interface_refused("<interface><mac address='52:54:00:0a:0b:01'/></interface>\n"
			  "<interface><mac address='52:54:0:a:B:1'/></interface>",
	    "line 3: two interfaces have the MAC address 52:54:0:a:B:1");
}

static const char *renamed(const char *xml, const char *name)
{
	static struct buffer out;
	struct blob blob = {(uint8_t *)(uintptr_t)xml, (uint32_t)strlen(xml)};
	if (domain_rename(&blob, name, &out, &err))
		return err.text;
	buffer_append_u8(&out, 0);
	return (const char *)out.data;
}

static void another_name_changes_no_other_byte(void **state)
{
	assert_string_equal(
	    renamed("<domain>\n <metadata><name>x</name></metadata>\n <name>web1</name>" UUID
		    "<memory>1</memory><devices><name>web1</name></devices></domain>\n",
		"web<2>&"),
	    "<domain>\n <metadata><name>x</name></metadata>\n <name>web&lt;2&gt;&amp;</name>" UUID
	    "<memory>1</memory><devices><name>web1</name></devices></domain>\n");
	assert_string_equal(
	    renamed("<domain><name>a</name>" UUID "<memory>1</memory></domain>", "a/b"),
	    "line 1: the name has a '/' or a control character in it, or is . or ..");
	assert_string_equal(
	    renamed("<?xml version='1.0' encoding='ISO-8859-1'?><domain><name>a</name>" UUID
		    "<memory>1</memory></domain>",
		"gr\xc3\xbcn"),
	    "line 1: the XML's encoding has no such name");
	assert_string_equal(renamed("<domain><name>a</name>", "b"), "line 1: no element found");
}

static void any_change_of_one_byte_is_read_or_refused_with_a_line(void **state)
{
	char xml[] = "<domain type='qemu'><name>web1</name>" UUID
		     "<memory unit='MiB'>512</memory><vcpu>2</vcpu><devices><disk type='network'>"
		     "<source protocol='rbd' name='vms/a'/></disk></devices></domain>";
	struct domain d;
	for (size_t at = 0; at < sizeof(xml) - 1; at++) {
		char was = xml[at];
		for (int byte = 0; byte < 256; byte++) {
			xml[at] = (char)byte;
			int rc = domain_read(xml, sizeof(xml) - 1, &d, &err);
			assert_true(rc == 0 || (rc == -EINVAL && !strncmp(err.text, "line ", 5)));
		}
		xml[at] = was;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_libvirt_writes_is_read),
	    cmocka_unit_test(memory_comes_in_every_unit_of_libvirt_and_is_rounded_up),
	    cmocka_unit_test(memory_is_reckoned_from_any_number_of_any_unit),
	    cmocka_unit_test(memory_that_is_none_is_refused),
	    cmocka_unit_test(a_uuid_comes_out_in_one_form),
	    cmocka_unit_test(a_refusal_names_the_line_and_what_is_wrong),
	    cmocka_unit_test(entities_are_never_expanded),
	    cmocka_unit_test(what_is_too_deep_or_too_large_is_refused),
	    cmocka_unit_test(the_volumes_are_the_rbd_disks_that_it_may_write),
	    cmocka_unit_test(a_disk_that_it_does_not_lock_is_no_volume_of_it),
	    cmocka_unit_test(a_volume_that_is_none_is_refused_with_its_line),
	    cmocka_unit_test(what_it_refers_to_is_known_with_its_line),
	    cmocka_unit_test(a_mac_address_is_one_and_of_one_interface),
	    cmocka_unit_test(another_name_changes_no_other_byte),
	    cmocka_unit_test(any_change_of_one_byte_is_read_or_refused_with_a_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
