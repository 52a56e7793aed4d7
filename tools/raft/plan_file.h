/* The plan of a recovery as a file: JSON that `recover plan` writes and `recover apply` reads.
 *
 * Its id is a digest of all the rest: who types it has this very plan before them. */
#ifndef TOOLS_RAFT_PLAN_FILE_H
#define TOOLS_RAFT_PLAN_FILE_H

#include <jansson.h>

#include "raft/recover.h"

#define PLAN_SCHEMA  "raft-recover-plan/1"
#define PLAN_ID_SIZE 13

/* Set "schema" and "id" of the plan that has all the rest. */
void plan_seal(json_t *plan);

/* Write it as path, which must not exist, durably. 0 or -errno with err. */
int plan_write(const char *path, const json_t *plan, struct err *err);

/* Read and check one: 0, or -errno with err and *plan NULL. */
int plan_read(const char *path, json_t **plan, struct err *err);

/* What it says for the node with this id. members gets what the step points to; texts stay the
 * plan's. 0; -ENOENT: that node is none of the survivors; -EBADMSG: the plan does not say. */
int plan_step(const json_t *plan, uint64_t id, struct recover_step *step,
    struct configuration *members, struct err *err);

#endif
