/* `pvc raft ...` as the daemon answers it, on three nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fsm/history.h"
#include "tests/unit/trio.h"

/* Status. */

static void the_leader_says_how_far_the_others_are(void **state)
{
	struct member_at *m = leader();
	json_t *s = result_of(m, "raft status");
	assert_string_equal(text_at(s, "schema"), "raft-status/1");
	assert_string_equal(text_at(s, "role"), "leader");
	assert_int_equal(number_at(s, "id"), m->id);
	assert_true(number_at(s, "lease_left_ms") > 0);
	assert_int_equal(number_at(s, "commit_index"), number_at(s, "last_index"));
	assert_int_equal(number_at(s, "voters"), 3);
	assert_int_equal(number_at(s, "failure_tolerance"), 1);
	assert_int_equal(number_at(s, "heartbeat_ms"), 50);
	assert_int_equal(number_at(s, "lease_ms"), 240);
	assert_int_equal(number_at(s, "free_bytes"), 1ll << 40);
	assert_true(number_at(s, "free_age_ms") > 0);
	assert_true(is_null(s, "failure") && is_null(s, "diverged_at") && is_null(s, "disk_error"));
	for (unsigned i = 1; i <= PEERS; i++) {
		const json_t *row = row_of(s, i);
		assert_int_equal(number_at(row, "match_index"), number_at(s, "last_index"));
		assert_int_equal(number_at(row, "next_index"), number_at(s, "last_index") + 1);
		assert_int_equal(number_at(row, "lag"), 0);
		if (i != m->id)
			assert_int_equal(number_at(row, "rtt_us"), 70);
	}
	json_decref(s);
}

static void a_follower_says_who_leads_and_since_when(void **state)
{
	run_for(1000);
	json_t *s = result_of(follower(), "raft status");
	assert_string_equal(text_at(s, "role"), "follower");
	assert_int_equal(text_at(s, "leader")[2], '0' + (int)leader()->id);
	assert_true(number_at(s, "leader_age_ms") >= 1000);
	assert_true(number_at(s, "heard_age_ms") <= 100);
	assert_true(is_null(s, "lease_left_ms"));
	assert_true(is_null(row_of(s, leader()->id), "match_index"));
	json_decref(s);
}

static void a_member_that_falls_behind_is_seen_to(void **state)
{
	struct member_at *f = follower();
	f->down = true;
	for (unsigned i = 0; i < 5; i++)
		done(leader(), "fact set a b");
	run_for(1000);
	json_t *s = result_of(leader(), "raft status");
	const json_t *row = row_of(s, f->id);
	assert_int_equal(
	    number_at(row, "lag"), number_at(s, "last_index") - number_at(row, "match_index"));
	assert_true(number_at(row, "lag") >= 5);
	assert_true(number_at(row, "heard_age_ms") >= 1000);
	assert_string_equal(text_at(row, "error"), "no route to host");
	assert_true(json_is_false(json_object_get(row, "connected")));
	json_decref(s);
}

static void a_member_that_is_lost_is_known_by_when_it_was_heard_and_how_far_it_was(void **state)
{
	struct member_at *f = follower(), *l = leader();
	f->down = true;
	run_for(1000);
	replica_lost(l->replica, f->id, clock_ms);
	run_for(1000);
	json_t *s = result_of(l, "raft status");
	const json_t *row = row_of(s, f->id);
	assert_true(number_at(row, "heard_age_ms") >= 2000);
	assert_true(number_at(row, "match_index") > 0);
	json_decref(s);
}

static void status_answers_without_a_leader(void **state)
{
	struct member_at *f = follower(), *l = leader();
	l->down = true;
	at[6 - f->id - l->id].down = true;
	run_for(3000);
	json_t *s = result_of(f, "raft status");
	assert_true(is_null(s, "leader"));
	assert_true(number_at(s, "commit_index") > 0);
	assert_int_equal(strlen(text_at(s, "state_hash")), 16);
	json_decref(s);
}

