/* From libyaml's events to a configuration, by the table of keys.
 *
 * Events, not documents: an alias is seen before it is followed, so that a few
 * bytes cannot unfold to many, and a tag is refused before it means anything. */
#include <assert.h>
#include <string.h>
#include <yaml.h>

#include "node/config/config_key.h"
#include "node/config/config_problem.h"

#define EXCERPT_MAX 64
#define NESTING_MAX 32 /* deeper than any key, and than anybody means to go */

enum frame_kind {
	FRAME_GROUP, /* keys and values */
	FRAME_LIST, /* a list of groups */
	FRAME_TEXTS, /* a list of texts */
};

struct frame {
	enum frame_kind kind;
	const struct config_key *keys; /* of a group */
	char *base; /* of a group */
	unsigned lines[CONFIG_KEYS_MAX]; /* where each key stood; 0: not yet */
	const struct config_key *value_for; /* the key whose value comes next, or NULL */
	const struct config_key *list; /* of a list */
	char *items; /* of a list */
};

struct reading {
	struct config_problems *problems;
	struct frame frames[CONFIG_DEPTH_MAX + 1];
	unsigned depth; /* frames in use */
	unsigned skip; /* collections open within a node that is skipped */
	bool skip_value; /* the value of a key that was not taken comes next */
	unsigned documents;
	unsigned byte_problems; /* of check_bytes(): the first ones */
};

#define problem(r, mark, ...)                                                                      \
	config_problem((r)->problems, line_of(mark), column_of(mark), __VA_ARGS__)

static unsigned line_of(const yaml_mark_t *mark)
{
	return (unsigned)mark->line + 1;
}

static unsigned column_of(const yaml_mark_t *mark)
{
	return (unsigned)mark->column + 1;
}

