/* The field macros of a .def file as members of a struct. The .def file takes
 * them back at its end, so this is included anew before each. */
#ifndef U32

#define U32(name)	    uint32_t name;
#define U64(name)	    uint64_t name;
#define BOOL(name)	    bool name;
#define STATE(name, states) enum states name;
#define TEXT(name, max)	    char name[max];
#define SECRET(name, max)   char name[max];
#define BLOB(name)	    struct blob name;
#define LIST(name, record_name)                                                                    \
	struct {                                                                                   \
		struct record_name *items;                                                         \
		uint32_t count;                                                                    \
	} name;
#define U32S(name, max)	  uint32_t name[max];
#define LOCAL(type, name) type name; /* of this replica: not encoded, not compared */

#endif