static void status_of_every_member_has_a_row_for_each(void **state)
{
	struct member_at *f = follower();
	json_t *s = result_of(f, "raft status --cluster");
	assert_string_equal(text_at(s, "schema"), "raft-status-cluster/1");
	for (unsigned i = 1; i <= PEERS; i++) {
		assert_true(is_null(row_of(s, i), "problem"));
		assert_string_equal(
		    text_at(row_of(s, i), "role"), &at[i] == leader() ? "leader" : "follower");
	}
	json_decref(s);
	f->down = true;
	s = result_of(leader(), "raft status --cluster");
	assert_string_equal(
	    text_at(row_of(s, f->id), "problem"), "no connection: no route to host");
	assert_string_equal(text_at(row_of(s, leader()->id), "role"), "leader");
	json_decref(s);
}

/* Health. */

static bool has_reason(const json_t *health, const char *begin)
{
	size_t i;
	const json_t *reason;
	json_array_foreach(json_object_get(health, "reasons"), i, reason)
	{
		if (!strncmp(json_string_value(reason), begin, strlen(begin)))
			return true;
	}
	return false;
}

static void a_healthy_log_commits_an_entry_that_changes_nothing(void **state)
{
	uint64_t hash = at[1].value.hash;
	json_t *h = result_of(follower(), "raft health");
	assert_string_equal(text_at(h, "health"), "healthy");
	assert_int_equal(number_at(h, "exit_status"), 0);
	assert_true(number_at(h, "took_us") > 0);
	struct disk_entry entry;
	struct replica_status s;
	replica_status(leader()->replica, &s);
	uint64_t index = (uint64_t)number_at(h, "index");
	assert_true(index <= s.commit);
	assert_int_equal(replica_entry(leader()->replica, index, &entry), 0);
	assert_int_equal(entry.type, DISK_COMMAND);
	json_decref(h);
	run_for(200);
	for (unsigned i = 1; i <= PEERS; i++)
		assert_true(at[i].value.hash == hash);
}

static void a_member_less_is_degraded(void **state)
{
	struct member_at *f = follower();
	char text[64];
	f->down = true;
	run_for(2000);
	json_t *h = result_of(leader(), "raft health");
	assert_string_equal(text_at(h, "health"), "degraded");
	assert_int_equal(number_at(h, "exit_status"), 1);
	snprintf(text, sizeof(text), "hv%u does not answer: no connection", f->id);
	assert_true(has_reason(h, text));
	snprintf(text, sizeof(text), "the leader has not heard hv%u", f->id);
	assert_true(has_reason(h, text));
	json_decref(h);
}

static void a_disk_that_is_slow_or_full_is_degraded(void **state)
{
	char text[64];
	struct member_at *f = follower();
	f->files.write_us_p99 = 90000;
	json_t *h = result_of(leader(), "raft health");
	assert_int_equal(number_at(h, "exit_status"), 1);
	snprintf(
	    text, sizeof(text), "hv%u: the log's disk is slow: writes take up to 90 ms", f->id);
	assert_true(has_reason(h, text));
	json_decref(h);
	f->files.write_us_p99 = 0;
	f->files.free_bytes = 12 << 20;
	f->files.last_error = -ENOSPC;
	h = result_of(leader(), "raft health");
	snprintf(text, sizeof(text), "hv%u: 12 MiB are free on the log's disk", f->id);
	assert_true(has_reason(h, text));
	snprintf(text, sizeof(text), "hv%u: the log's disk: No space left", f->id);
	assert_true(has_reason(h, text));
	json_decref(h);
}

static void without_a_majority_there_is_no_quorum(void **state)
{
	struct member_at *l = leader();
	for (unsigned i = 1; i <= PEERS; i++)
		at[i].down = &at[i] != l;
	uint64_t begin_ms = clock_ms;
	json_t *h = result_of(l, "raft health --timeout 2s");
	assert_string_equal(text_at(h, "health"), "no quorum");
	assert_int_equal(number_at(h, "exit_status"), 2);
	assert_true(clock_ms - begin_ms < 3000);
	assert_true(has_reason(h, "an entry could not be committed: "));
	json_decref(h);
	struct asked a = run(l, "raft health --timeout 16s");
	assert_int_equal(a.status, -EINVAL);
}

/* The log. */

