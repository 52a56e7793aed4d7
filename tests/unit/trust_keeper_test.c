/* The keepers of three nodes, on real directories and one value: what they do for each other, and
 * what they refuse. Nodes 1, which leads, and 2 are coordinators, 3 is none. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fsm/authority.h"
#include "fsm/membership.h"
#include "node/trust/trust_keeper.h"
#include "node/trust/trust_wire.h"
#include "tests/unit/authority.h"

#define NODES	    3
#define DEADLINE_MS 20000

struct node_side {
	uint32_t id;
	char directory[96];
	struct identity_files files;
	struct context context;
	struct keeper *keeper;
	bool current, cut_off; /* who is cut off is not heard, and hears nobody */
	unsigned renewals;
	int refuse; /* the new files: as peers_identity() might */
};

struct frame { /* on its way */
	uint32_t from, to;
	struct buffer bytes;
};

static uv_loop_t loop;
static struct cluster value;
static struct issuer ca;
static struct node_side sides[NODES + 1];
static struct frame frames[64];
static unsigned n_frames;
static char home[] = "/tmp/pvc-keeper-XXXXXX";
static uint64_t clock_ms;

static uint64_t now(void *data)
{
	return clock_ms;
}

static int apply(struct command *command, struct err *err)
{
	struct buffer bytes = {0};
	command_encode(command, &bytes);
	int result = cluster_apply(&value, value.index + 1, bytes.data, bytes.size, err);
	buffer_close(&bytes);
	return result;
}

static void propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	struct err err = {""};
	int result = apply(command, &err);
	done(done_data, result, value.index, &err);
}

static struct standing standing(void *data)
{
	const struct node_side *s = data;
	return (struct standing){
	    .id = s->id, .leader = s->id == 1, .current = s->current, .leader_id = 1};
}

static void send_frame(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	const struct node_side *s = data;
	if (s->cut_off || n_frames == sizeof(frames) / sizeof(*frames))
		return;
	struct frame *f = &frames[n_frames++];
	*f = (struct frame){.from = s->id, .to = (uint32_t)to};
	buffer_append(&f->bytes, bytes, size);
}

static int renewed(void *data, struct err *err)
{
	struct node_side *s = data;
	if (s->refuse)
		return err_set(err, s->refuse, "no");
	s->renewals++;
	return 0;
}

static void stirred(void *data)
{
}

static void add_node(uint32_t id)
{
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 1000}};
	struct command join = {.number = COMMAND_join};
	struct err err;
	join.join.mode = id == 3 ? NODE_HYPERVISOR : NODE_COORDINATOR;
	memset(token.token.hash, '0', 64);
	memset(join.join.hash, '0', 64);
	snprintf(join.join.name, sizeof(join.join.name), "node%u", id);
	snprintf(join.join.address, sizeof(join.join.address), "node%u:1", id);
	identity_incarnation((char *)sides[id].files.certificate.data,
	    sides[id].files.certificate.size, join.join.incarnation, &err);
	authority_check(apply(&token, &err), &err);
	authority_check(apply(&join, &err), &err);
}

static void found(void)
{
	struct command command = {.number = COMMAND_found, .found = {.schema = 1}};
	struct command_found *f = &command.found;
	struct err err;
	snprintf(f->name, sizeof(f->name), "lab");
	snprintf(f->uuid, sizeof(f->uuid), "%s", ca.cluster);
	snprintf(f->node, sizeof(f->node), "node1");
	snprintf(f->address, sizeof(f->address), "node1:1");
	identity_incarnation((char *)sides[1].files.certificate.data,
	    sides[1].files.certificate.size, f->incarnation, &err);
	authority_check(apply(&command, &err), &err);
}

