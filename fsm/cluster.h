/* The cluster as a value: start reading here.
 *
 * cluster_apply() is the only way to change it. It is total and deterministic:
 * whatever bytes the log holds, every replica at the same index has the same
 * value, byte for byte. A refused command changes nothing. No clock, no random
 * number, no I/O: time is what the leader's ticks say. */
#ifndef FSM_CLUSTER_H
#define FSM_CLUSTER_H

#include "fsm/command.h"
#include "fsm/err.h"
#include "fsm/table.h"

#define CLUSTER_NODES_MAX  128
#define CLUSTER_VMS_MAX	   16384
#define CLUSTER_FACTS_MAX  65536
#define CLUSTER_TOKENS_MAX 256
/* Facts and XML together: the whole value must fit into a snapshot that is sent to a
 * newcomer. */
#define CLUSTER_BLOB_BYTES_MAX (128u << 20)

struct cluster {
	uint64_t index; /* of the last entry applied */
#define PART(name, record)	 struct record name;
#define TABLE_PART(name, record) struct table name; /* of struct record */
#include "fsm/parts.def"
	/* The state hash: the sum of all objects' digests. Equal values have equal
	 * hashes; different ones do but for chance. */
	uint64_t hash;
	uint64_t blob_bytes; /* of all facts and XML; derived */
	struct history *history; /* of this replica: history.h */
	struct touched *touched; /* objects whose digest is not up to date (within apply only) */
	struct buffer scratch;
};

/* An empty cluster, before `found`. */
void cluster_init(struct cluster *c);
void cluster_close(struct cluster *c);

/* Apply one operation (command.h). Returns >= 0 (the id of what was made, or 0), or a
 * negative errno with err saying why; err may be NULL. Repeating an operation of
 * the same client and sequence changes nothing and returns what it returned. */
int cluster_apply(
    struct cluster *c, uint64_t index, const uint8_t *operation, size_t size, struct err *err);

struct node *cluster_node(const struct cluster *c, uint32_t id); /* NULL: none */
struct node *cluster_node_named(const struct cluster *c, const char *name); /* NULL: none */
struct vm *cluster_vm(const struct cluster *c, uint32_t id);
/* By name or UUID. */
struct vm *cluster_vm_named(const struct cluster *c, const char *name);
const struct fact *cluster_fact(const struct cluster *c, const char *key);

/* Names of nodes and VMs by their ids, as long as c stays as it is. */
struct record_names cluster_names(const struct cluster *c);

/* For walking a table in key order: cluster_each(c->vms, struct vm, vm) { ... } */
#define cluster_each(table, type, item)                                                            \
	for (type **item##_at = (type **)(table).items, *item;                                     \
	     (table).count && item##_at < (type **)(table).items + (table).count &&                \
	     (item = *item##_at, true);                                                            \
	     item##_at++)

#endif
