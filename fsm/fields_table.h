/* The field macros of a .def file as rows of a record's table. The .def file
 * takes them back at its end, so this is included anew before each. */
#ifndef U32

#include <stddef.h>

#define U32(field)  {#field, FIELD_U32, offsetof(self, field), 0, NULL, NULL, false},
#define U64(field)  {#field, FIELD_U64, offsetof(self, field), 0, NULL, NULL, false},
#define BOOL(field) {#field, FIELD_BOOL, offsetof(self, field), 0, NULL, NULL, false},
#define STATE(field, states)                                                                       \
	{#field, FIELD_STATE, offsetof(self, field), 0, states##_names, NULL, false},
#define TEXT(field, length)   {#field, FIELD_TEXT, offsetof(self, field), length, NULL, NULL, false},
#define SECRET(field, length) {#field, FIELD_TEXT, offsetof(self, field), length, NULL, NULL, true},
#define BLOB(field)	      {#field, FIELD_BLOB, offsetof(self, field), BLOB_MAX, NULL, NULL, false},
#define LIST(field, element)                                                                       \
	{#field, FIELD_LIST, offsetof(self, field), LIST_MAX, NULL, element##_record, false},
#define U32S(field, length) {#field, FIELD_U32S, offsetof(self, field), length, NULL, NULL, false},
#define LOCAL(type, field)

/* `self` lets a field name its struct without repeating it on every line. */
#undef RECORD_TABLE
#define RECORD_TABLE(struct_name, function, ...)                                                   \
	const struct record *function(void)                                                        \
	{                                                                                          \
		typedef struct struct_name self;                                                   \
		static const struct field fields[] = {__VA_ARGS__};                                \
		static const struct record record = {                                              \
		    #struct_name, fields, sizeof(fields) / sizeof(*fields), sizeof(self)};         \
		return &record;                                                                    \
	}

#endif