static void side_open(uint32_t id, int days)
{
	struct node_side *s = &sides[id];
	struct err err;
	*s = (struct node_side){.id = id, .current = true};
	snprintf(s->directory, sizeof(s->directory), "%s/%u", home, id);
	s->files = authority_admit(&ca, id, ca.cluster, days);
	if (id != 3)
		buffer_append(&s->files.ca_key, ca.key.data, ca.key.size);
	authority_check(identity_save(s->directory, &s->files, &err), &err);
	s->context = (struct context){
	    .data = s, .id = id, .cluster = &value, .now_ms = now, .propose = propose};
	struct keeper_options options = {
	    .loop = &loop,
	    .context = &s->context,
	    .directory = s->directory,
	    .files = &s->files,
	    .certificate_days = 300,
	    .standing = standing,
	    .send = send_frame,
	    .renewed = renewed,
	    .stirred = stirred,
	    .data = s,
	};
	s->keeper = keeper_new(&options);
}

static void open_with(int days_of_3)
{
	snprintf(home, sizeof(home), "/tmp/pvc-keeper-XXXXXX");
	assert_non_null(mkdtemp(home));
	clock_ms = 1000;
	uv_loop_init(&loop);
	cluster_init(&value);
	authority_open(&ca);
	for (uint32_t id = 1; id <= NODES; id++)
		side_open(id, id == 3 ? days_of_3 : 365);
	found();
	add_node(2);
	add_node(3);
}

static int open_sides(void **state)
{
	open_with(365);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	return remove(path);
}

static void frames_drop(void)
{
	while (n_frames > 0)
		buffer_close(&frames[--n_frames].bytes);
}

