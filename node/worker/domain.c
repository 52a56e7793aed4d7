#include "node/worker/domain.h"

#include <ctype.h>
#include <errno.h>
#include <expat.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/text.h"

#define TEXT_MAX 256 /* of an element that is read */

enum item { ITEM_NAME, ITEM_UUID, ITEM_MEMORY, ITEM_VCPU, ITEMS, ITEM_NONE = ITEMS };

static const char *const item_names[] = {"name", "uuid", "memory", "vcpu"};

struct disk { /* a <disk> of <devices> */
	bool network; /* its type */
	bool locks; /* as far as it is read: no readonly one */
	char source[VOLUME_NAME_MAX + 1]; /* of rbd; "": it has none, or another's */
};

struct reading {
	XML_Parser parser;
	struct domain *domain;
	struct err *err;
	bool failed; /* err says why */
	unsigned depth;
	enum item item; /* the element that depth 2 is in */
	bool seen[ITEMS];
	char text[TEXT_MAX];
	size_t text_size;
	unsigned long root_line;
	long name_begin, name_end; /* bytes: between <name> and </name> */
	char unit[16];
	bool devices; /* depth 2 is <devices>... */
	bool in_disk; /* ...and depth 3 a <disk> */
	bool in_interface; /* ...or an <interface> */
	struct disk disk;
};

static void fail(struct reading *r, const char *format, const char *detail)
    __attribute__((format(printf, 2, 0)));

/* Only the first failure counts: expat may call on until it stops. */
static void fail(struct reading *r, const char *format, const char *detail)
{
	if (r->failed)
		return;
	r->failed = true;
	err_set(r->err, 0, format, detail);
	err_wrap(r->err, 0, "line %lu", (unsigned long)XML_GetCurrentLineNumber(r->parser));
	XML_StopParser(r->parser, XML_FALSE);
}

static unsigned line_of(const struct reading *r)
{
	return (unsigned)XML_GetCurrentLineNumber(r->parser);
}

/* The text without the white space around it. */
static const char *text_trim(char *text)
{
	size_t size = strlen(text);
	while (size > 0 && isspace((unsigned char)text[size - 1]))
		text[--size] = '\0';
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

/* 0 or -EINVAL: digits only, no sign, below 2^64. */
static int number_parse(const char *text, uint64_t *value)
{
	*value = 0;
	if (*text == '\0')
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(*value, (uint64_t)10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*text - '0'), value))
			return -EINVAL;
	}
	return 0;
}

/* libvirt's formatdomain: "b" or "bytes", "KB" (1000), "k" or "KiB" (1024), the same with
 * M, G, T, P and E; in any case. The default is KiB. 0: no such unit. */
static uint64_t unit_bytes(const char *unit)
{
	if (strcasecmp(unit, "b") == 0 || strcasecmp(unit, "byte") == 0 ||
	    strcasecmp(unit, "bytes") == 0)
		return 1;
	static const char letters[] = "kmgtpe";
	const char *letter = *unit ? strchr(letters, tolower((unsigned char)*unit)) : NULL;
	if (!letter)
		return 0;
	uint64_t base;
	if (unit[1] == '\0' || strcasecmp(unit + 1, "iB") == 0)
		base = 1024;
	else if (strcasecmp(unit + 1, "B") == 0)
		base = 1000;
	else
		return 0;
	uint64_t bytes = 1;
	for (long i = 0; i <= letter - letters; i++)
		bytes *= base;
	return bytes;
}

static void take_name(struct reading *r)
{
	const char *name = r->text;
	if (*name == '\0' || strlen(name) >= sizeof(r->domain->name)) {
		fail(r, "the name '%s' is empty or longer than 63 bytes", name);
		return;
	}
	if (!text_is_vm_name(name)) {
		fail(r, "the name has a '/' or a control character in it, or is . or ..%s", "");
		return;
	}
	snprintf(r->domain->name, sizeof(r->domain->name), "%s", name);
	r->domain->name_line = line_of(r);
}

