/* A VM as operations answer it, and in the words of people.
 *
 * What it says of a migration is of the keepalive of the node that sends: seconds old. */
#ifndef NODE_OPERATION_VM_JSON_H
#define NODE_OPERATION_VM_JSON_H

#include <jansson.h>

#include "fsm/cluster.h"

/* A row of `vm list`. */
json_t *vm_json(const struct cluster *c, const struct vm *vm);
/* All that is known of it, for `vm info`. */
json_t *vm_info_json(const struct cluster *c, const struct vm *vm);

/* How far its migration is; NULL: it does not move, or nobody said. */
const struct movement *vm_movement(const struct cluster *c, const struct vm *vm);

/* Append where it stands, without its name: "start, on hv1"; "migrate, from hv1 to hv2, try 2";
 * "migrate, on hv1: no node has room for it; then stop". */
void vm_stand(const struct cluster *c, const struct vm *vm, struct buffer *out);

/* Seen running by its owner, who knew of what is wanted now. */
bool vm_runs(const struct vm *vm);
/* A migration of it is asked for and has not ended. */
bool vm_moves(const struct vm *vm);

#endif
