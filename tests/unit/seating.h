/* A cluster in a line, for tests of who votes: a word for each node, from id 1 on.
 *
 * c coordinator, h hypervisor, w witness, x no node of the value; then V voter, S stand-by,
 * nothing: no member; then - silent for a moment, ! for good, f silent and fenced, F fenced and
 * heard, k heard and its keepalives far apart, * leads (else node 1), @ has the address of the
 * one before it. Only tests/unit/ includes it; each test that does has a cluster of its own. */
#ifndef TESTS_UNIT_SEATING_H
#define TESTS_UNIT_SEATING_H

#include <stdio.h>
#include <string.h>

#include "fsm/change.h"
#include "node/member/members.h"

#define SEATING_NOW_MS	   1000000
#define SEATING_REPLACE_MS 600000

static struct cluster c;
static struct replica_member members[16];
static unsigned n;
static uint64_t leader;

static inline void seating_add_node(uint32_t id, const char *word)
{
	struct node *node = must_alloc(sizeof(*node));
	node->id = id;
	node->mode = *word == 'c'   ? NODE_COORDINATOR
		     : *word == 'w' ? NODE_WITNESS
				    : NODE_HYPERVISOR;
	node->daemon_state = strpbrk(word, "fF") ? DAEMON_FENCED : DAEMON_RUN;
	node->seen_ms = c.settings.time_ms - (strchr(word, '!')		? SEATING_REPLACE_MS
						 : strpbrk(word, "-fk") ? 6000
									: 500);
	node->last.items = must_alloc(sizeof(*node->last.items));
	node->last.count = 1;
	snprintf(node->name, sizeof(node->name), "hv%u", id);
	snprintf(node->address, sizeof(node->address), "n%u:7000", strchr(word, '@') ? id - 1 : id);
	change_insert(&c, &c.nodes, node);
}

static inline void seating_add_word(uint32_t id, const char *word)
{
	bool silent = strpbrk(word, "-!f") != NULL;
	if (*word != 'x')
		seating_add_node(id, word);
	if (strchr(word, '*'))
		leader = id;
	if (!strpbrk(word, "VS"))
		return;
	members[n] = (struct replica_member){
	    .id = id,
	    .role = strchr(word, 'V') ? MEMBER_VOTER : MEMBER_STANDBY,
	    .heard_ms = SEATING_NOW_MS - (silent ? MEMBERS_TOUCH_MS + 1 : 10 * id),
	};
	snprintf(members[n++].address, sizeof(members[0].address), "n%u:7000", id);
}

static inline void seating_make(const char *line)
{
	char text[128], *rest = NULL;
	uint32_t id = 0;
	cluster_init(&c);
	c.settings.schema = 1;
	c.settings.time_ms = 10 * SEATING_REPLACE_MS;
	n = 0;
	leader = 1;
	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		seating_add_word(++id, word);
}

#endif
