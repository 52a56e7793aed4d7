/* Volumes of the disk pool, and who holds their locks. Plain values: no I/O.
 *
 * A client is known by the address that the pool saw it come from, and such an
 * address comes in many shapes: "10.0.0.1:0/123", "v1:10.0.0.1:0/123",
 * "[v2:10.0.0.1:0/123,v1:10.0.0.1:0/123]", "v1:[fd00::1]:0/123". They are
 * compared as addresses, never as text: prefix, port and nonce aside, and
 * ::ffff:10.0.0.1 is 10.0.0.1. */
#ifndef STORAGE_VOLUME_H
#define STORAGE_VOLUME_H

#include "fsm/err.h"

#define VOLUMES_MAX	   64
#define VOLUME_NAME_MAX	   256
#define VOLUME_CLIENT_MAX  128
#define VOLUME_CLIENTS_MAX 4

struct volumes { /* of one VM */
	char names[VOLUMES_MAX][VOLUME_NAME_MAX]; /* "pool/image", "pool/namespace/image" */
	unsigned count;
};

struct volume { /* one name in its parts */
	char pool[VOLUME_NAME_MAX];
	char space[VOLUME_NAME_MAX]; /* the namespace; "": the pool's own */
	char image[VOLUME_NAME_MAX];
};

/* 0, or -EINVAL: no volume has such a name. */
int volume_parse(struct volume *volume, const char *name);

/* 0, also when it is among them; -EINVAL as volume_parse, -ENOSPC; then nothing is changed. */
int volumes_add(struct volumes *volumes, const char *name, struct err *err);

enum lock_holder {
	LOCK_OURS, /* a process of this machine */
	LOCK_PROVEN_OFF, /* one of a node that is off for certain */
	LOCK_FOREIGN, /* anybody else, also when the address cannot be read */
};

/* own and proven: addresses with blanks between them. Of a client that has several addresses
 * all must be among them. */
enum lock_holder lock_judge(const char *address, const char *own, const char *proven);

/* The address alone, for people: "10.0.0.1", "fd00::1"; as it was given when it cannot be read. */
void lock_address_print(const char *address, char text[VOLUME_CLIENT_MAX]);

/* The addresses that keep this one client, and nobody beside it, from writing; how many there
 * are. 0: it has none. One without a nonce stands for all clients of its machine. */
unsigned lock_clients(const char *address, char clients[VOLUME_CLIENTS_MAX][VOLUME_CLIENT_MAX]);

#endif