static void the_log_says_what_came_of_its_entries(void **state)
{
	done(leader(), "fact set a b");
	done(leader(), "fact remove a");
	struct command again = {.number = COMMAND_vm_undefine, .vm_undefine = {.vm = 9}};
	propose(leader(), &again, 1000, NULL, NULL);
	run_for(200);
	json_t *log = result_of(follower(), "raft log --last 3");
	const json_t *entries = json_object_get(log, "entries");
	assert_int_equal(json_array_size(entries), 3);
	const json_t *refused = json_array_get(entries, 2);
	assert_int_equal(number_at(refused, "result"), -ENOENT);
	assert_string_equal(text_at(refused, "state"), "committed");
	assert_string_equal(
	    text_at(json_object_get(refused, "operation"), "text"), "vm_undefine vm=9");
	assert_int_equal(number_at(json_array_get(entries, 0), "result"), 0);
	json_decref(log);
	log = result_of(follower(), "raft log --type join --node hv2");
	assert_int_equal(json_array_size(json_object_get(log, "entries")), 1);
	char *text = json_dumps(log, 0);
	assert_non_null(strstr(text, "\"hash\": null"));
	assert_null(strstr(text, "2222"));
	free(text);
	json_decref(log);
}

static void ticks_are_rows_unless_they_are_to_be_folded(void **state)
{
	struct command tick = {.number = COMMAND_tick, .tick = {.elapsed_ms = 1000}};
	for (unsigned i = 0; i < 3; i++) {
		propose(leader(), &tick, 1000, NULL, NULL);
		run_for(200);
	}
	json_t *apart = result_of(follower(), "raft log --last 3");
	json_t *folded = result_of(follower(), "raft log --last 1 --fold");
	const json_t *entries = json_object_get(apart, "entries");
	const json_t *row = json_array_get(json_object_get(folded, "entries"), 0);
	assert_int_equal(json_array_size(entries), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_null(json_object_get(json_array_get(entries, i), "ticks"));
	assert_int_equal(number_at(row, "ticks"), 3);
	assert_int_equal(
	    number_at(row, "first_index"), number_at(json_array_get(entries, 0), "index"));
	json_decref(apart);
	json_decref(folded);
}

static void an_entry_that_is_not_committed_is_marked(void **state)
{
	struct member_at *l = leader();
	struct command fact = {.number = COMMAND_fact, .fact = {.key = "lost"}};
	for (unsigned i = 1; i <= PEERS; i++)
		at[i].down = &at[i] != l;
	propose(l, &fact, 5000, NULL, NULL);
	step();
	json_t *log = result_of(l, "raft log --last 2");
	const json_t *entries = json_object_get(log, "entries");
	assert_string_equal(text_at(json_array_get(entries, 0), "state"), "committed");
	assert_string_equal(text_at(json_array_get(entries, 1), "state"), "uncommitted");
	assert_true(is_null(json_array_get(entries, 1), "result"));
	json_decref(log);
	/* It may be taken back: who follows is told of it once it cannot. */
	log = result_of(l, "raft log --last 2 --after 0");
	entries = json_object_get(log, "entries");
	assert_string_equal(text_at(json_array_get(entries, 1), "state"), "committed");
	json_decref(log);
}

/* What `raft log -f` sees: every entry once, in order. */
static void who_follows_sees_every_entry_once(void **state)
{
	char line[64];
	unsigned seen = 0;
	json_t *log = result_of(leader(), "raft log --type fact --after 0");
	json_int_t newest = number_at(log, "newest");
	json_decref(log);
	for (unsigned i = 0; i < 30; i++)
		done(leader(), "fact set a b");
	run_for(200);
	for (bool more = true; more;) {
		snprintf(line, sizeof(line), "raft log --type fact --after %d", (int)newest);
		log = result_of(leader(), line);
		seen += (unsigned)json_array_size(json_object_get(log, "entries"));
		more = json_is_true(json_object_get(log, "more"));
		assert_true(number_at(log, "newest") > newest);
		newest = number_at(log, "newest");
		json_decref(log);
	}
	assert_int_equal(seen, 30);
	snprintf(line, sizeof(line), "raft log --after %d", (int)newest);
	log = result_of(leader(), line);
	assert_int_equal(json_array_size(json_object_get(log, "entries")), 0);
	assert_int_equal(number_at(log, "newest"), newest);
	json_decref(log);
}

static void put_large_facts(unsigned n, uint32_t size)
{
	char *large = must_alloc(size);
	memset(large, 'x', size);
	for (unsigned i = 0; i < n; i++) {
		struct command fact = {.number = COMMAND_fact, .fact = {.key = "large"}};
		fact.fact.value = (struct blob){(uint8_t *)large, size};
		propose(leader(), &fact, 5000, NULL, NULL);
		run_for(500);
	}
	free(large);
}

/* Follow from there to the end; how often that took asking. */
static unsigned follow(json_int_t after, unsigned *seen)
{
	char line[64];
	unsigned rounds = 0;
	*seen = 0;
	for (bool more = true; more && rounds < 100; rounds++) {
		snprintf(line, sizeof(line), "raft log --type fact --after %d", (int)after);
		json_t *log = result_of(leader(), line);
		*seen += (unsigned)json_array_size(json_object_get(log, "entries"));
		more = json_is_true(json_object_get(log, "more"));
		after = number_at(log, "newest");
		json_decref(log);
	}
	assert_int_equal(after, leader()->value.index);
	return rounds;
}

/* What is new is told in parts, from the oldest on: nothing is left out. */
static void who_follows_a_lot_gets_it_in_parts(void **state)
{
	unsigned seen;
	json_int_t newest = (json_int_t)leader()->value.index;
	put_large_facts(4, 200000);
	assert_int_equal(follow(newest, &seen), 2);
	assert_int_equal(seen, 4);
}

static void who_is_behind_a_snapshot_goes_on_behind_it(void **state)
{
	unsigned seen;
	put_large_facts(12, 1000000);
	json_t *s = result_of(leader(), "raft status");
	assert_true(number_at(s, "snapshot_index") > 1);
	assert_true(number_at(s, "first_index") > 1);
	json_decref(s);
	assert_true(follow(1, &seen) > 1);
	assert_true(seen > 0 && seen < 12);
}

static void a_name_that_there_is_not_finds_nothing(void **state)
{
	struct asked a = run(leader(), "raft log --node hv9");
	assert_int_equal(a.status, -ENOENT);
	a = run(leader(), "raft log --type takover");
	assert_int_equal(a.status, -EINVAL);
	assert_string_equal(
	    a.err.text, "there are no operations of the type 'takover' (did you mean 'takeover'?)");
}

/* Hashes. */

/* As bad memory would: its value is another from here on. */
static void spoil(struct member_at *m)
{
	struct command fact = {.number = COMMAND_fact, .fact = {.key = "spoiled"}};
	struct buffer bytes = {0};
	fact.fact.value.data = (uint8_t *)"x";
	fact.fact.value.size = 1;
	command_encode(&fact, &bytes);
	assert_true(cluster_apply(&m->value, m->value.index, bytes.data, bytes.size, NULL) >= 0);
	buffer_close(&bytes);
}

static void equal_values_have_equal_hashes(void **state)
{
	done(leader(), "fact set a b");
	run_for(200);
	json_t *h = result_of(follower(), "raft hash --cluster");
	assert_int_equal(number_at(h, "exit_status"), 0);
	assert_true(json_is_true(json_object_get(h, "agree")));
	for (unsigned i = 1; i <= PEERS; i++)
		assert_string_equal(text_at(row_of(h, i), "state"), "same");
	json_decref(h);
}

static void a_member_that_differs_is_named(void **state)
{
	struct member_at *bad = follower();
	spoil(bad);
	done(leader(), "fact set a b");
	run_for(200);
	for (unsigned i = 1; i <= PEERS; i++) {
		json_t *h = result_of(&at[i], "raft hash --cluster");
		assert_int_equal(number_at(h, "exit_status"), 1);
		for (unsigned k = 1; k <= PEERS; k++)
			assert_string_equal(
			    text_at(row_of(h, k), "state"), &at[k] == bad ? "differs" : "same");
		json_decref(h);
	}
}

static void a_member_that_is_behind_does_not_hide_the_others(void **state)
{
	struct member_at *f = follower();
	char line[64];
	run_for(200);
	snprintf(line, sizeof(line), "raft hash --cluster --index %d", (int)f->value.index);
	f->down = true;
	done(leader(), "fact set a b");
	run_for(200);
	f->down = false; /* it answers, and has not caught up yet */
	json_t *h = result_of(leader(), line);
	assert_int_equal(number_at(h, "exit_status"), 0);
	assert_string_equal(text_at(row_of(h, f->id), "state"), "same");
	json_decref(h);
	snprintf(line, sizeof(line), "raft hash --cluster --index %d", (int)leader()->value.index);
	h = result_of(leader(), line);
	assert_string_equal(text_at(row_of(h, f->id), "state"), "unknown");
	assert_string_equal(text_at(row_of(h, leader()->id), "state"), "same");
	json_decref(h);
}

static void one_that_hears_nobody_cannot_tell_whether_they_agree(void **state)
{
	struct member_at *l = leader();
	for (unsigned i = 1; i <= PEERS; i++)
		at[i].down = &at[i] != l;
	json_t *h = result_of(l, "raft hash --cluster");
	assert_int_equal(number_at(h, "exit_status"), 1);
	assert_true(is_null(h, "agree"));
	assert_string_equal(text_at(h, "missing"), "2 of 3 did not answer with a hash");
	assert_string_equal(text_at(row_of(h, l->id), "state"), "same");
	json_decref(h);
}

static void a_hash_of_an_earlier_entry_is_remembered(void **state)
{
	char line[64], before[24];
	done(leader(), "fact set a b");
	json_t *h = result_of(leader(), "raft hash");
	snprintf(before, sizeof(before), "%s", text_at(h, "hash"));
	snprintf(line, sizeof(line), "raft hash --index %d", (int)number_at(h, "index"));
	json_decref(h);
	done(leader(), "fact set a c");
	h = result_of(leader(), line);
	assert_string_equal(text_at(h, "hash"), before);
	json_decref(h);
	/* One that has just begun from a snapshot knows its own. */
	free(leader()->value.history);
	leader()->value.history = NULL;
	snprintf(line, sizeof(line), "raft hash --index %d", (int)leader()->value.index);
	done(leader(), line);
	struct asked a = run(leader(), "raft hash --index 90000");
	assert_int_equal(a.status, -ENODATA);
}

/* What `pvc raft diff hv1 hv2` asks. */
static void another_member_is_asked_for_its_hashes_and_its_value(void **state)
{
	struct member_at *bad = follower();
	char line[64];
	done(leader(), "fact set a b");
	run_for(200);
	uint64_t before = bad->value.index;
	spoil(bad);
	done(leader(), "fact set a c");
	run_for(200);
	snprintf(line, sizeof(line), "raft hash --member hv%u --from %d", bad->id, (int)before);
	json_t *theirs = result_of(leader(), line), *ours = result_of(bad, line);
	snprintf(line, sizeof(line), "raft hash --from %d", (int)before);
	json_t *right = result_of(leader(), line);
	assert_true(json_equal(theirs, ours));
	const json_t *bad_hashes = json_object_get(theirs, "hashes");
	const json_t *hashes = json_object_get(right, "hashes");
	assert_true(json_array_size(hashes) > 1);
	assert_int_equal(number_at(json_array_get(hashes, 0), "index"), before);
	assert_false(json_equal(json_array_get(bad_hashes, 1), json_array_get(hashes, 1)));
	assert_int_equal(number_at(right, "committed_index"), number_at(right, "index"));
	assert_true(number_at(right, "term") > 1);
	json_decref(theirs);
	json_decref(ours);
	json_decref(right);
	snprintf(line, sizeof(line), "raft dump facts/spoiled/value --member hv%u", bad->id);
	done(leader(), line);
	assert_int_equal(run(leader(), "raft dump facts/spoiled").status, -ENOENT);
	struct asked a = run(leader(), "raft dump --member hv9");
	assert_int_equal(a.status, -ENOENT);
	assert_non_null(strstr(a.err.text, "there is no node hv9"));
}

/* The value. */

static void the_value_is_shown_by_parts_and_without_its_secrets(void **state)
{
	run_for(200);
	json_t *d = result_of(follower(), "raft dump");
	assert_string_equal(text_at(d, "schema"), "raft-dump/1");
	assert_int_equal(number_at(d, "index"), number_at(d, "committed_index"));
	assert_true(number_at(d, "term") > 1);
	const json_t *value = json_object_get(d, "value");
	assert_int_equal(json_array_size(json_object_get(value, "nodes")), PEERS);
	json_decref(d);
	d = result_of(leader(), "raft dump nodes/hv2/address");
	assert_string_equal(text_at(d, "value"), "hv2:7000");
	json_decref(d);
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 60000}};
	memset(token.token.hash, '7', 64);
	propose(leader(), &token, 1000, NULL, NULL);
	run_for(200);
	d = result_of(leader(), "raft dump tokens");
	assert_int_equal(json_array_size(json_object_get(d, "value")), 1);
	assert_true(is_null(json_array_get(json_object_get(d, "value"), 0), "hash"));
	json_decref(d);
	struct asked a = run(leader(), "raft dump nodes/hv9");
	assert_int_equal(a.status, -ENOENT);
	char key[2] = "0";
	char *large = must_alloc(1000000);
	memset(large, 'x', 1000000);
	for (; *key < '3'; ++*key) {
		struct command fact = {.number = COMMAND_fact};
		memcpy(fact.fact.key, key, sizeof(key));
		fact.fact.value = (struct blob){(uint8_t *)large, 1000000};
		propose(leader(), &fact, 5000, NULL, NULL);
		run_for(500);
	}
	a = run(leader(), "raft dump facts");
	assert_int_equal(a.status, -EMSGSIZE);
	assert_string_equal(a.err.text,
	    "facts is too large: about 2930 KiB; ask for a part (vms/NAME), or read the files: pvc "
	    "raft dump --data DIR");
	done(leader(), "raft dump facts/1");
	free(large);
}