/* The beginning of a text, fit to be shown. */
static const char *excerpt(char out[EXCERPT_MAX], const void *text, size_t size)
{
	size_t shown = size < EXCERPT_MAX ? size : EXCERPT_MAX - 4;
	memcpy(out, text, shown);
	while (shown < size && shown && (out[shown - 1] & 0x80))
		shown--; /* no half characters */
	for (size_t i = 0; i < shown; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = '?';
	memcpy(out + shown, shown < size ? "..." : "", shown < size ? 4 : 1);
	return out;
}

static const char *node_noun(const yaml_event_t *e)
{
	if (e->type == YAML_MAPPING_START_EVENT)
		return "a group of keys";
	if (e->type == YAML_SEQUENCE_START_EVENT)
		return "a list";
	return "a single value";
}

static bool is_start(const yaml_event_t *e)
{
	return e->type == YAML_MAPPING_START_EVENT || e->type == YAML_SEQUENCE_START_EVENT;
}

static bool is_end(const yaml_event_t *e)
{
	return e->type == YAML_MAPPING_END_EVENT || e->type == YAML_SEQUENCE_END_EVENT;
}

/* Nothing was written: "key:", "key: ~" or "key: null". */
static bool is_nothing(const yaml_event_t *e)
{
	if (e->type != YAML_SCALAR_EVENT || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	const char *text = (const char *)e->data.scalar.value;
	return !*text || !strcmp(text, "~") || !strcmp(text, "null");
}

static void tag_problem(struct reading *r, const char *tag, const yaml_mark_t *mark)
{
	/* libyaml has unfolded the "!!" that was written. */
	static const char prefix[] = "tag:yaml.org,2002:";
	size_t known = strncmp(tag, prefix, strlen(prefix)) ? 0 : strlen(prefix);
	char text[EXCERPT_MAX];
	problem(r, mark, "tags are not accepted: %s%s", known ? "!!" : "",
	    excerpt(text, tag + known, strlen(tag + known)));
}

/* Tags, anchors and aliases: of no use here, and all there is in YAML that can
 * make a reader do something. */
static void check_properties(struct reading *r, const yaml_event_t *e)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	char text[EXCERPT_MAX];
	if (e->type == YAML_ALIAS_EVENT) {
		const char *name = (const char *)e->data.alias.anchor;
		problem(r, &e->start_mark, "aliases are not accepted: *%s",
		    excerpt(text, name, strlen(name)));
	} else if (e->type == YAML_SCALAR_EVENT) {
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
	}
	if (anchor)
		problem(r, &e->start_mark, "anchors are not accepted: &%s",
		    excerpt(text, anchor, strlen((const char *)anchor)));
	if (tag)
		tag_problem(r, (const char *)tag, &e->start_mark);
}

static void skip_node(struct reading *r, const yaml_event_t *e)
{
	if (is_start(e))
		r->skip = 1;
}

static void remember(
    struct reading *r, const struct config_key *key, const void *value, const yaml_mark_t *mark)
{
	struct config_place place = {
	    .value = value, .key = key, .line = line_of(mark), .column = column_of(mark)};
	config_place_add(r->problems, &place);
}

static void refuse(struct reading *r, const struct config_key *key, const void *value)
{
	struct config_place *place = config_place_find(r->problems, value, key);
	if (place)
		place->refused = true;
}

static void push(struct reading *r, const struct frame *frame)
{
	assert(r->depth <= CONFIG_DEPTH_MAX);
	r->frames[r->depth++] = *frame;
}

static void take_scalar(
    struct reading *r, const struct config_key *key, void *value, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	size_t size = e->data.scalar.length;
	bool is_text = key->kind == CONFIG_TEXT || key->kind == CONFIG_SECRET;
	if (is_text && is_nothing(e))
		size = 0;
	char expected[128], shown[EXCERPT_MAX];
	/* What stands in quotes is a text. */
	bool in_quotes = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE &&
			 (key->kind == CONFIG_NUMBER || key->kind == CONFIG_FLAG);
	const char *wanted = in_quotes ? config_value_set(key, value, "", 0, expected)
				       : config_value_set(key, value, text, size, expected);
	if (!wanted)
		return;
	refuse(r, key, value);
	if (in_quotes)
		problem(r, &e->start_mark, "'%s' must be %s, not the text \"%s\"", key->name,
		    wanted, excerpt(shown, text, size));
	else if (key->kind == CONFIG_SECRET)
		problem(r, &e->start_mark, "'%s' must be %s", key->name, wanted);
	else
		problem(r, &e->start_mark, "'%s' must be %s, not '%s'", key->name, wanted,
		    excerpt(shown, text, size));
}

static void wrong_type(
    struct reading *r, const struct config_key *key, const char *wanted, const yaml_event_t *e)
{
	problem(r, &e->start_mark, "'%s' must be %s, not %s", key->name, wanted, node_noun(e));
	skip_node(r, e);
}

/* The value of a key that is known and was not given before. */
static void take_value(struct reading *r, struct frame *f, const yaml_event_t *e)
{
	const struct config_key *key = f->value_for;
	char *value = f->base + key->offset;
	const char *wanted = NULL;
	f->value_for = NULL;
	switch (key->kind) {
	case CONFIG_PART:
		if (e->type == YAML_MAPPING_START_EVENT)
			push(r, &(struct frame){
				    .kind = FRAME_GROUP, .keys = key->keys(), .base = value});
		else if (!is_nothing(e))
			wanted = "a group of keys";
		break;
	case CONFIG_LIST:
	case CONFIG_TEXTS:
		if (e->type == YAML_SEQUENCE_START_EVENT)
			push(r, &(struct frame){
				    .kind = key->kind == CONFIG_LIST ? FRAME_LIST : FRAME_TEXTS,
				    .list = key,
				    .items = value});
		else if (!is_nothing(e))
			wanted = "a list";
		break;
	default:
		if (e->type == YAML_SCALAR_EVENT)
			take_scalar(r, key, value, e);
		else
			wanted = "a single value";
	}
	if (wanted) {
		refuse(r, key, value);
		wrong_type(r, key, wanted, e);
	}
}

static void unknown_key(struct reading *r, const struct frame *f, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.scalar.value;
	char shown[EXCERPT_MAX];
	excerpt(shown, name, e->data.scalar.length);
	const char *guess = config_key_guess(f->keys, name);
	if (guess)
		problem(r, &e->start_mark, "unknown key '%s' (did you mean '%s'?)", shown, guess);
	else
		problem(r, &e->start_mark, "unknown key '%s'", shown);
}

static const struct config_key *key_find(const struct config_key *keys, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.scalar.value;
	for (; keys->kind != CONFIG_END; keys++)
		if (!strcmp(keys->name, name) && strlen(name) == e->data.scalar.length)
			return keys;
	return NULL;
}

static void take_key(struct reading *r, struct frame *f, const yaml_event_t *e)
{
	r->skip_value = true;
	if (e->type != YAML_SCALAR_EVENT) {
		if (e->type != YAML_ALIAS_EVENT)
			problem(r, &e->start_mark, "a key must be a word, not %s", node_noun(e));
		skip_node(r, e);
		return;
	}
	const struct config_key *key = key_find(f->keys, e);
	if (!key) {
		unknown_key(r, f, e);
		return;
	}
	unsigned *line = &f->lines[key - f->keys];
	if (*line) {
		problem(
		    r, &e->start_mark, "duplicate key '%s' (first on line %u)", key->name, *line);
		return;
	}
	*line = line_of(&e->start_mark);
	remember(r, key, f->base + key->offset, &e->start_mark);
	f->value_for = key;
	r->skip_value = false;
}

/* Room for one more item of a list, or NULL. */
static void *item_add(struct reading *r, struct frame *f, const yaml_event_t *e)
{
	unsigned *count = config_list_count(f->list, f->items);
	if (*count == f->list->most) {
		problem(
		    r, &e->start_mark, "'%s' has more than %u items", f->list->name, f->list->most);
		return NULL;
	}
	return f->items + (*count)++ * f->list->size;
}

static void take_group_item(struct reading *r, struct frame *f, const yaml_event_t *e)
{
	if (e->type != YAML_MAPPING_START_EVENT) {
		problem(r, &e->start_mark, "an item of '%s' must be a group of keys, not %s",
		    f->list->name, node_noun(e));
		skip_node(r, e);
		return;
	}
	char *item = item_add(r, f, e);
	if (!item) {
		skip_node(r, e);
		return;
	}
	const struct config_key *keys = f->list->keys();
	config_record_init(keys, item);
	remember(r, f->list, item, &e->start_mark);
	push(r, &(struct frame){.kind = FRAME_GROUP, .keys = keys, .base = item});
}

static void take_text_item(struct reading *r, struct frame *f, const yaml_event_t *e)
{
	if (e->type != YAML_SCALAR_EVENT) {
		problem(r, &e->start_mark, "an item of '%s' must be a single value, not %s",
		    f->list->name, node_noun(e));
		refuse(r, f->list, f->items);
		skip_node(r, e);
		return;
	}
	char expected[128], shown[EXCERPT_MAX];
	const char *text = (const char *)e->data.scalar.value;
	size_t size = e->data.scalar.length;
	char *item = item_add(r, f, e);
	const char *wanted = item ? config_value_set(f->list, item, text, size, expected) : NULL;
	if (item && !wanted)
		remember(r, f->list, item, &e->start_mark);
	if (wanted) {
		--*config_list_count(f->list, f->items);
		refuse(r, f->list, f->items);
		problem(r, &e->start_mark, "an item of '%s' must be %s, not '%s'", f->list->name,
		    wanted, excerpt(shown, text, size));
	}
}

/* One event that begins a node: a single value, a group or a list. */
static void take_node(struct reading *r, const yaml_event_t *e)
{
	if (r->depth == 0 && is_nothing(e))
		return;
	if (r->depth == 0) {
		problem(
		    r, &e->start_mark, "the file must be a group of keys, not %s", node_noun(e));
		skip_node(r, e);
		return;
	}
	struct frame *f = &r->frames[r->depth - 1];
	if (r->skip_value) {
		r->skip_value = false;
		skip_node(r, e);
	} else if (e->type == YAML_ALIAS_EVENT) {
		if (f->value_for)
			refuse(r, f->value_for, f->base + f->value_for->offset);
		f->value_for = NULL;
	} else if (f->kind == FRAME_LIST) {
		take_group_item(r, f, e);
	} else if (f->kind == FRAME_TEXTS) {
		take_text_item(r, f, e);
	} else {
		take_value(r, f, e);
	}
}

static void take_event(struct reading *r, const yaml_event_t *e, struct config *c)
{
	struct frame *f = r->depth ? &r->frames[r->depth - 1] : NULL;
	check_properties(r, e);
	if (r->skip) {
		r->skip += is_start(e) ? 1 : 0;
		r->skip -= is_end(e) ? 1 : 0;
	} else if (is_end(e)) {
		assert(f);
		r->depth--;
	} else if (!f && e->type == YAML_MAPPING_START_EVENT) {
		push(r, &(struct frame){
			    .kind = FRAME_GROUP, .keys = config_file_keys(), .base = (char *)c});
	} else if (f && f->kind == FRAME_GROUP && !f->value_for && !r->skip_value) {
		take_key(r, f, e);
	} else {
		take_node(r, e);
	}
}

static bool is_node(const yaml_event_t *e)
{
	return is_start(e) || is_end(e) || e->type == YAML_SCALAR_EVENT ||
	       e->type == YAML_ALIAS_EVENT;
}

enum reading_state { READING, READ, GIVEN_UP };

static enum reading_state handle_event(struct reading *r, const yaml_event_t *e, struct config *c)
{
	if (e->type == YAML_STREAM_END_EVENT)
		return READ;
	if (e->type == YAML_DOCUMENT_START_EVENT && ++r->documents > 1) {
		problem(r, &e->start_mark, "a second document in the same file is not accepted");
		return READ;
	}
	if (is_node(e))
		take_event(r, e, c);
	if (r->depth + r->skip > NESTING_MAX) {
		problem(r, &e->start_mark, "nested more than %d deep", NESTING_MAX);
		return GIVEN_UP;
	}
	return READING;
}

static void syntax_problem(
    struct reading *r, const yaml_parser_t *parser, const char *text, size_t size)
{
	unsigned line = line_of(&parser->problem_mark), column = column_of(&parser->problem_mark);
	if (parser->error == YAML_READER_ERROR) {
		/* The reader knows the byte only. */
		line = column = 1;
		for (size_t i = 0; i < size && i < parser->problem_offset; i++) {
			column = text[i] == '\n' ? 1 : column + 1;
			line += text[i] == '\n' ? 1 : 0;
		}
	}
	/* What a tab or a NUL byte led to needs no second problem. */
	if (config_problem_on(r->problems, r->byte_problems, line))
		return;
	const char *context = parser->context;
	config_problem(r->problems, line, column, "not valid YAML: %s%s%s%s",
	    parser->problem ? parser->problem : "out of memory", context ? " (" : "",
	    context ? context : "", context ? ")" : "");
}

/* What can be said better before libyaml stumbles over it. */
static void check_bytes(const char *text, size_t size, struct config_problems *p)
{
	unsigned line = 1, column = 1;
	unsigned tab = 0; /* the column of the first one in the indentation */
	bool indentation = true;
	for (size_t i = 0; i < size; i++, column++) {
		char byte = text[i];
		if (byte == '\n') {
			line++;
			column = tab = 0;
			indentation = true;
			continue;
		}
		if (byte == '\0')
			config_problem(p, line, column, "a NUL byte");
		if (!indentation || byte == ' ' || byte == '\r')
			continue;
		if (byte == '\t') {
			tab = tab ? tab : column;
			continue;
		}
		indentation = false;
		if (tab && byte != '#')
			config_problem(p, line, tab, "a tab in the indentation: use spaces");
	}
}

bool config_yaml_read(struct config *c, const char *text, size_t size, struct config_problems *p)
{
	struct reading r = {.problems = p};
	yaml_parser_t parser;
	check_bytes(text, size, p);
	r.byte_problems = p->count;
	if (!yaml_parser_initialize(&parser)) {
		config_problem(p, 1, 1, "out of memory");
		return false;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	enum reading_state state = READING;
	while (state == READING) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			syntax_problem(&r, &parser, text, size);
			state = GIVEN_UP;
			break;
		}
		state = handle_event(&r, &event, c);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return state == READ;
}
