#include "node/worker/effective.h"

#include <errno.h>
#include <expat.h>
#include <stdbool.h>
#include <string.h>

#include "node/worker/domain.h"

/* Where an element ends, and so where something can be put in as its last part. */
struct end {
	const char *name; /* x */
	size_t at; /* of "</x>", or of the "/>" of one that has no parts; 0: it is not there */
	bool empty;
};

struct reading {
	XML_Parser parser;
	unsigned depth;
	bool devices; /* depth 2 is <devices>... */
	bool serial; /* ...and depth 3 the first <serial>... */
	bool character; /* ...or any other that can have a log */
	bool log; /* one has */
	bool to_file; /* this first <serial> writes to a file */
	char file[CONSOLE_FILE_MAX]; /* of the first log, or of that serial; "": none */
	struct end domain_end, devices_end, serial_end;
};

/* Of libvirt's character devices those that a console may be. */
static bool is_character(const char *name)
{
	return strcmp(name, "serial") == 0 || strcmp(name, "console") == 0;
}

/* "" when it is not there. */
static const char *attribute_of(const XML_Char **attributes, const char *name)
{
	while (*attributes && strcmp(attributes[0], name) != 0)
		attributes += 2;
	return *attributes ? attributes[1] : "";
}

/* One that is too long is none. */
static void take_file(struct reading *r, const char *file)
{
	size_t size = strlen(file);
	if (!*r->file && size < sizeof(r->file))
		memcpy(r->file, file, size + 1);
}

static void on_part(struct reading *r, const XML_Char *name, const XML_Char **attributes)
{
	if (strcmp(name, "log") == 0) {
		r->log = true;
		take_file(r, attribute_of(attributes, "file"));
	} else if (strcmp(name, "source") == 0 && r->to_file) {
		take_file(r, attribute_of(attributes, "path"));
	}
}

static void XMLCALL on_begin(void *data, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = data;
	r->depth++;
	if (r->depth == 2)
		r->devices = strcmp(name, "devices") == 0;
	if (!r->devices)
		return;
	if (r->depth == 3) {
		r->character = is_character(name);
		r->serial = r->serial_end.at == 0 && strcmp(name, "serial") == 0;
		/* With both QEMU would write twice, perhaps to the same file. */
		r->to_file = r->serial && !strcmp(attribute_of(attributes, "type"), "file");
		if (r->to_file)
			r->log = true;
	}
	if (r->depth == 4 && r->character)
		on_part(r, name, attributes);
}

/* At the end of an element without parts expat stands behind it, and at nothing. */
static struct end end_here(const struct reading *r, const char *name)
{
	size_t at = (size_t)XML_GetCurrentByteIndex(r->parser);
	bool empty = XML_GetCurrentByteCount(r->parser) == 0;
	at -= empty ? strlen("/>") : 0;
	return (struct end){.name = name, .at = at, .empty = empty};
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
	struct reading *r = data;
	r->depth--;
	if (r->depth == 0)
		r->domain_end = end_here(r, "domain");
	/* Of two <devices>, which libvirt takes for one, the first. */
	if (r->depth == 1 && r->devices && r->devices_end.at == 0)
		r->devices_end = end_here(r, "devices");
	if (r->depth == 2 && r->serial) {
		r->serial_end = end_here(r, "serial");
		r->serial = false;
	}
}

/* As an attribute's value, in ASCII, so that it is the same in every encoding that has ASCII. */
static void append_attribute(struct buffer *out, const char *text)
{
	const uint8_t *c = (const uint8_t *)text;
	while (*c) {
		uint32_t point = *c++;
		unsigned more = point >= 0xf0 ? 3 : point >= 0xe0 ? 2 : point >= 0xc0 ? 1 : 0;
		/* 110xxxxx, 1110xxxx or 11110xxx, then 10xxxxxx as often. */
		if (more > 0)
			point &= 0x3fu >> more;
		for (; more > 0 && *c; more--)
			point = point << 6 | (*c++ & 0x3f);
		if (point >= 0x80 || strchr("<>&'\"", (int)point))
			buffer_print(out, "&#x%x;", point);
		else
			buffer_append_u8(out, (uint8_t)point);
	}
}

