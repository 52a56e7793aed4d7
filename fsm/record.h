/* Records: what the cluster's value and the log's commands are made of.
 *
 * A record is written down once, in record.def or command.def. From that line
 * come its struct, its encoder, its decoder, its printer and (in node/json)
 * its JSON, all by walking the same table of fields. The encoding is
 * canonical: one value has exactly one encoding, and a decoder refuses any
 * other. There is no tag in it; what a record looks like is fixed by its place
 * (a command's number, the schema version of a snapshot). */
#ifndef FSM_RECORD_H
#define FSM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/states.h"

enum field_type {
	FIELD_U32,
	FIELD_U64,
	FIELD_BOOL,
	FIELD_STATE, /* an enum of states.def: 4 bytes in the struct, the name for people */
	FIELD_TEXT, /* char[max], always ends in NUL; printable UTF-8 is the writer's duty */
	FIELD_BLOB, /* struct blob */
	FIELD_LIST, /* struct { struct x *items; uint32_t count; } */
	FIELD_U32S, /* uint32_t[max] */
};

struct record;

struct field {
	const char *name;
	enum field_type type;
	uint32_t offset;
	uint32_t max; /* TEXT: size of the array; BLOB, LIST: largest size, count; U32S: length */
	const char *const *names; /* STATE: one for each value, then NULL */
	const struct record *(*element)(void); /* LIST */
	bool secret; /* never shown by print or JSON */
	uint32_t group; /* bits of the record's field `known`; 0: it always is */
};

struct record {
	const char *name;
	const struct field *fields;
	uint32_t count;
	uint32_t size; /* of the struct */
};

struct blob {
	uint8_t *data; /* owned by the record it is in */
	uint32_t size;
};

struct list { /* what every LIST looks like */
	void *items;
	uint32_t count;
};

#define BLOB_MAX (1u << 20)
#define LIST_MAX 4096u

#include "fsm/fields_struct.def"
#define RECORD(name, ...)                                                                          \
	struct name {                                                                              \
		__VA_ARGS__                                                                        \
	};                                                                                         \
	const struct record *name##_record(void);
#include "fsm/record.def"

/* Append the encoding of object to out. Lists and blobs over their limits abort:
 * whoever filled them had to check. */
void record_encode(const struct record *record, const void *object, struct buffer *out);

/* Decode into object, which is overwritten; on success it owns its blobs and
 * lists (record_clear frees them). Returns 0 or -EBADMSG, and then object is
 * all zeros and owns nothing. */
int record_decode(const struct record *record, struct reader *in, void *object);

/* Free what object owns and set its encoded fields to zero. */
void record_clear(const struct record *record, void *object);

/* The bits of the groups that are given in an object; NULL: its record has no groups. */
uint32_t *record_known(const struct record *record, void *object);
/* Is the field given in this object? Print and JSON leave out those that are not. */
bool record_has(const struct record *record, const void *object, const struct field *field);
/* Set the fields that are not given to zero, so that what is equal is equal in its bytes. */
void record_trim(const struct record *record, void *object);
/* Put the groups that are given in `from` into object, which keeps the others that it has. Only
 * for records of numbers and texts. */
void record_merge(const struct record *record, void *object, const void *from);
bool record_same(const struct record *record, const void *a, const void *b);

/* Append "name=value name=value" for people. Texts with spaces are quoted,
 * blobs shown by size, lists as [..], secrets as "***". Zero fields are shown. */
void record_print(const struct record *record, const void *object, struct buffer *out);

/* Who has an id, so that people read node=hv2 instead of node=2. */
struct record_names {
	const void *data;
	/* What the field of this name refers to; NULL: nothing that is known. */
	const char *(*name)(const void *data, const char *field, uint32_t id);
};

/* The same, with names where there are any. names may be NULL. */
void record_print_named(const struct record *record, const void *object,
    const struct record_names *names, struct buffer *out);

#endif