/* As libvirt: 32 hexadecimal digits, hyphens anywhere between them. */
static void take_uuid(struct reading *r)
{
	const char *text = text_trim(r->text);
	char *out = r->domain->uuid;
	unsigned digits = 0;
	for (const char *c = text; *c; c++) {
		if (*c == '-' && digits > 0)
			continue;
		if (!isxdigit((unsigned char)*c) || digits == 32) {
			digits = 0;
			break;
		}
		if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
			*out++ = '-';
		*out++ = (char)tolower((unsigned char)*c);
		digits++;
	}
	*out = '\0';
	r->domain->uuid_line = line_of(r);
	if (digits != 32)
		fail(r, "'%s' is no uuid", text);
}

static void take_memory(struct reading *r)
{
	const char *text = text_trim(r->text);
	uint64_t number, bytes, unit = unit_bytes(r->unit);
	if (unit == 0) {
		fail(r, "memory in '%s': no such unit (KiB, MiB, GiB, ...)", r->unit);
		return;
	}
	if (number_parse(text, &number) != 0 || number == 0) {
		fail(r, "memory '%s' is no positive number", text);
		return;
	}
	if (__builtin_mul_overflow(number, unit, &bytes) || (bytes - 1) >> 20 >= DOMAIN_MIB_MAX) {
		fail(r, "memory '%s' is more than a PiB", text);
		return;
	}
	r->domain->memory_mib = ((bytes - 1) >> 20) + 1;
}

static void take_vcpu(struct reading *r)
{
	const char *text = text_trim(r->text);
	uint64_t number;
	if (number_parse(text, &number) != 0 || number == 0 || number > DOMAIN_VCPUS_MAX)
		fail(r, "vcpu '%s' is no number from 1 to 4096", text);
	r->domain->vcpus = (uint32_t)number;
}

static void unit_remember(struct reading *r, const XML_Char **attributes)
{
	snprintf(r->unit, sizeof(r->unit), "KiB");
	for (; *attributes; attributes += 2) {
		if (strcmp(attributes[0], "unit") == 0)
			snprintf(r->unit, sizeof(r->unit), "%s", attributes[1]);
	}
}

static void item_begin(struct reading *r, const XML_Char *name, const XML_Char **attributes)
{
	for (unsigned i = 0; i < ITEMS; i++) {
		if (strcmp(name, item_names[i]) == 0)
			r->item = i;
	}
	if (r->item == ITEM_NONE)
		return;
	if (r->seen[r->item])
		fail(r, "a second <%s>", name);
	r->seen[r->item] = true;
	r->text_size = 0;
	if (r->item == ITEM_NAME)
		r->name_begin =
		    (long)XML_GetCurrentByteIndex(r->parser) + XML_GetCurrentByteCount(r->parser);
	if (r->item == ITEM_MEMORY)
		unit_remember(r, attributes);
}