/* The XML with parts put in as the last ones of the element that ends there. */
static void append_within(
    struct buffer *out, const struct blob *xml, const struct end *end, const struct buffer *parts)
{
	size_t rest = end->at;
	buffer_append(out, xml->data, end->at);
	if (end->empty) {
		buffer_print(out, ">");
		rest += strlen("/>");
	}
	buffer_append(out, parts->data, parts->size);
	if (end->empty)
		buffer_print(out, "</%s>", end->name);
	buffer_append(out, xml->data + rest, xml->size - rest);
}

static void log_add(
    const struct reading *r, const struct blob *xml, const char *file, struct buffer *out)
{
	struct buffer parts = {0};
	const struct end *end = &r->serial_end;
	const char *before = "", *after = "";
	if (r->serial_end.at == 0 && r->devices_end.at > 0) {
		end = &r->devices_end;
		before = "<serial type='pty'>";
		after = "</serial>";
	} else if (r->serial_end.at == 0) {
		end = &r->domain_end;
		before = "<devices><serial type='pty'>";
		after = "</serial></devices>";
	}
	buffer_print(&parts, "%s<log file='", before);
	append_attribute(&parts, file);
	buffer_print(&parts, "' append='on'/>%s", after);
	append_within(out, xml, end, &parts);
	buffer_close(&parts);
}

/* The domain has been read before: only the offsets are news. */
static int ends_find(struct reading *r, const struct blob *xml, struct err *err)
{
	r->parser = XML_ParserCreate(NULL);
	if (!r->parser)
		return err_set(err, -EINVAL, "line 1: no memory to read the XML");
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_begin, on_end);
	bool good =
	    XML_Parse(r->parser, (const char *)xml->data, (int)xml->size, 1) == XML_STATUS_OK;
	XML_ParserFree(r->parser);
	return good ? 0 : err_set(err, -EINVAL, "line 1: it was readable a moment ago");
}

/* What is put in is ASCII; a byte is 0 in UTF-16 alone, and its mark begins with 0xfe or 0xff. */
static bool is_utf16(const struct blob *xml)
{
	return memchr(xml->data, 0, xml->size) || xml->data[0] >= 0xfe;
}

int domain_effective(
    const struct blob *xml, const char *directory, struct buffer *out, struct err *err)
{
	struct domain d;
	struct reading r = {.depth = 0};
	int rc = domain_read((const char *)xml->data, xml->size, &d, err);
	if (rc == 0)
		rc = ends_find(&r, xml, err);
	out->size = 0;
	if (rc != 0)
		return rc;
	if (r.log || is_utf16(xml)) {
		buffer_append(out, xml->data, xml->size);
		return 0;
	}
	struct buffer file = {0};
	buffer_print(&file, "%s/%s.log", directory, d.name);
	buffer_append_u8(&file, 0);
	log_add(&r, xml, (const char *)file.data, out);
	buffer_close(&file);
	return 0;
}

int domain_console(
    const struct blob *xml, const char *directory, char file[CONSOLE_FILE_MAX], struct err *err)
{
	struct buffer effective = {0};
	struct reading r = {.depth = 0};
	int rc = domain_effective(xml, directory, &effective, err);
	if (rc == 0)
		rc = ends_find(&r, &(struct blob){effective.data, (uint32_t)effective.size}, err);
	if (rc == 0 && *r.file != '/')
		rc = err_set(err, -ENODATA, "no serial console of it goes to a file");
	if (rc == 0)
		memcpy(file, r.file, sizeof(r.file));
	buffer_close(&effective);
	return rc;
}
