#include "node/worker/domain.h"

#include <ctype.h>
#include <errno.h>
#include <expat.h>
#include <stdbool.h>
#include <stdio.h>
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
	char unit[16];
	bool devices; /* depth 2 is <devices>... */
	bool in_disk; /* ...and depth 3 a <disk> */
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
	if (r->item == ITEM_MEMORY)
		unit_remember(r, attributes);
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
	/* Of two, libvirt takes the first. IMAGE@SNAPSHOT is an older form of <snapshot>. */
	if (disk->source[0] == '\0')
		snprintf(disk->source, sizeof(disk->source), "%s", *source ? source : "?");
	if (strchr(source, '@'))
		disk->locks = false;
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
	} else if (r->devices && r->depth == 3 && strcmp(name, "disk") == 0) {
		disk_begin(r, attributes);
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
	if (r->in_disk && r->depth == 2 && !r->failed)
		disk_end(r);
	if (r->depth != 1 || r->item == ITEM_NONE || r->failed)
		return;
	r->text[r->text_size] = '\0';
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

int domain_read(const char *xml, size_t size, struct domain *d, struct err *err)
{
	/* libvirt: without <vcpu> it has one. */
	*d = (struct domain){.vcpus = 1};
	if (size > DOMAIN_SIZE_MAX)
		return err_set(err, -EINVAL, "line 1: the XML has more than 1 MiB");
	struct err unread;
	struct reading r = {.domain = d, .err = err ? err : &unread, .item = ITEM_NONE};
	r.parser = XML_ParserCreate(NULL);
	if (!r.parser)
		return err_set(err, -EINVAL, "line 1: no memory to read the XML");
	int rc = domain_parse(&r, xml, size);
	XML_ParserFree(r.parser);
	return rc;
}
