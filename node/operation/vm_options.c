#include "node/operation/vm_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/text.h"
#include "node/config/config.h"

#define PIECE_MAX 128

/* The next word of a list with commas; false: there is none. One that is too long is cut, and then
 * nothing has that name. */
static bool next_piece(const char **at, char piece[PIECE_MAX])
{
	size_t size = strcspn(*at, ",");
	if (!size)
		return false;
	snprintf(piece, PIECE_MAX, "%.*s", (int)(size < PIECE_MAX ? size : PIECE_MAX - 1), *at);
	*at += size + ((*at)[size] == ',');
	return true;
}

static int compare_nodes(const void *a, const void *b)
{
	const struct node_ref *x = a, *y = b;
	return (x->node > y->node) - (x->node < y->node);
}

static int add_node(
    const struct cluster *c, const char *name, struct vm_options *options, struct err *err)
{
	const struct node *node = node_of_name(c, name, err);
	if (!node)
		return err_wrap(err, -ENOENT, "limit");
	for (uint32_t i = 0; i < options->limit_count; i++)
		if (options->limit[i].node == node->id)
			return err_set(err, -EINVAL, "limit: %s is given twice", node->name);
	options->limit[options->limit_count++].node = node->id;
	return 0;
}

static int read_limit(
    const struct operation_turn *turn, struct vm_options *options, struct err *err)
{
	const char *text = argument_text(turn->arguments, "limit");
	char piece[PIECE_MAX];
	while (text && next_piece(&text, piece)) {
		int result = add_node(turn->context->cluster, piece, options, err);
		if (result)
			return result;
	}
	qsort(options->limit, options->limit_count, sizeof(*options->limit), compare_nodes);
	return 0;
}

int vm_tags_add(struct vm_tags *tags, const char *text, struct err *err)
{
	size_t size = sizeof(tags->items->name);
	if (strlen(text) >= size || !text_is_node_name(text))
		return err_set(err, -EINVAL,
		    "'%.64s' is no tag: at most %zu letters, digits, '-', '_' and '.', the first "
		    "a letter or digit",
		    text, size - 1);
	for (uint32_t i = 0; i < tags->count; i++)
		if (!strcmp(tags->items[i].name, text))
			return 0;
	if (tags->count == VM_TAGS_MAX)
		return err_set(err, -ENOSPC, "a VM has at most %d tags", VM_TAGS_MAX);
	struct vm_tag *tag = &tags->items[tags->count++];
	*tag = (struct vm_tag){""};
	memcpy(tag->name, text, strlen(text));
	return 0;
}

int vm_tags_remove(struct vm_tags *tags, const char *text, struct err *err)
{
	uint32_t kept = 0, before = tags->count;
	for (uint32_t i = 0; i < tags->count; i++)
		if (strcmp(tags->items[i].name, text) != 0)
			tags->items[kept++] = tags->items[i];
	tags->count = kept;
	return kept < before ? 0 : err_set(err, -ENOENT, "it has no tag %.64s", text);
}

static int read_tags(const struct operation_turn *turn, struct vm_options *options, struct err *err)
{
	const char *text = argument_text(turn->arguments, "tag");
	char piece[PIECE_MAX];
	while (text && next_piece(&text, piece)) {
		int result = vm_tags_add(&options->tags, piece, err);
		if (result)
			return result;
	}
	return 0;
}

static enum selector read_selector(const struct operation_turn *turn)
{
	const struct config *config = turn->context->config;
	const char *name = argument_text(turn->arguments, "selector");
	if (name)
		return (enum selector)state_value(selector_names, name);
	return config ? (enum selector)config->system.migration.target_selector : SELECTOR_MEM;
}

/* true, or "yes". */
static bool read_autostart(const struct operation_turn *turn)
{
	const json_t *given = json_object_get(turn->arguments, "autostart");
	const char *text = json_string_value(given);
	return text ? !strcmp(text, "yes") : json_is_true(given);
}

static uint32_t given_bits(const json_t *arguments)
{
	static const struct {
		const char *name;
		enum vm_meta bit;
	} bits[] = {
	    {"selector", VM_META_SELECTOR},
	    {"method", VM_META_METHOD},
	    {"autostart", VM_META_AUTOSTART},
	    {"priority", VM_META_PRIORITY},
	    {"limit", VM_META_LIMIT},
	    {"no_limit", VM_META_LIMIT},
	    {"tag", VM_META_TAGS},
	};
	uint32_t given = 0;
	for (unsigned i = 0; i < sizeof(bits) / sizeof(*bits); i++)
		if (argument_given(arguments, bits[i].name))
			given |= bits[i].bit;
	return given;
}

int vm_options_read(const struct operation_turn *turn, struct vm_options *options, struct err *err)
{
	const char *method = argument_text(turn->arguments, "method");
	uint64_t priority = argument_number(turn->arguments, "priority");
	*options = (struct vm_options){.selector = read_selector(turn),
	    .method = MIGRATION_LIVE,
	    .autostart = read_autostart(turn),
	    .priority = (uint32_t)priority,
	    .given = given_bits(turn->arguments)};
	if (method)
		options->method =
		    (enum migration_method)state_value(migration_method_names, method);
	if (priority > UINT32_MAX)
		return err_set(err, -EINVAL, "priority: at most %u", UINT32_MAX);
	int result = read_limit(turn, options, err);
	return result ? result : read_tags(turn, options, err);
}

void vm_options_put(struct vm_options *options, struct command_vm_meta *meta)
{
	meta->given = options->given;
	meta->selector = options->selector;
	meta->method = options->method;
	meta->autostart = options->autostart;
	meta->priority = options->priority;
	meta->limit.items = options->limit;
	meta->limit.count = options->limit_count;
	meta->tags.items = options->tags.items;
	meta->tags.count = options->tags.count;
}
