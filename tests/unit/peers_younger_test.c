/* Members that joined while this one was away, and those that were removed while they were. */
#include "tests/unit/members.h"

/* Takes in whom it meets, as long as it wants any. */
static struct {
	struct member *node;
	unsigned met, wanted;
	struct peers_member members[MEMBERS_MAX];
	unsigned n;
} away;

static void on_younger(void *data, const struct peers_member *who)
{
	away.met++;
	if (away.n >= away.wanted)
		return;
	away.members[away.n++] = *who;
	peers_members(away.node->peers, away.members, away.n);
}

/* It knows of the ids below 2 that they were given out. */
static void away_open(struct member *n, unsigned wanted)
{
	memset(&away, 0, sizeof(away));
	away.node = n;
	away.wanted = wanted;
	node_open_at(n, &loop, &(struct place){.id = 1, .younger = on_younger});
	peers_given_out(n->peers, 2);
}

/* It can say where it listens. */
static void reachable_open(struct member *n, uint64_t id)
{
	struct endpoint_address any;
	struct endpoint at = {.host = "127.0.0.1", .port = "0"};
	assert_int_equal(endpoint_numeric(&at, &any), 0);
	int fd = endpoint_listen(&any);
	uint16_t port = endpoint_port(fd);
	close(fd);
	node_open_at(n, &loop, &(struct place){.id = id, .port = port});
}

static void knows(struct member *of, const struct member *whom)
{
	struct peers_member member = member_at(whom->id, peers_port(whom->peers));
	peers_members(of->peers, &member, 1);
}

