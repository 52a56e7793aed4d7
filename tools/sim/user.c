#include "tools/sim/user.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sim/chaos.h"
#include "tools/sim/request.h"
#include "tools/sim/verify.h"
#include "tools/sim/wish.h"

#define PATIENCE_MS 1500 /* at most, until another node is asked */
#define THINKS_MS   120 /* at most, before the next operation */
#define READS_MS    60 /* at most, between two reads */
#define TOKENS_MAX  200 /* of the 256 that the value takes */

static struct users *users_of(struct world *w)
{
	return &((struct chaos *)w->player)->users;
}

struct sim_node *user_target(struct world *w)
{
	unsigned primary = world_primary(w);
	if (primary && world_random(w, 3) == 0)
		return w->nodes[primary];
	return w->nodes[1 + world_random(w, w->node_count)];
}

/* Writers. */

static void writer_ask(struct world *w, unsigned who, uint64_t asked, void *bytes);

static void make_fact(uint64_t number, struct command *command, char text[32])
{
	command->number = COMMAND_fact;
	snprintf(command->fact.key, sizeof(command->fact.key), "fact-%" PRIu64, number);
	snprintf(text, 32, "%" PRIu64, number);
	command->fact.value = (struct blob){.data = (uint8_t *)text, .size = strlen(text)};
}

/* Done twice it would leave two behind: facts would not show that. */
static void make_token(uint64_t number, struct command *command)
{
	command->number = COMMAND_token;
	command->token.valid_ms = 3600000;
	snprintf(command->token.name, sizeof(command->token.name), "token-%" PRIu64, number);
	snprintf(command->token.hash, sizeof(command->token.hash), "%064" PRIu64, number << 8);
}

static uint64_t note_made(struct users *u, struct operation_made made)
{
	if (u->made_count == u->made_capacity) {
		u->made_capacity = u->made_capacity ? u->made_capacity * 2 : 256;
		u->made = must_realloc(u->made, u->made_capacity * sizeof(*u->made));
	}
	u->made[u->made_count++] = made;
	return u->made_count;
}

static void writer_begin(struct world *w, unsigned who)
{
	struct users *u = users_of(w);
	struct writer *writer = &u->writers[who];
	struct operation_made made = {
	    .token = world_random(w, 4) == 0 && u->made_count < TOKENS_MAX};
	struct command command = {.client = writer->client, .sequence = ++writer->sequence};
	char text[32];
	writer->number = note_made(u, made);
	if (made.token)
		make_token(writer->number, &command);
	else
		make_fact(writer->number, &command, text);
	writer->operation.size = 0;
	command_encode(&command, &writer->operation);
	writer->waits = true;
}

static void writer_ask(struct world *w, unsigned who, uint64_t asked, void *bytes)
{
	struct users *u = users_of(w);
	struct writer *writer = &u->writers[who];
	struct sim_node *n = user_target(w);
	if (asked != writer->asked || (!writer->waits && w->now_ms >= u->until_ms))
		return;
	if (!writer->waits && w->now_ms < u->rest_until_ms) {
		world_at(w, u->rest_until_ms + world_random(w, 40), writer_ask, who, asked);
		return;
	}
	if (writer->waits)
		u->retried++;
	else
		writer_begin(w, who);
	writer->asked++;
	world_at(w, w->now_ms + 20 + world_random(w, PATIENCE_MS), writer_ask, who, writer->asked);
	if (sim_node_serves(n)) {
		request_bytes(n, &writer->operation, ASK_USER, writer->number << 8 | who);
		sim_node_settle(n);
	}
}

static bool undecided(int result)
{
	return result == -ENOTCONN || result == -ETIMEDOUT || result == -EAGAIN;
}

static void decided(struct world *w, struct users *u, const struct sim_answer *a, uint64_t number)
{
	struct operation_made *made = &u->made[number - 1];
	if (made->decided && made->result >= 0 && a->result >= 0 && made->result != a->result)
		world_fail(w, "operation %" PRIu64 " answered %d, and %d when asked again", number,
		    made->result, a->result);
	if (made->decided)
		return;
	made->decided = true;
	made->result = a->result;
	made->index = a->index;
	if (a->result < 0)
		return;
	u->acknowledged++;
	verify_acknowledged(a->node, a->index);
	if (a->index > u->acknowledged_index)
		u->acknowledged_index = a->index;
}