static int close_sides(void **state)
{
	for (uint32_t id = 1; id <= NODES; id++)
		keeper_close(sides[id].keeper);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	for (uint32_t id = 1; id <= NODES; id++)
		identity_files_close(&sides[id].files);
	frames_drop();
	cluster_close(&value);
	authority_close(&ca);
	return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Time passes; all that was sent arrives, all that was written is on the disk. */
static void turn(void)
{
	clock_ms += 25;
	for (uint32_t id = 1; id <= NODES; id++)
		if (!sides[id].cut_off)
			keeper_turn(sides[id].keeper, clock_ms);
	uv_run(&loop, UV_RUN_DEFAULT);
	struct frame now_due[sizeof(frames) / sizeof(*frames)];
	unsigned n = n_frames;
	memcpy(now_due, frames, n * sizeof(*frames));
	n_frames = 0;
	for (unsigned i = 0; i < n; i++) {
		struct frame *f = &now_due[i];
		if (f->to >= 1 && f->to <= NODES && !sides[f->to].cut_off)
			keeper_received(sides[f->to].keeper, f->from, f->bytes.data, f->bytes.size);
		buffer_close(&f->bytes);
	}
}

#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t end_ms = clock_ms + DEADLINE_MS;                                          \
		while (!(condition)) {                                                             \
			if (clock_ms > end_ms)                                                     \
				fail_msg("waited in vain for: %s", #condition);                    \
			turn();                                                                    \
		}                                                                                  \
	} while (0)

static void turns_for(uint64_t ms)
{
	for (uint64_t end_ms = clock_ms + ms; clock_ms < end_ms;)
		turn();
}

static bool all_told(uint32_t authority)
{
	cluster_each(
	    value.nodes, struct node, node) if (node->signer != authority ||
						!authority_trusted(node, authority)) return false;
	return true;
}

static void rotate(void)
{
	struct command command = {.number = COMMAND_authority_rotate};
	struct err err;
	command.authority_rotate.active = authority_active(&value)->id;
	authority_check(apply(&command, &err), &err);
}

/* What is on a node's disk is sound, and is one CA with so many keys. */
static void disk_check(uint32_t id, unsigned keys)
{
	struct identity_files files;
	struct identity identity;
	struct identity_authority list[IDENTITY_AUTHORITIES_MAX];
	struct err err = {""};
	authority_check(identity_load(sides[id].directory, &files, &identity, &err), &err);
	assert_int_equal(identity.id, id);
	assert_int_equal(identity_authorities(&files, list), 1);
	assert_int_equal(list[0].key, keys == 1);
	assert_string_equal(list[0].fingerprint, authority_active(&value)->fingerprint);
	identity_files_close(&files);
}

static void a_rotation_leaves_one_ca_and_its_key_with_coordinators_alone(void **state)
{
	WAIT_FOR(all_told(1));
	for (unsigned i = 0; i < 3; i++) {
		uint32_t before = authority_active(&value)->id;
		rotate();
		WAIT_FOR(authority_active(&value)->id != before && !authority_moving(&value));
		turns_for(500);
		disk_check(1, 1);
		disk_check(2, 1);
		disk_check(3, 0);
		assert_true(all_told(authority_active(&value)->id));
		assert_false(authority_held(cluster_node(&value, 3), authority_active(&value)->id));
	}
}

static void a_node_that_is_away_is_waited_for_and_then_catches_up(void **state)
{
	WAIT_FOR(all_told(1));
	sides[3].cut_off = true;
	rotate();
	WAIT_FOR(authority_moving(&value)->state == AUTHORITY_INCOMING);
	turns_for(5000);
	assert_int_equal(authority_moving(&value)->state, AUTHORITY_INCOMING);
	assert_true(authority_awaits(&value, cluster_node(&value, 3)));
	assert_false(authority_awaits(&value, cluster_node(&value, 2)));
	sides[3].cut_off = false;
	WAIT_FOR(!authority_moving(&value));
	turns_for(500);
	disk_check(3, 0);
}

static void one_whose_value_may_be_old_does_nothing(void **state)
{
	WAIT_FOR(all_told(1));
	sides[3].current = false;
	rotate();
	turns_for(5000);
	assert_int_equal(sides[3].renewals, 0);
	assert_true(authority_awaits(&value, cluster_node(&value, 3)));
}

static int64_t days_left(uint32_t id)
{
	struct identity_validity v;
	const struct buffer *own = &sides[id].files.certificate;
	identity_validity((char *)own->data, own->size, &v, NULL);
	return (v.until_s - (int64_t)time(NULL)) / 86400;
}

static void a_certificate_is_renewed_under_the_same_key(void **state)
{
	char before[IDENTITY_INCARNATION_SIZE], after[IDENTITY_INCARNATION_SIZE];
	close_sides(state);
	/* One day and the one before that: half of it is left, and then nothing. */
	open_with(0);
	struct buffer *own = &sides[3].files.certificate;
	identity_incarnation((char *)own->data, own->size, before, NULL);
	WAIT_FOR(days_left(3) >= 299);
	identity_incarnation((char *)own->data, own->size, after, NULL);
	assert_string_equal(before, after);
	assert_int_equal(sides[3].renewals, 1);
	/* Those that have long left are not touched. */
	turns_for(5000);
	assert_int_equal(sides[1].renewals + sides[2].renewals, 0);
	WAIT_FOR(cluster_node(&value, 3)->certificate_until_s > (uint64_t)time(NULL) + 86400);
	disk_check(3, 0);
}

static void what_cannot_be_written_does_not_count_and_is_tried_again(void **state)
{
	char aside[128];
	WAIT_FOR(all_told(1));
	snprintf(aside, sizeof(aside), "%s.aside", sides[3].directory);
	assert_int_equal(rename(sides[3].directory, aside), 0);
	rotate();
	turns_for(3000);
	assert_int_equal(sides[3].renewals, 0);
	assert_true(authority_awaits(&value, cluster_node(&value, 3)));
	assert_int_equal(rename(aside, sides[3].directory), 0);
	WAIT_FOR(!authority_moving(&value));
}

static void a_certificate_that_is_not_the_one_the_log_names_is_not_trusted(void **state)
{
	struct issuer stranger;
	char right[sizeof(((struct authority *)0)->certificate)];
	WAIT_FOR(all_told(1));
	sides[3].cut_off = true;
	rotate();
	WAIT_FOR(authority_moving(&value) && authority_moving(&value)->state == AUTHORITY_INCOMING);
	struct authority *a = authority_find(&value, authority_moving(&value)->id);
	memcpy(right, a->certificate, sizeof(right));
	authority_open(&stranger);
	snprintf(a->certificate, sizeof(a->certificate), "%.*s", (int)stranger.certificate.size,
	    (char *)stranger.certificate.data);
	size_t size = sides[3].files.ca_certificate.size;
	sides[3].cut_off = false;
	turns_for(5000);
	assert_int_equal(sides[3].renewals, 0);
	assert_int_equal(sides[3].files.ca_certificate.size, size);
	assert_true(authority_awaits(&value, cluster_node(&value, 3)));
	memcpy(a->certificate, right, sizeof(right));
	WAIT_FOR(!authority_moving(&value));
	authority_close(&stranger);
}

static void files_that_the_connections_refuse_do_not_count(void **state)
{
	WAIT_FOR(all_told(1));
	size_t size = sides[3].files.ca_certificate.size;
	sides[3].refuse = -EPROTO;
	rotate();
	turns_for(1000);
	assert_int_equal(sides[3].files.ca_certificate.size, size);
	assert_true(authority_awaits(&value, cluster_node(&value, 3)));
	sides[3].refuse = 0;
	WAIT_FOR(!authority_moving(&value));
}

/* --- What is refused --- */

/* Ask node 1 on the connection of `from`; the answer. */
static struct trust_answer asked_of_1(uint32_t from, const struct trust_ask *ask)
{
	static struct trust_answer answer;
	struct buffer bytes = {0};
	trust_ask_encode(ask, &bytes);
	keeper_received(sides[1].keeper, from, bytes.data, bytes.size);
	buffer_close(&bytes);
	assert_true(n_frames > 0);
	struct frame *f = &frames[--n_frames];
	assert_int_equal(f->to, from);
	assert_int_equal(trust_answer_decode(f->bytes.data, f->bytes.size, &answer), 0);
	assert_int_equal(answer.number, ask->number);
	buffer_close(&f->bytes);
	return answer;
}

static struct trust_ask key_question(uint32_t authority)
{
	return (struct trust_ask){.number = 77, .question = TRUST_ASK_KEY, .authority = authority};
}

static void a_cas_key_is_given_to_coordinators_alone(void **state)
{
	WAIT_FOR(all_told(1));
	frames_drop();
	struct trust_ask ask = key_question(1);
	struct trust_answer answer = asked_of_1(2, &ask);
	assert_string_equal(answer.refused, "");
	assert_non_null(strstr(answer.text, "PRIVATE KEY"));
	answer = asked_of_1(3, &ask);
	assert_string_equal(answer.refused, "node3 is no coordinator");
	assert_string_equal(answer.text, "");
	answer = asked_of_1(9, &ask);
	assert_string_equal(answer.refused, "there is no node 9");
	assert_string_equal(answer.text, "");
	ask.authority = 2;
	assert_string_equal(asked_of_1(2, &ask).refused, "CA 2 does not sign");
	ask.authority = 1;
	sides[1].current = false;
	answer = asked_of_1(2, &ask);
	assert_string_equal(answer.refused, "it is not in touch with the leader");
	assert_string_equal(answer.text, "");
}

static void request_of(struct trust_ask *ask, const struct buffer *key)
{
	struct buffer request = {0};
	struct err err;
	authority_check(identity_request_make(key, "somebody", &request, &err), &err);
	*ask = (struct trust_ask){.number = 78, .question = TRUST_ASK_CERTIFICATE, .authority = 1};
	snprintf(ask->text, sizeof(ask->text), "%.*s", (int)request.size, (char *)request.data);
	buffer_close(&request);
}

static void a_certificate_is_for_who_asks_and_its_own_key(void **state)
{
	struct trust_ask ask;
	struct identity identity;
	struct err err;
	WAIT_FOR(all_told(1));
	frames_drop();
	request_of(&ask, &sides[3].files.key);
	struct trust_answer answer = asked_of_1(3, &ask);
	assert_string_equal(answer.refused, "");
	assert_int_equal(identity_read(answer.text, strlen(answer.text), &identity, &err), 0);
	assert_int_equal(identity.id, 3);
	assert_string_equal(identity.name, "node3");
	assert_string_equal(identity.cluster, ca.cluster);
	struct trust_ask other;
	request_of(&other, &sides[2].files.key);
	answer = asked_of_1(2, &other);
	assert_int_equal(identity_read(answer.text, strlen(answer.text), &identity, &err), 0);
	assert_int_equal(identity.id, 2);
	/* The same request on another's connection, and another key on the right one. */
	assert_non_null(strstr(asked_of_1(2, &ask).refused, "another key than node2's"));
	struct buffer key = {0};
	authority_check(identity_key_make(&key, &err), &err);
	request_of(&ask, &key);
	assert_non_null(strstr(asked_of_1(3, &ask).refused, "another key than node3's"));
	buffer_close(&key);
	snprintf(ask.text, sizeof(ask.text), "nonsense");
	assert_string_not_equal(asked_of_1(3, &ask).refused, "");
	/* One that has just been removed. */
	struct command leave = {.number = COMMAND_leave, .leave = {3, membership_mark(&value)}};
	authority_check(apply(&leave, &err), &err);
	request_of(&ask, &sides[3].files.key);
	assert_string_equal(asked_of_1(3, &ask).refused, "there is no node 3");
}

static void an_answer_that_was_not_asked_for_is_not_taken(void **state)
{
	struct trust_answer answer = {0};
	struct buffer bytes = {0};
	WAIT_FOR(all_told(1));
	for (answer.number = 0; answer.number < 50; answer.number++) {
		snprintf(answer.text, sizeof(answer.text), "%.*s", (int)ca.key.size,
		    (char *)ca.key.data);
		bytes.size = 0;
		trust_answer_encode(&answer, &bytes);
		keeper_received(sides[3].keeper, 2, bytes.data, bytes.size);
	}
	turns_for(1000);
	assert_int_equal(sides[3].renewals, 0);
	buffer_close(&bytes);
}

static void refusals_drop(void)
{
	for (unsigned i = 0; i < n_frames; i++) {
		struct trust_answer answer;
		const struct buffer *bytes = &frames[i].bytes;
		assert_int_equal(trust_answer_decode(bytes->data, bytes->size, &answer), 0);
		assert_true(answer.refused[0] && !answer.text[0]);
	}
	frames_drop();
}

static void any_bytes_are_survived(void **state)
{
	struct trust_ask ask = key_question(1);
	struct buffer bytes = {0};
	trust_ask_encode(&ask, &bytes);
	for (size_t size = 0; size < bytes.size; size++)
		keeper_received(sides[1].keeper, 2, bytes.data, size);
	assert_int_equal(n_frames, 0);
	uint64_t x = 1; /* the same noise each time: some of it is a question */
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t noise[64];
		for (unsigned k = 0; k < sizeof(noise); k++) {
			x = x * 6364136223846793005ull + 1442695040888963407ull;
			noise[k] = (uint8_t)(x >> 56);
		}
		noise[0] = noise[0] & 1 ? TRUST_ASK_MARK : TRUST_ANSWER_MARK;
		keeper_received(sides[1].keeper, 2, noise, noise[1] % sizeof(noise));
		refusals_drop();
	}
	buffer_close(&bytes);
}

#define WITH_THREE(test) cmocka_unit_test_setup_teardown(test, open_sides, close_sides)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_THREE(a_rotation_leaves_one_ca_and_its_key_with_coordinators_alone),
	    WITH_THREE(a_node_that_is_away_is_waited_for_and_then_catches_up),
	    WITH_THREE(one_whose_value_may_be_old_does_nothing),
	    WITH_THREE(a_certificate_is_renewed_under_the_same_key),
	    WITH_THREE(what_cannot_be_written_does_not_count_and_is_tried_again),
	    WITH_THREE(a_certificate_that_is_not_the_one_the_log_names_is_not_trusted),
	    WITH_THREE(files_that_the_connections_refuse_do_not_count),
	    WITH_THREE(a_cas_key_is_given_to_coordinators_alone),
	    WITH_THREE(a_certificate_is_for_who_asks_and_its_own_key),
	    WITH_THREE(an_answer_that_was_not_asked_for_is_not_taken),
	    WITH_THREE(any_bytes_are_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
