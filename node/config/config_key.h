/* config.def as a table to walk, and the rules of a single value.
 *
 * Shared by the files config*.c only. Everything that treats all keys alike
 * (defaults, parsing, printing, what is missing) goes through here. */
#ifndef NODE_CONFIG_CONFIG_KEY_H
#define NODE_CONFIG_CONFIG_KEY_H

#include "node/config/config.h"

#define CONFIG_DEPTH_MAX 8 /* groups within groups of config.def */
#define CONFIG_KEYS_MAX	 32 /* keys in a group */

enum config_kind {
	CONFIG_END, /* no key: the end of a record's list */
	CONFIG_FLAG,
	CONFIG_NUMBER,
	CONFIG_CHOICE,
	CONFIG_TEXT,
	CONFIG_SECRET,
	CONFIG_TEXTS, /* a list of texts */
	CONFIG_PART, /* a group of keys */
	CONFIG_LIST, /* a list of groups */
};

struct config_key {
	enum config_kind kind;
	const char *name;
	size_t offset; /* in its record */
	size_t size; /* of a text with its NUL, or of an item of a list */
	const char *fallback; /* as in the file; NULL: required */
	uint32_t least, most; /* of a number, or of the items of a list */
	bool or_0; /* a number may be 0 all the same */
	const char *const *choices;
	const char *(*check)(const char *text); /* of a text that is not empty: NULL, or
						   what it should be; itself NULL: any */
	const struct config_key *(*keys)(void); /* of the record of a part or list */
	size_t count_offset; /* of a list's count, in its record */
};

const struct config_key *config_file_keys(void);

/* Give each key of a record its default. base is zeroed memory of the record. */
void config_record_init(const struct config_key *keys, void *base);

/* Set a value from size bytes of text. Returns NULL, or what it must be
 * ("a number from 1 to 300"; in expected when that has to be made up) and
 * leaves the value alone. */
const char *config_value_set(
    const struct config_key *key, void *value, const char *text, size_t size, char expected[128]);

/* Append a value as YAML. */
void config_value_print(const struct config_key *key, const void *value, struct buffer *out);

/* The sibling key that name was probably meant to be, or NULL. */
const char *config_key_guess(const struct config_key *keys, const char *name);

/* One key after the other, in the order of the file, through parts and the
 * items of lists. */
struct config_step {
	const struct config_key *key;
	void *value;
	unsigned depth; /* 0: a key of the record that the walk began with */
	unsigned lists; /* how many of the groups around it are items of a list */
	bool item_first; /* the first key of an item of a list */
	unsigned item; /* which item of the list around it; 0 in a part */
};
struct config_walk {
	struct config_frame {
		const struct config_key *keys, *next;
		char *base;
		unsigned item, count; /* of a list; a part is a list of one */
		unsigned lists; /* as in struct config_step */
		size_t item_size;
	} frames[CONFIG_DEPTH_MAX];
	unsigned depth; /* frames in use */
	struct config_step last;
};

void config_walk_begin(struct config_walk *w, const struct config_key *keys, void *base);
bool config_walk_next(struct config_walk *w, struct config_step *step);

unsigned *config_list_count(const struct config_key *key, void *value);

#endif
