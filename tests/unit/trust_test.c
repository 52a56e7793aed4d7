/* What is due about certificates, as a table: a value, what a node holds, and its next step. */

#include "fsm/authority.h"
#include "fsm/node.h"
#include "node/member/health.h"
#include "node/trust/trust.h"
#include "tests/unit/value.h"

#define YEAR_S (365 * 24 * 3600)
#define NOW_S  ((int64_t)1000 * YEAR_S / 10)

#define MUST(name, ...) assert_true(APPLY(name, __VA_ARGS__) >= 0)

static void made(uint32_t authority, char letter)
{
	struct command command = {
	    .number = COMMAND_authority_made,
	    .authority_made = {.authority = authority, .certificate = "PEM"},
	};
	memset(command.authority_made.fingerprint, letter, 64);
	assert_true(apply(command) >= 0);
}

/* Nodes 1 and 2 are coordinators, node 3 is none. */
static void three_nodes(void)
{
	value_found();
	value_join(2, NODE_COORDINATOR);
	value_join(3, NODE_HYPERVISOR);
}

/* All say the same; the key is for coordinators. */
static void all_say(uint32_t signer, uint32_t first, uint32_t second)
{
	for (uint32_t i = 1; i <= 3; i++) {
		bool signs = i < 3;
		MUST(node_trust, .node = i, .signer = signer, .trusts = {first, second},
		    .keys = {signs ? first : 0, signs ? second : 0});
	}
}

static void time_passes(uint64_t ms)
{
	MUST(tick, .elapsed_ms = 1000);
	for (uint64_t passed = 0; passed < ms; passed += 1000)
		MUST(tick, .elapsed_ms = 1000);
}

/* The CA of node's letters: a is number 1, b the one that takes its place: number 3. */
enum stage { NONE, QUIET, WANTED, INCOMING, KEYLESS, TRUSTED, ACTIVE, RENEWED, GONE };

static void value_make(enum stage stage)
{
	three_nodes();
	if (stage == NONE)
		return;
	made(0, 'a');
	all_say(1, 1, 0);
	if (stage == QUIET)
		return;
	MUST(authority_rotate, .active = 1);
	if (stage == WANTED)
		return;
	made(2, 'b');
	if (stage == KEYLESS)
		time_passes(TRUST_KEY_WAIT_MS);
	if (stage == INCOMING || stage == KEYLESS)
		return;
	all_say(1, 1, 3);
	if (stage == TRUSTED)
		return;
	MUST(authority_shift, .authority = 3);
	if (stage == ACTIVE)
		return;
	all_say(3, 1, 3);
	if (stage == RENEWED)
		return;
	MUST(authority_shift, .authority = 1);
	all_say(3, 3, 0);
}

/* "a.s b.k": CA a, which signed our certificate, and CA b with its key. */
static struct trust_held held_of(const char *text, int64_t left_s)
{
	struct trust_held held = {
	    .certificate = {.from_s = NOW_S + left_s - YEAR_S, .until_s = NOW_S + left_s}};
	for (; *text; text++) {
		struct identity_authority *a = &held.authorities[held.n ? held.n - 1 : 0];
		if (*text == 's')
			a->signer = true;
		else if (*text == 'k')
			a->key = true;
		else if (*text != ' ' && *text != '.')
			memset(held.authorities[held.n++].fingerprint, *text, 64);
	}
	for (unsigned i = 0; i < held.n; i++)
		held.authorities[i].validity =
		    (struct identity_validity){NOW_S - YEAR_S, NOW_S + 9 * (int64_t)YEAR_S};
	return held;
}