static void who_joined_meanwhile_is_asked_where_it_listens_and_talked_to(void **state)
{
	struct member nodes[2];
	away_open(&nodes[0], 1);
	reachable_open(&nodes[1], 2);
	knows(&nodes[1], &nodes[0]);
	WAIT_FOR(all_connected(nodes, 2));
	assert_int_equal(away.met, 1);
	assert_int_equal(away.members[0].id, 2);
	assert_string_equal(away.members[0].name, "node2");
	assert_string_equal(away.members[0].incarnation, nodes[1].incarnation);
	assert_int_equal(nodes[0].strangers + nodes[1].strangers, 0);
	for (uint64_t i = 0; i < 10; i++) {
		struct buffer bytes = {0};
		buffer_append_u64(&bytes, i);
		peers_send(nodes[0].peers, 2, bytes.data, bytes.size);
		peers_send(nodes[1].peers, 1, bytes.data, bytes.size);
		buffer_close(&bytes);
	}
	WAIT_FOR(nodes[0].received[2] == 10 && nodes[1].received[1] == 10);
	assert_int_equal(nodes[0].disorder + nodes[1].disorder, 0);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void it_may_knock_until_it_is_wanted(void **state)
{
	struct member nodes[2];
	away_open(&nodes[0], 0);
	reachable_open(&nodes[1], 2);
	knows(&nodes[1], &nodes[0]);
	WAIT_FOR(nodes[0].strangers > 1);
	assert_non_null(strstr(nodes[0].stranger, "node 2 (node2) is not a member"));
	assert_int_equal(nodes[0].received[2], 0);
	away.wanted = 1;
	WAIT_FOR(all_connected(nodes, 2));
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

/* Whoever keeps the CA's key can sign what it likes; the first key of an id is the one that counts,
 * until the value says whose it is. */
static void no_other_key_speaks_for_it(void **state)
{
	struct member nodes[2];
	struct caller c;
	away_open(&nodes[0], 1);
	reachable_open(&nodes[1], 2);
	knows(&nodes[1], &nodes[0]);
	WAIT_FOR(all_connected(nodes, 2));
	caller_connect(&c, &nodes[0]);
	caller_shake(&c, context_of(&authority, 2, 30), TLS_MEMBER);
	WAIT_FOR(!caller_turn(&c) && nodes[0].strangers > 0);
	assert_non_null(strstr(nodes[0].stranger, "node 2 (node2), but of another key"));
	caller_close(&c);
	assert_true(all_connected(nodes, 2));
	/* The value comes: it is another. */
	snprintf(away.members[0].incarnation, sizeof(away.members[0].incarnation), "%s",
	    nodes[0].incarnation);
	peers_members(nodes[0].peers, away.members, 1);
	WAIT_FOR(connected(&nodes[1], 0));
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void an_id_that_was_given_out_is_not_taken_for_a_younger_one(void **state)
{
	struct member nodes[2];
	struct peers_status status;
	away_open(&nodes[0], 1);
	peers_given_out(nodes[0].peers, 3);
	reachable_open(&nodes[1], 2);
	knows(&nodes[1], &nodes[0]);
	WAIT_FOR(nodes[0].strangers > 0);
	assert_non_null(strstr(nodes[0].stranger, "node 2 (node2) was removed from the cluster"));
	assert_int_equal(away.met, 0);
	/* And it is told. */
	WAIT_FOR(peers_status(nodes[1].peers, &status, 1) == 1 && status.removed);
	assert_true(status.refused && !status.sending);
	assert_string_equal(status.error, "it says that this node was removed");
	assert_int_equal(nodes[1].strangers, 0);
	/* Until it is a member. */
	knows(&nodes[0], &nodes[1]);
	WAIT_FOR(all_connected(nodes, 2));
	assert_int_equal(peers_status(nodes[1].peers, &status, 1), 1);
	assert_true(!status.removed && !status.refused);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void who_joined_anew_is_found_where_it_was(void **state)
{
	struct member nodes[2];
	away_open(&nodes[0], 1);
	peers_given_out(nodes[0].peers, 5);
	reachable_open(&nodes[1], 4);
	struct peers_member before = member_at(2, peers_port(nodes[1].peers));
	peers_members(nodes[0].peers, &before, 1);
	knows(&nodes[1], &nodes[0]);
	WAIT_FOR(strstr(nodes[0].stranger, "dialled node 2, but its certificate is of"));
	assert_int_equal(away.met, 0); /* it was removed, too, as far as is known */
	peers_given_out(nodes[0].peers, 4);
	WAIT_FOR(all_connected(nodes, 2));
	assert_string_equal(away.members[0].address, before.address);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void caller_answer(struct member *n, const void *bytes, uint8_t size, const char *why)
{
	uint8_t frame[4 + 255] = {size};
	struct caller c;
	unsigned strangers = n->strangers;
	memcpy(frame + 4, bytes, size);
	caller_connect(&c, n);
	caller_shake(&c, context_of(&authority, 3, 30), TLS_MEMBER);
	WAIT_FOR(!caller_turn(&c) || c.plain == 5); /* asked */
	caller_say(&c, frame, 4u + size);
	WAIT_FOR(!caller_turn(&c) && n->strangers > strangers);
	assert_non_null(strstr(n->stranger, why));
	caller_close(&c);
}

static void who_does_not_say_where_it_listens_is_turned_away(void **state)
{
	static const char *const none = "it does not say where it can be reached";
	char large[ENDPOINT_SIZE + 1];
	struct member node;
	struct caller c;
	memset(large, 'x', sizeof(large));
	away_open(&node, 1);
	caller_answer(&node, "", 0, none);
	caller_answer(&node, "raft", 4, none);
	caller_answer(&node, "10.0.0.1:0", 10, none);
	caller_answer(&node, "10.0.0.1:70\0", 12, none);
	caller_answer(&node, "10.0.0.1\n:70", 12, none);
	caller_answer(&node, large, ENDPOINT_SIZE, none);
	caller_answer(&node, large, ENDPOINT_SIZE + 1, "a frame over the limit");
	caller_connect(&c, &node);
	caller_shake(&c, context_of(&authority, 3, 30), TLS_MEMBER);
	unsigned strangers = node.strangers;
	WAIT_FOR(!caller_turn(&c) && node.strangers > strangers);
	assert_non_null(strstr(node.stranger, "silent for too long"));
	caller_close(&c);
	assert_int_equal(away.met, 0);
	node_close(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_LOOP(who_joined_meanwhile_is_asked_where_it_listens_and_talked_to),
	    ON_LOOP(it_may_knock_until_it_is_wanted),
	    ON_LOOP(no_other_key_speaks_for_it),
	    ON_LOOP(an_id_that_was_given_out_is_not_taken_for_a_younger_one),
	    ON_LOOP(who_joined_anew_is_found_where_it_was),
	    ON_LOOP(who_does_not_say_where_it_listens_is_turned_away),
	};
	return cmocka_run_group_tests(tests, authority_setup, authority_teardown);
}
