/* The configuration of a node: /etc/pvc/pvcnoded.yaml as plain values.
 *
 * Each key is a member of the same name in the same group: pvc.raft.port of
 * the file is config.raft.port. Keys, defaults and limits stand in config.def.
 * A configuration holds about 40 KiB and no pointers: it may be copied, and
 * compared after config_print(). Texts that were not given are "". */
#ifndef NODE_CONFIG_CONFIG_H
#define NODE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/states.h"
#include "node/config/cidr.h"

#define CONFIG_PATH		 "/etc/pvc/pvcnoded.yaml"
#define CONFIG_BYTES_MAX	 (1u << 20)
#define CONFIG_COORDINATORS_MAX	 16
#define CONFIG_SERVICES_MAX	 16
#define CONFIG_SRIOV_DEVICES_MAX 16
#define CONFIG_PEER_MAX		 272
#define CONFIG_MIGRATION_URI_MAX 160

/* What stands for a secret in everything that is printed. As the value of a
 * key it is accepted, so that printed text can be parsed, but it is no secret:
 * see config_secret_known(). */
#define CONFIG_SECRET_MASK "***"

#define NAME(value, text) value,
#define CHOICES(name, ...)                                                                         \
	enum name { __VA_ARGS__ };                                                                 \
	extern const char *const name##_names[]; /* one for each value, then NULL */
#define RECORD(name, ...)                                                                          \
	struct name {                                                                              \
		__VA_ARGS__                                                                        \
	};
#define FLAG(name, fallback)		    bool name;
#define NUMBER(name, fallback, least, most) uint32_t name;
#define NUMBER_OR_0			    NUMBER
#define CHOICE(name, type, fallback)	    enum type name;
#define TEXT(name, size, fallback, check)   char name[size];
#define REQUIRED(name, size, check)	    char name[size];
#define SECRET(name, size)		    char name[size];
#define PART(name, record)		    struct record name;
#define TEXTS(name, size, most, least, check)                                                      \
	char name[most][size];                                                                     \
	unsigned name##_count;
#define LIST(name, record, most)                                                                   \
	struct record name[most];                                                                  \
	unsigned name##_count;
#include "node/config/config.def"

/* The file to read: path when it is not NULL, else that of the environment's
 * PVC_CONFIG_FILE, else CONFIG_PATH. */
const char *config_path(const char *path);

/* Parse text; a witness gets all functions off, whatever it says of them. Every problem
 * found is a line "FILE:LINE:COLUMN: what is wrong" appended to problems, in the order of
 * the file. Returns 0, or -EINVAL when there was a problem; c then holds defaults where
 * the text was not right. */
int config_parse(struct config *c, const char *file_name, const char *text, size_t size,
    struct buffer *problems);

/* The same from a file. Also returns the negative errno of a file that cannot
 * be read, with a line in problems. */
int config_load(struct config *c, const char *path, struct buffer *problems);

/* Append the whole configuration as YAML, defaults included and secrets
 * masked. What it prints parses to itself. */
void config_print(const struct config *c, struct buffer *out);

/* `pvcnoded --check`: the configuration in path as understood to standard
 * output, or its problems to standard error. Returns the exit status, 0 or 2. */
int config_check(const char *path);

/* The number at the end of a node's short name, "pvchv12.example" -> 12; 0
 * when there is none. */
uint32_t config_node_number(const char *name);

/* This node's own address on a network, by-id resolved. Returns 0, -ENOENT
 * when it has none, or -ERANGE when by-id cannot be resolved. */
int config_own_address(const char *node, const struct config_network *network,
    const struct config_interface *interface, struct cidr *address);

/* Where the other members reach this one, "host:port": raft.address, else the
 * node's own address on the cluster network, else the node's name. */
void config_peer(const struct config *c, char peer[CONFIG_PEER_MAX]);

/* Where the other nodes' hypervisors reach this node's: system.migration.uri, else
 * qemu+tls://ADDRESS/system with the address of config_peer, or the directory of a
 * simulated one. "": nobody can, as with an embedded libvirt. */
void config_migration_uri(const struct config *c, char uri[CONFIG_MIGRATION_URI_MAX]);

/* How long a leader may count on being the only one: raft.lease_ms, or 80 % of
 * the election timeout. Always less than that. */
uint32_t config_lease_ms(const struct config_raft *raft);

/* A secret that can be used: neither left out nor the mask. */
bool config_secret_known(const char *secret);

#endif