static const struct row {
	enum stage stage;
	uint32_t self;
	const char *held;
	int left_percent; /* of the certificate's life */
	enum trust_duty own;
	char own_letter;
	enum trust_duty lead;
	char lead_letter;
} rows[] = {
    /* Before the log knows of any CA. */
    {NONE, 1, "a.sk", 90, TRUST_NOTHING, 0, TRUST_FOUND, 'a'},
    /* In peace. */
    {QUIET, 1, "a.sk", 90, TRUST_NOTHING, 0, TRUST_NOTHING, 0},
    {QUIET, 1, "a.sk", 34, TRUST_NOTHING, 0, TRUST_NOTHING, 0},
    {QUIET, 1, "a.sk", 33, TRUST_RENEW, 'a', TRUST_NOTHING, 0},
    {QUIET, 3, "a.s", 1, TRUST_RENEW, 'a', TRUST_NOTHING, 0},
    {QUIET, 3, "a.s", -5, TRUST_RENEW, 'a', TRUST_NOTHING, 0},
    {QUIET, 2, "a.s", 90, TRUST_FETCH, 'a', TRUST_NOTHING, 0},
    {QUIET, 3, "a.sk", 90, TRUST_FORGET_KEYS, 'a', TRUST_NOTHING, 0},
    {QUIET, 1, "a.sk x", 90, TRUST_FORGET, 'x', TRUST_NOTHING, 0},
    {QUIET, 1, "a.sk x.k", 90, TRUST_FORGET, 'x', TRUST_NOTHING, 0},
    /* Another is wanted: made by the leader, and told once it is on its disk. */
    {WANTED, 1, "a.sk", 90, TRUST_NOTHING, 0, TRUST_MAKE, 0},
    {WANTED, 1, "a.sk b.k", 90, TRUST_NOTHING, 0, TRUST_OFFER, 'b'},
    {WANTED, 1, "a.sk x", 90, TRUST_FORGET, 'x', TRUST_MAKE, 0},
    /* Incoming: trusted by all, its key with coordinators. */
    {INCOMING, 1, "a.sk b.k", 90, TRUST_NOTHING, 0, TRUST_NOTHING, 0},
    {INCOMING, 2, "a.sk", 90, TRUST_ADD, 'b', TRUST_NOTHING, 0},
    {INCOMING, 3, "a.s b", 90, TRUST_NOTHING, 0, TRUST_NOTHING, 0},
    /* A leader without the key waits for a while, and then makes another. */
    {INCOMING, 2, "a.sk b", 90, TRUST_NOTHING, 0, TRUST_NOTHING, 0},
    {KEYLESS, 2, "a.sk b", 90, TRUST_NOTHING, 0, TRUST_MAKE, 0},
    {KEYLESS, 2, "a.sk b x.k", 90, TRUST_NOTHING, 0, TRUST_OFFER, 'x'},
    {KEYLESS, 1, "a.sk b.k", 90, TRUST_NOTHING, 0, TRUST_NOTHING, 0},
    /* All have said so. */
    {TRUSTED, 1, "a.sk b.k", 90, TRUST_NOTHING, 0, TRUST_SHIFT, 0},
    {TRUSTED, 2, "a.sk b", 90, TRUST_FETCH, 'b', TRUST_NOTHING, 0},
    /* Active: certificates are renewed, whatever their age. */
    {ACTIVE, 1, "a.sk b.k", 90, TRUST_RENEW, 'b', TRUST_NOTHING, 0},
    {ACTIVE, 3, "a.s b", 90, TRUST_RENEW, 'b', TRUST_NOTHING, 0},
    {ACTIVE, 3, "a b.s", 90, TRUST_NOTHING, 0, TRUST_NOTHING, 0},
    {RENEWED, 1, "a.k b.sk", 90, TRUST_NOTHING, 0, TRUST_SHIFT, 0},
    /* The outgoing one has left the log: it leaves the disk, but never from under ourselves. */
    {GONE, 1, "a.k b.sk", 90, TRUST_FORGET, 'a', TRUST_NOTHING, 0},
    {GONE, 3, "a.s b", 90, TRUST_RENEW, 'b', TRUST_NOTHING, 0},
    {GONE, 1, "b.sk", 90, TRUST_NOTHING, 0, TRUST_NOTHING, 0},
};

static void step_check(const struct row *row, const char *what, struct trust_step s, char letter)
{
	enum trust_duty wanted = *what == 'o' ? row->own : row->lead;
	if (s.duty == wanted && (!letter || s.fingerprint[0] == letter))
		return;
	fail_msg("row %zu (stage %d, node %u, '%s', %d %%), %s: duty %d of '%c', wanted %d of '%c'",
	    (size_t)(row - rows), row->stage, row->self, row->held, row->left_percent, what, s.duty,
	    s.fingerprint[0] ? s.fingerprint[0] : '-', wanted, letter ? letter : '-');
}