/* Transfer. */

static void leadership_is_handed_over_whoever_is_asked(void **state)
{
	struct member_at *f = follower(), *to = &at[6 - f->id - leader()->id];
	struct operation_progress progress = {0};
	struct operation_call call;
	char line[64];
	snprintf(line, sizeof(line), "raft transfer hv%u", to->id);
	parse(line, &call);
	assert_true(call.wait);
	assert_int_equal(call.timeout_ms, 10000);
	done(f, line);
	for (uint64_t until_ms = clock_ms + DEADLINE_MS;
	     progress.state != PROGRESS_DONE && clock_ms < until_ms; step())
		operation_progress(&f->context, &call, &progress);
	assert_int_equal(progress.state, PROGRESS_DONE);
	assert_ptr_equal(await_leader(), to);
	operation_call_close(&call);
}

static void leadership_does_not_go_to_one_that_is_not_there(void **state)
{
	struct member_at *f = follower();
	char line[64];
	f->down = true;
	run_for(1000);
	snprintf(line, sizeof(line), "raft transfer hv%u", f->id);
	struct asked a = run(leader(), line);
	assert_int_equal(a.status, -EHOSTDOWN);
	snprintf(line, sizeof(line), "raft transfer hv%u", leader()->id);
	json_t *message = result_of(leader(), line);
	assert_non_null(strstr(text_at(message, "message"), "leads already"));
	json_decref(message);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_leader_says_how_far_the_others_are),
	    TEST(a_follower_says_who_leads_and_since_when),
	    TEST(a_member_that_falls_behind_is_seen_to),
	    TEST(a_member_that_is_lost_is_known_by_when_it_was_heard_and_how_far_it_was),
	    TEST(status_answers_without_a_leader),
	    TEST(status_of_every_member_has_a_row_for_each),
	    TEST(a_healthy_log_commits_an_entry_that_changes_nothing),
	    TEST(a_member_less_is_degraded),
	    TEST(a_disk_that_is_slow_or_full_is_degraded),
	    TEST(without_a_majority_there_is_no_quorum),
	    TEST(the_log_says_what_came_of_its_entries),
	    TEST(ticks_are_rows_unless_they_are_to_be_folded),
	    TEST(an_entry_that_is_not_committed_is_marked),
	    TEST(who_follows_sees_every_entry_once),
	    TEST(who_follows_a_lot_gets_it_in_parts),
	    TEST(who_is_behind_a_snapshot_goes_on_behind_it),
	    TEST(a_name_that_there_is_not_finds_nothing),
	    TEST(equal_values_have_equal_hashes),
	    TEST(a_member_that_differs_is_named),
	    TEST(a_member_that_is_behind_does_not_hide_the_others),
	    TEST(one_that_hears_nobody_cannot_tell_whether_they_agree),
	    TEST(a_hash_of_an_earlier_entry_is_remembered),
	    TEST(another_member_is_asked_for_its_hashes_and_its_value),
	    TEST(the_value_is_shown_by_parts_and_without_its_secrets),
	    TEST(leadership_is_handed_over_whoever_is_asked),
	    TEST(leadership_does_not_go_to_one_that_is_not_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
