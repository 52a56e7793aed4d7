#include "storage/ceph_osd_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"
#include "storage/ceph_view.h"

#define WORDS_MAX 32
#define WORD_MAX  32 /* bytes of one that is read, with its NUL */

struct word {
	const char *text;
	size_t size;
};

/* The words of one line; of more than WORDS_MAX, the first. */
static size_t line_split(const char *line, size_t size, struct word *words)
{
	size_t n = 0;
	for (size_t i = 0; i < size && n < WORDS_MAX;) {
		if (line[i] == ' ' || line[i] == '\r' || line[i] == '\t') {
			i++;
			continue;
		}
		size_t start = i;
		while (i < size && line[i] != ' ' && line[i] != '\r' && line[i] != '\t')
			i++;
		words[n++] = (struct word){line + start, i - start};
	}
	return n;
}

static bool word_is(const struct word *word, const char *text)
{
	return word->size == strlen(text) && memcmp(word->text, text, word->size) == 0;
}

static bool is_header(const struct word *words, size_t n)
{
	static const char *const header[] = {"ID", "HOST", "USED", "AVAIL", "WR", "OPS", "WR",
	    "DATA", "RD", "OPS", "RD", "DATA", "STATE"};
	if (n != sizeof(header) / sizeof(header[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!word_is(&words[i], header[i]))
			return false;
	return true;
}

/* 868, 54.2M: a number and which power of base it counts. */
static bool word_scaled(const struct word *word, double base, uint64_t *value)
{
	static const char units[] = "kMGTPE";
	char text[WORD_MAX], *end;
	if (word->size >= sizeof(text) || word->text[0] < '0' || word->text[0] > '9')
		return false;
	memcpy(text, word->text, word->size);
	text[word->size] = '\0';
	double number = strtod(text, &end);
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (*end && (!unit || end[1]))
		return false;
	for (const char *u = units; unit && u <= unit; u++)
		number *= base;
	*value = number < (double)INT64_MAX ? (uint64_t)(number + 0.5) : INT64_MAX;
	return true;
}

static bool word_id(const struct word *word, uint32_t *id)
{
	uint64_t value;
	if (word->text[word->size - 1] > '9' || !word_scaled(word, 1, &value) || value > INT32_MAX)
		return false;
	*id = (uint32_t)value;
	return true;
}

/* Counted from the right: the second word may be the host or be missing. */
static void row_read(const struct word *words, size_t n, struct ceph_view *view)
{
	uint32_t id;
	struct ceph_osd rates;
	if (n < 8 || n > 9 || !word_id(&words[0], &id) ||
	    !word_scaled(&words[n - 5], 1000, &rates.write_ops) ||
	    !word_scaled(&words[n - 4], 1024, &rates.write_bytes) ||
	    !word_scaled(&words[n - 3], 1000, &rates.read_ops) ||
	    !word_scaled(&words[n - 2], 1024, &rates.read_bytes))
		return;
	struct ceph_osd *osd = ceph_view_osd(view, id);
	if (!osd)
		return;
	osd->write_ops = rates.write_ops;
	osd->write_bytes = rates.write_bytes;
	osd->read_ops = rates.read_ops;
	osd->read_bytes = rates.read_bytes;
	osd->known |= CEPH_OSD_IO;
}

int ceph_osd_table_read(const char *table, size_t size, struct ceph_view *view, struct err *err)
{
	struct word words[WORDS_MAX];
	bool headed = false;
	for (size_t at = 0; at < size;) {
		const char *end = memchr(table + at, '\n', size - at);
		size_t length = end ? (size_t)(end - (table + at)) : size - at;
		size_t n = line_split(table + at, length, words);
		at += length + 1;
		if (n == 0)
			continue;
		if (headed)
			row_read(words, n, view);
		else if (!is_header(words, n))
			return err_set(err, -EBADMSG, "not the columns that are known");
		headed = true;
	}
	return 0;
}