static void each_situation_has_its_next_step(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];
		value_make(row->stage);
		struct trust_held held =
		    held_of(row->held, (int64_t)YEAR_S / 100 * row->left_percent);
		struct trust_view v = {.c = &c, .self = row->self, .held = &held, .now_s = NOW_S};
		step_check(row, "own", trust_own(&v), row->own_letter);
		step_check(row, "lead", trust_lead(&v), row->lead_letter);
		cluster_close(&c);
	}
}

static void what_was_just_tried_makes_room_for_what_else_is_due(void **state)
{
	value_make(QUIET);
	struct trust_held held = held_of("a.s x", YEAR_S / 10);
	struct trust_view v = {.c = &c, .self = 2, .held = &held, .now_s = NOW_S};
	assert_int_equal(trust_own(&v).duty, TRUST_RENEW);
	v.blocked |= 1u << TRUST_RENEW;
	assert_int_equal(trust_own(&v).duty, TRUST_FETCH);
	v.blocked |= 1u << TRUST_FETCH;
	assert_int_equal(trust_own(&v).duty, TRUST_FORGET);
	v.blocked |= 1u << TRUST_FORGET;
	assert_int_equal(trust_own(&v).duty, TRUST_NOTHING);
	cluster_close(&c);
}

static void the_ca_of_our_own_certificate_is_never_forgotten(void **state)
{
	value_make(GONE);
	struct trust_held held = held_of("a.s b", YEAR_S);
	struct trust_view v = {.c = &c, .self = 3, .held = &held, .now_s = NOW_S};
	v.blocked = 1u << TRUST_RENEW;
	assert_int_equal(trust_own(&v).duty, TRUST_NOTHING);
	cluster_close(&c);
}

static void the_last_that_has_the_key_keeps_it_whatever_it_is(void **state)
{
	value_make(QUIET);
	struct trust_held held = held_of("a.sk", YEAR_S);
	struct trust_view v = {.c = &c, .self = 3, .held = &held, .now_s = NOW_S};
	assert_int_equal(trust_own(&v).duty, TRUST_FORGET_KEYS);
	for (uint32_t i = 1; i <= 2; i++)
		MUST(node_trust, .node = i, .signer = 1, .trusts = {1});
	assert_int_equal(trust_own(&v).duty, TRUST_NOTHING);
	cluster_close(&c);
}

/* Node 1 made it and says that it has the key, and is heard no more. */
static void a_key_of_a_silent_node_is_not_waited_for(void **state)
{
	struct keepalive heard = {.node = 1};
	value_make(KEYLESS);
	struct trust_held held = held_of("a.sk b", YEAR_S);
	struct trust_view v = {.c = &c, .self = 2, .held = &held, .now_s = NOW_S};
	MUST(node_trust, .node = 1, .signer = 1, .trusts = {1, 3}, .keys = {1, 3});
	MUST(tick, .elapsed_ms = 1000, .keepalives = {.items = &heard, .count = 1});
	time_passes(HEALTH_SILENCE_MS - 1000);
	assert_int_equal(trust_lead(&v).duty, TRUST_NOTHING);
	MUST(tick, .elapsed_ms = 1);
	assert_int_equal(trust_lead(&v).duty, TRUST_MAKE);
	cluster_close(&c);
}

/* One whose keepalives are far apart is not silent between them. */
static void a_key_of_a_node_that_speaks_seldom_is_waited_for(void **state)
{
	struct keepalive heard = {.node = 1};
	struct node_interval_key key = node_interval_key(1);
	struct command interval = {
	    .number = COMMAND_fact, .fact = {.value = {.data = (uint8_t *)"30000", .size = 5}}};
	value_make(KEYLESS);
	struct trust_held held = held_of("a.sk b", YEAR_S);
	struct trust_view v = {.c = &c, .self = 2, .held = &held, .now_s = NOW_S};
	memcpy(interval.fact.key, key.text, sizeof(key.text));
	assert_true(apply(interval) >= 0);
	MUST(node_trust, .node = 1, .signer = 1, .trusts = {1, 3}, .keys = {1, 3});
	MUST(tick, .elapsed_ms = 1000, .keepalives = {.items = &heard, .count = 1});
	time_passes(59000);
	assert_int_equal(trust_lead(&v).duty, TRUST_NOTHING);
	time_passes(2000);
	assert_int_equal(trust_lead(&v).duty, TRUST_MAKE);
	cluster_close(&c);
}