static void read_done(struct world *w, const struct sim_answer *a)
{
	if (a->result == 0 && a->node->value.index < a->number)
		world_fail(w,
		    "n%u: stale read: index %" PRIu64 ", %" PRIu64 " had been acknowledged",
		    a->node->id, a->node->value.index, a->number);
}

void users_answered(struct world *w, struct users *u, const struct sim_answer *a)
{
	uint64_t number = a->number >> 8;
	unsigned who = a->number & 0xff;
	if (a->kind == ASK_READ) {
		read_done(w, a);
		return;
	}
	if (undecided(a->result))
		return;
	decided(w, u, a, number);
	struct writer *writer = &u->writers[who];
	if (!writer->waits || writer->number != number)
		return;
	writer->waits = false;
	world_at(w, w->now_ms + 1 + world_random(w, THINKS_MS), writer_ask, who, ++writer->asked);
}

static void reader(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	struct users *u = users_of(w);
	struct sim_node *n = user_target(w);
	if (w->now_ms >= u->until_ms)
		return;
	if (sim_node_serves(n)) {
		request_read(n, u->acknowledged_index);
		sim_node_settle(n);
	}
	world_at(w, w->now_ms + 1 + world_random(w, READS_MS), reader, 0, 0);
}

/* Owners. */

static void owner(struct world *w, unsigned who, uint64_t hurries, void *bytes)
{
	if (w->now_ms >= users_of(w)->until_ms)
		return;
	if (w->now_ms < users_of(w)->rest_until_ms) {
		world_at(w, users_of(w)->rest_until_ms + 100, owner, who, hurries);
		return;
	}
	wish_vm(user_target(w), who);
	/* Sometimes blow upon blow, sometimes left alone for as long as a start takes. */
	if (world_random(w, 8) == 0)
		hurries = !hurries;
	uint64_t rests_ms = hurries ? 60 : 1500;
	world_at(w, w->now_ms + 1 + world_random(w, rests_ms), owner, who, hurries);
}

void users_rest(struct world *w, uint64_t until_ms)
{
	users_of(w)->rest_until_ms = until_ms;
}

void users_begin(struct world *w, struct users *users, uint64_t until_ms)
{
	*users = (struct users){.until_ms = until_ms};
	for (unsigned i = 0; i < USER_WRITERS; i++) {
		users->writers[i].client = world_random(w, UINT64_MAX - 1) + 1;
		world_at(w, w->now_ms, writer_ask, i, 0);
	}
	for (unsigned i = 1; i <= USER_OWNERS; i++)
		world_at(w, w->now_ms, owner, i, i & 1);
	world_at(w, w->now_ms, reader, 0, 0);
}

static unsigned tokens_named(const struct cluster *c, uint64_t number)
{
	char name[64];
	unsigned found = 0;
	snprintf(name, sizeof(name), "token-%" PRIu64, number);
	cluster_each(c->tokens, struct join_token, token) found += !strcmp(token->name, name);
	return found;
}

static unsigned facts_named(const struct cluster *c, uint64_t number)
{
	char key[64];
	snprintf(key, sizeof(key), "fact-%" PRIu64, number);
	return cluster_fact(c, key) != NULL;
}

void users_check(struct world *w, const struct users *users, const struct sim_node *n)
{
	for (uint64_t number = 1; number <= users->made_count; number++) {
		const struct operation_made *made = &users->made[number - 1];
		unsigned found =
		    made->token ? tokens_named(&n->value, number) : facts_named(&n->value, number);
		if (!made->decided)
			world_fail(w, "operation %" PRIu64 " was never answered", number);
		else if (made->result >= 0 && !found)
			world_fail(w,
			    "n%u: operation %" PRIu64 " was acknowledged at index %" PRIu64
			    " and is gone",
			    n->id, number, made->index);
		if (found > 1)
			world_fail(w, "n%u: operation %" PRIu64 " was done %u times", n->id, number,
			    found);
	}
}

void users_close(struct users *users)
{
	for (unsigned i = 0; i < USER_WRITERS; i++)
		buffer_close(&users->writers[i].operation);
	free(users->made);
}
