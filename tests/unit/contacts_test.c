/* Members that the value has yet to come to: who is taken in, and until when. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fsm/change.h"
#include "fsm/node.h"
#include "node/member/contacts.h"

#define START_MS 5000
#define LATE_MS	 (START_MS + CONTACTS_ALONE_MS)

static struct cluster c;
static struct contacts contacts;
static struct replica_status status;
static char directory[] = "/tmp/contacts-XXXXXX";

/* Nodes 1 to 3 of three that were given out; this is 3, and hears nobody. */
static int begin(void **state)
{
	cluster_init(&c);
	c.settings.schema = 1;
	c.settings.next_node = 4;
	for (uint32_t id = 1; id <= 3; id++) {
		struct node *node = must_alloc(sizeof(*node));
		node->id = id;
		snprintf(node->address, sizeof(node->address), "10.0.0.%u:7080", id);
		change_insert(&c, &c.nodes, node);
	}
	contacts_load(&contacts, "/nowhere", START_MS);
	status = (struct replica_status){.id = 3, .role = REPLICA_FOLLOWER, .last = 9};
	return 0;
}

static int end(void **state)
{
	cluster_close(&c);
	return 0;
}

static struct peers_member met(uint64_t id)
{
	struct peers_member who = {.id = id, .incarnation = "abc"};
	snprintf(who.name, sizeof(who.name), "hv%u", (unsigned)id);
	snprintf(who.address, sizeof(who.address), "10.0.0.%u:7080", (unsigned)id);
	return who;
}

static int add(uint64_t id, uint64_t now_ms)
{
	struct peers_member who = met(id);
	return contacts_add(&contacts, &c, &status, &who, now_ms);
}

static const struct peers_member *member(uint64_t id)
{
	static struct peers_member members[PEERS_MEMBERS_MAX];
	unsigned n = contacts_members(&contacts, &c, NULL, members);
	for (unsigned i = 0; i < n; i++)
		if (members[i].id == id)
			return &members[i];
	return NULL;
}

static void a_younger_member_is_taken_in_while_no_leader_is_heard(void **state)
{
	assert_int_equal(add(5, LATE_MS), 0);
	assert_int_equal(add(5, LATE_MS), -EALREADY);
	assert_string_equal(member(5)->name, "hv5");
	assert_string_equal(member(5)->incarnation, "abc");
	assert_non_null(member(1));
	assert_null(member(4));
}

/* Who keeps the CA's key could make itself one. */
static void beside_a_leader_nobody_is(void **state)
{
	assert_int_equal(add(5, LATE_MS - 1), -EPERM);
	status.heard_ms = LATE_MS;
	assert_int_equal(add(5, LATE_MS), -EPERM);
	assert_int_equal(add(5, LATE_MS + CONTACTS_ALONE_MS - 1), -EPERM);
	assert_int_equal(add(5, LATE_MS + CONTACTS_ALONE_MS), 0);
	status.role = REPLICA_LEADER;
	assert_int_equal(add(6, LATE_MS + CONTACTS_ALONE_MS), -EPERM);
}

static void a_newcomer_takes_in_whom_it_meets_at_once(void **state)
{
	status.last = 0;
	c.settings.schema = 0;
	c.settings.next_node = 1;
	assert_int_equal(add(5, START_MS), 0);
}

static void who_was_given_a_number_is_what_the_value_says(void **state)
{
	assert_int_equal(add(2, LATE_MS), -EINVAL);
	status.id = 7;
	assert_int_equal(add(7, LATE_MS), -EINVAL);
	assert_int_equal(add(1ull << 40, LATE_MS), -EINVAL);
	assert_int_equal(add(4, LATE_MS), 0);
	assert_true(contacts_unheard_of(&c, 4));
	c.settings.next_node = 5;
	assert_null(member(4));
	assert_false(contacts_unheard_of(&c, 4));
	assert_int_equal(add(4, LATE_MS), -EINVAL);
}

static void they_are_no_more_than_there_is_room_for(void **state)
{
	for (uint64_t id = 4; id < 4 + PEERS_MEMBERS_MAX; id++)
		assert_int_equal(add(id, LATE_MS), 0);
	assert_int_equal(add(1000, LATE_MS), -ENOSPC);
	/* The nodes come first. */
	assert_non_null(member(1));
	assert_non_null(member(3));
	/* What is known makes room. */
	c.settings.next_node = 5;
	assert_int_equal(add(1000, LATE_MS), 0);
}

static void those_of_when_it_joined_are_read_again(void **state)
{
	char path[64];
	const struct peers_member saved[] = {met(8), met(9)};
	assert_non_null(mkdtemp(directory));
	assert_int_equal(contacts_save(directory, saved, 2, NULL), 0);
	contacts_load(&contacts, directory, START_MS);
	assert_int_equal(contacts.n, 2);
	assert_string_equal(member(9)->address, "10.0.0.9:7080");
	assert_string_equal(member(9)->name, "");
	snprintf(path, sizeof(path), "%s/contacts", directory);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs("\n8\nhv1 10.0.0.1:7080\n11 10.0.0.11:7080\n", file);
	fclose(file);
	contacts_load(&contacts, directory, START_MS);
	assert_int_equal(contacts.n, 1);
	assert_int_equal(contacts.items[0].id, 11);
	unlink(path);
	rmdir(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_younger_member_is_taken_in_while_no_leader_is_heard),
	    TEST(beside_a_leader_nobody_is),
	    TEST(a_newcomer_takes_in_whom_it_meets_at_once),
	    TEST(who_was_given_a_number_is_what_the_value_says),
	    TEST(they_are_no_more_than_there_is_room_for),
	    TEST(those_of_when_it_joined_are_read_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