int domain_mac_parse(const char *text, uint8_t bytes[6])
{
	for (unsigned i = 0; i < 6; i++) {
		size_t digits = strspn(text, "0123456789abcdefABCDEF");
		if (digits < 1 || digits > 2 || text[digits] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		bytes[i] = (uint8_t)strtoul(text, NULL, 16);
		text += digits + 1;
	}
	return 0;
}

static void take_mac(struct reading *r, const char *text)
{
	struct domain *d = r->domain;
	struct domain_mac mac = {.line = line_of(r)};
	if (domain_mac_parse(text, mac.bytes)) {
		fail(r, "'%.64s' is no MAC address", text);
		return;
	}
	for (unsigned i = 0; i < d->macs_count; i++) {
		if (memcmp(d->macs[i].bytes, mac.bytes, sizeof(mac.bytes)) == 0) {
			fail(r, "two interfaces have the MAC address %.64s", text);
			return;
		}
	}
	if (d->macs_count == DOMAIN_MACS_MAX)
		fail(r, "more than 64 interfaces%s", "");
	else
		d->macs[d->macs_count++] = mac;
}

/* Each name once. */
static void take_name_of(
    struct reading *r, struct domain_names *names, const char *text, size_t size)
{
	struct domain_name *name = names->items;
	for (; name < names->items + names->count; name++) {
		if (strncmp(name->text, text, size) == 0 && !name->text[size])
			return;
	}
	if (size >= sizeof(name->text)) {
		fail(r, "the name %.100s is too long", text);
	} else if (names->count == DOMAIN_NAMES_MAX) {
		fail(r, "%.64s: more than 32 bridges or pools", text);
	} else {
		snprintf(name->text, sizeof(name->text), "%.*s", (int)size, text);
		name->line = line_of(r);
		names->count++;
	}
}

static const char *attribute_of(const XML_Char **attributes, const char *name)
{
	for (; *attributes; attributes += 2) {
		if (strcmp(attributes[0], name) == 0)
			return attributes[1];
	}
	return "";
}

static void disk_begin(struct reading *r, const XML_Char **attributes)
{
	r->in_disk = true;
	r->disk = (struct disk){
	    .network = strcmp(attribute_of(attributes, "type"), "network") == 0,
	    .locks = strcmp(attribute_of(attributes, "device"), "cdrom") != 0,
	};
}

/* What stands within a <disk>; a backing store and a mirror have sources of their own, deeper. */
static void disk_part(struct reading *r, const XML_Char *name, const XML_Char **attributes)
{
	struct disk *disk = &r->disk;
	if (r->depth == 5 && strcmp(name, "snapshot") == 0)
		disk->locks = false;
	if (r->depth != 4)
		return;
	if (strcmp(name, "readonly") == 0 || strcmp(name, "shareable") == 0)
		disk->locks = false;
	if (strcmp(name, "source") != 0 || strcmp(attribute_of(attributes, "protocol"), "rbd") != 0)
		return;
	const char *source = attribute_of(attributes, "name");
	size_t pool = strcspn(source, "/");
	if (pool > 0 && source[pool])
		take_name_of(r, &r->domain->pools, source, pool);
	/* Of two, libvirt takes the first. IMAGE@SNAPSHOT is an older form of <snapshot>. */
	if (disk->source[0] == '\0')
		snprintf(disk->source, sizeof(disk->source), "%s", *source ? source : "?");
	if (strchr(source, '@'))
		disk->locks = false;
}

/* What stands within an <interface>. */
static void interface_part(struct reading *r, const XML_Char *name, const XML_Char **attributes)
{
	const char *address = attribute_of(attributes, "address");
	const char *bridge = attribute_of(attributes, "bridge");
	if (r->depth != 4)
		return;
	if (strcmp(name, "mac") == 0 && *address)
		take_mac(r, address);
	else if (strcmp(name, "source") == 0 && *bridge)
		take_name_of(r, &r->domain->bridges, bridge, strlen(bridge));
}

static void disk_end(struct reading *r)
{
	struct disk *disk = &r->disk;
	struct err err;
	r->in_disk = false;
	if (!disk->network || !disk->locks || disk->source[0] == '\0')
		return;
	if (volumes_add(&r->domain->volumes, disk->source, &err) != 0)
		fail(r, "rbd: %s", err.text);
}

static void XMLCALL on_begin(void *data, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = data;
	r->depth++;
	if (r->depth == 1) {
		r->root_line = XML_GetCurrentLineNumber(r->parser);
		if (strcmp(name, "domain") != 0)
			fail(r, "<%.100s> where <domain> should be", name);
	} else if (r->depth == 2) {
		item_begin(r, name, attributes);
		r->devices = strcmp(name, "devices") == 0;
	} else if (r->item != ITEM_NONE) {
		fail(r, "<%.100s> where there should be text", name);
	} else if (r->depth > DOMAIN_DEPTH_MAX) {
		fail(r, "<%.100s> is nested too deep", name);
	} else if (r->in_disk) {
		disk_part(r, name, attributes);
	} else if (r->in_interface) {
		interface_part(r, name, attributes);
	} else if (r->devices && r->depth == 3 && strcmp(name, "disk") == 0) {
		disk_begin(r, attributes);
	} else if (r->devices && r->depth == 3 && strcmp(name, "interface") == 0) {
		r->in_interface = true;
	}
}

static void XMLCALL on_text(void *data, const XML_Char *text, int size)
{
	struct reading *r = data;
	if (r->item == ITEM_NONE || r->failed)
		return;
	if ((size_t)size >= sizeof(r->text) - r->text_size) {
		fail(r, "<%s> is too long", item_names[r->item]);
		return;
	}
	memcpy(r->text + r->text_size, text, (size_t)size);
	r->text_size += (size_t)size;
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
	static void (*const take[])(struct reading *) = {
	    take_name, take_uuid, take_memory, take_vcpu};
	struct reading *r = data;
	r->depth--;
	if (r->depth == 2)
		r->in_interface = false;
	if (r->in_disk && r->depth == 2 && !r->failed)
		disk_end(r);
	if (r->depth != 1 || r->item == ITEM_NONE || r->failed)
		return;
	r->text[r->text_size] = '\0';
	if (r->item == ITEM_NAME)
		r->name_end = (long)XML_GetCurrentByteIndex(r->parser);
	take[r->item](r);
	r->item = ITEM_NONE;
}

/* Entities that expand to more entities, and files to be read, are declared in a DOCTYPE. */
static void XMLCALL on_doctype(
    void *data, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
	fail(data, "a DOCTYPE is not accepted%s", "");
}

static int domain_check_complete(const struct reading *r)
{
	static const char *const advice[ITEMS] = {
	    "no <name>",
	    "no <uuid>: add one, such as what uuidgen prints",
	    "no <memory>",
	};
	for (unsigned i = 0; i < ITEMS; i++) {
		if (!r->seen[i] && advice[i])
			return err_set(r->err, -EINVAL, "line %lu: %s", r->root_line, advice[i]);
	}
	return 0;
}

static int domain_parse(struct reading *r, const char *xml, size_t size)
{
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_begin, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	if (XML_Parse(r->parser, xml, (int)size, 1) == XML_STATUS_OK && !r->failed)
		return domain_check_complete(r);
	if (!r->failed)
		fail(r, "%s", XML_ErrorString(XML_GetErrorCode(r->parser)));
	return -EINVAL;
}

static int read_all(struct reading *r, const char *xml, size_t size)
{
	/* libvirt: without <vcpu> it has one. */
	*r->domain = (struct domain){.vcpus = 1};
	if (size > DOMAIN_SIZE_MAX)
		return err_set(r->err, -EINVAL, "line 1: the XML has more than 1 MiB");
	r->parser = XML_ParserCreate(NULL);
	if (!r->parser)
		return err_set(r->err, -EINVAL, "line 1: no memory to read the XML");
	int rc = domain_parse(r, xml, size);
	XML_ParserFree(r->parser);
	return rc;
}

int domain_read(const char *xml, size_t size, struct domain *d, struct err *err)
{
	struct err unread;
	struct reading r = {.domain = d, .err = err ? err : &unread, .item = ITEM_NONE};
	return read_all(&r, xml, size);
}

static void append_escaped(struct buffer *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			buffer_print(out, "&lt;");
		else if (*text == '>')
			buffer_print(out, "&gt;");
		else if (*text == '&')
			buffer_print(out, "&amp;");
		else
			buffer_append(out, text, 1);
	}
}

int domain_rename(const struct blob *xml, const char *name, struct buffer *out, struct err *err)
{
	struct domain d;
	struct reading r = {.domain = &d, .err = err, .item = ITEM_NONE};
	const char *bytes = (const char *)xml->data;
	int rc = read_all(&r, bytes, xml->size);
	out->size = 0;
	if (rc != 0)
		return rc;
	buffer_append(out, bytes, (size_t)r.name_begin);
	append_escaped(out, name);
	buffer_append(out, bytes + r.name_end, xml->size - (size_t)r.name_end);
	rc = domain_read((const char *)out->data, out->size, &d, err);
	/* It may be in another encoding than the name is. */
	if (rc == 0 && strcmp(d.name, name) != 0)
		rc = err_set(
		    err, -EINVAL, "line %u: the XML's encoding has no such name", d.name_line);
	return rc;
}