static void a_node_says_what_it_holds_until_the_value_says_so(void **state)
{
	struct command command = {.number = COMMAND_node_trust};
	value_make(INCOMING);
	struct trust_held held = held_of("b.k a.s x", YEAR_S);
	struct trust_view v = {.c = &c, .self = 2, .held = &held, .now_s = NOW_S};
	assert_true(trust_tell(&v, &command.node_trust));
	assert_int_equal(command.node_trust.node, 2);
	assert_int_equal(command.node_trust.signer, 1);
	assert_int_equal(command.node_trust.trusts[0], 1);
	assert_int_equal(command.node_trust.trusts[1], 3);
	assert_int_equal(command.node_trust.keys[0], 3);
	assert_int_equal(command.node_trust.keys[1], 0);
	assert_true(apply(command) >= 0);
	assert_false(trust_tell(&v, &command.node_trust));
	cluster_close(&c);
}

static void the_leader_is_asked_first_and_only_who_has_the_key(void **state)
{
	value_make(QUIET);
	struct trust_view v = {.c = &c, .self = 3};
	assert_int_equal(trust_whom(&v, 1, 2, 0), 2);
	assert_int_equal(trust_whom(&v, 1, 2, 1), 1);
	assert_int_equal(trust_whom(&v, 1, 2, 2), 2);
	assert_int_equal(trust_whom(&v, 1, 0, 0), 1);
	v.self = 1;
	assert_int_equal(trust_whom(&v, 1, 1, 0), 2);
	assert_int_equal(trust_whom(&v, 7, 1, 0), 0);
	cluster_close(&c);
}

static void what_is_about_to_expire_is_said(void **state)
{
	char text[128];
	struct trust_held held = held_of("a.s", YEAR_S / 9);
	struct trust_view v = {.c = &c, .self = 1, .held = &held, .now_s = NOW_S};
	assert_false(trust_trouble(&v, text, sizeof(text)));
	held = held_of("a.s", YEAR_S / 11);
	assert_true(trust_trouble(&v, text, sizeof(text)));
	assert_string_equal(text, "its certificate expires in 33 days and was not renewed");
	held = held_of("a.s", 7200);
	trust_trouble(&v, text, sizeof(text));
	assert_string_equal(text, "its certificate expires in 2 hours and was not renewed");
	held = held_of("a.s", -1);
	trust_trouble(&v, text, sizeof(text));
	assert_string_equal(text, "its certificate has expired and was not renewed");
	held = held_of("a.s b", YEAR_S / 2);
	held.authorities[1].validity.until_s = NOW_S + 5 * 24 * 3600;
	assert_false(trust_trouble(&v, text, sizeof(text)));
	held.authorities[0].validity.until_s = NOW_S + 5 * 24 * 3600;
	assert_true(trust_trouble(&v, text, sizeof(text)));
	assert_non_null(strstr(text, "the cluster's CA expires in 5 days"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_situation_has_its_next_step),
	    cmocka_unit_test(what_was_just_tried_makes_room_for_what_else_is_due),
	    cmocka_unit_test(the_ca_of_our_own_certificate_is_never_forgotten),
	    cmocka_unit_test(the_last_that_has_the_key_keeps_it_whatever_it_is),
	    cmocka_unit_test(a_key_of_a_silent_node_is_not_waited_for),
	    cmocka_unit_test(a_key_of_a_node_that_speaks_seldom_is_waited_for),
	    cmocka_unit_test(a_node_says_what_it_holds_until_the_value_says_so),
	    cmocka_unit_test(the_leader_is_asked_first_and_only_who_has_the_key),
	    cmocka_unit_test(what_is_about_to_expire_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
