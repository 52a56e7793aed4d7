/* A cluster's value, for tests of what is applied to it.
 *
 * Whatever comes of an operation, every rule of check.h holds, and what was refused has changed
 * nothing. Only tests/unit/ includes it; each test that does has a value of its own. */
#ifndef TESTS_UNIT_VALUE_H
#define TESTS_UNIT_VALUE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "fsm/check.h"
#include "fsm/cluster.h"

static struct cluster c;
static struct err err; /* why the last one was refused */

/* As client 0 what is refused must not even leave a session behind. */
static inline int apply(struct command command)
{
	struct buffer bytes = {0};
	struct err wrong = {{0}};
	uint64_t hash = c.hash;
	err = wrong;
	command_encode(&command, &bytes);
	int result = cluster_apply(&c, c.index + 1, bytes.data, bytes.size, &err);
	buffer_close(&bytes);
	if (check_cluster(&c, &wrong))
		fail_msg("%s", wrong.text);
	if (result < 0 && !command.client && c.hash != hash)
		fail_msg("refused (%s), and the value has changed", err.text);
	return result;
}

#define APPLY(name, ...) apply((struct command){.number = COMMAND_##name, .name = {__VA_ARGS__}})

/* The cluster "lab" of hv1, with the incarnation i1. */
static inline void value_found(void)
{
	cluster_init(&c);
	assert_int_equal(APPLY(found, .name = "lab", .uuid = "u", .node = "hv1",
			     .address = "hv1:7000", .incarnation = "i1", .schema = 1),
	    1);
}

/* hvN joins, as node N, with the incarnation iN; its token was of the letter a alone. */
static inline void value_join(uint32_t id, enum node_mode mode)
{
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 60000}};
	struct command join = {.number = COMMAND_join, .join = {.mode = mode}};
	memset(token.token.hash, 'a', 64);
	memset(join.join.hash, 'a', 64);
	snprintf(join.join.name, sizeof(join.join.name), "hv%u", id);
	snprintf(join.join.address, sizeof(join.join.address), "hv%u:7000", id);
	snprintf(join.join.incarnation, sizeof(join.join.incarnation), "i%u", id);
	assert_true(apply(token) > 0);
	assert_int_equal(apply(join), id);
}

static inline int value_close(void **state)
{
	cluster_close(&c);
	return 0;
}

#endif
