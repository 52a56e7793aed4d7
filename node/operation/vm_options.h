/* What a person may say of a VM beside its XML, as arguments: --selector, --method, --limit, ...
 * of `vm define` and `vm meta`; and the words of `vm tag`. */
#ifndef NODE_OPERATION_VM_OPTIONS_H
#define NODE_OPERATION_VM_OPTIONS_H

#include "fsm/vm_define.h"
#include "node/operation/operation_turn.h"

struct vm_tags {
	struct vm_tag items[VM_TAGS_MAX];
	uint32_t count;
};

struct vm_options {
	enum selector selector;
	enum migration_method method;
	bool autostart;
	uint32_t priority;
	uint32_t given; /* VM_META_*: what they say, and not only what is so without them */
	struct node_ref limit[VM_LIMIT_MAX]; /* by id, each once */
	uint32_t limit_count;
	struct vm_tags tags;
};

/* What the arguments say; what they do not is as configured, or as a new VM has it. 0; -ENOENT:
 * there is no such node; -EINVAL, -ENOSPC; with err. */
int vm_options_read(const struct operation_turn *turn, struct vm_options *options, struct err *err);

/* What they give, as vm_meta wants it; the lists stay the options'. */
void vm_options_put(struct vm_options *options, struct command_vm_meta *meta);

/* Add a tag to those that are there; one that is already is no error. 0; -EINVAL: that is no tag;
 * -ENOSPC. */
int vm_tags_add(struct vm_tags *tags, const char *text, struct err *err);
/* 0; -ENOENT: it is not among them. */
int vm_tags_remove(struct vm_tags *tags, const char *text, struct err *err);

#endif
