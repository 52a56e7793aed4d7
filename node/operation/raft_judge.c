#include "node/operation/raft_judge.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "node/operation/json.h"

enum { EXIT_HEALTHY, EXIT_DEGRADED, EXIT_NO_QUORUM };

#define LAG_ENTRIES	 1000
#define FREE_BYTES_LEAST (256 << 20)

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static json_int_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *name_of(const json_t *row)
{
	const char *name = text_of(row, "node");
	return name ? name : "?";
}

/* Hashes. */

uint64_t raft_hash_common(const json_t *rows)
{
	json_int_t oldest = 0, common = 0;
	size_t i;
	const json_t *row;
	json_array_foreach(rows, i, row)
	{
		if (number_of(row, "oldest_index") > oldest)
			oldest = number_of(row, "oldest_index");
	}
	json_array_foreach(rows, i, row)
	{
		json_int_t index = number_of(row, "index");
		if (index >= oldest && index && (!common || index < common))
			common = index;
	}
	return (uint64_t)common;
}

static unsigned count_hash(const json_t *rows, const char *hash)
{
	unsigned count = 0;
	size_t i;
	const json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *its = text_of(row, "hash");
		count += its && (!hash || !strcmp(its, hash));
	}
	return count;
}

/* What more than half of those that answered have; NULL: nothing is. */
static const char *hash_of_most(const json_t *rows)
{
	unsigned all = count_hash(rows, NULL);
	size_t i;
	const json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *hash = text_of(row, "hash");
		if (hash && count_hash(rows, hash) * 2 > all)
			return hash;
	}
	return NULL;
}

/* Of no difference among a few of the members nothing follows for the cluster. */
static json_t *agree_json(const json_t *rows, unsigned differ)
{
	if (differ)
		return json_false();
	return count_hash(rows, NULL) * 2 > json_array_size(rows) ? json_true() : json_null();
}

/* Who is not among those that were compared. */
static json_t *missing_json(const json_t *rows)
{
	unsigned all = (unsigned)json_array_size(rows);
	unsigned missing = all - count_hash(rows, NULL);
	if (!missing)
		return json_null();
	return json_sprintf("%u of %u did not answer with a hash", missing, all);
}

json_t *raft_hash_judge(json_t *rows, uint64_t index)
{
	const char *right = hash_of_most(rows);
	unsigned differ = 0;
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *hash = text_of(row, "hash");
		bool diverged = json_is_integer(json_object_get(row, "diverged_at"));
		bool differs = hash && (diverged || !right || strcmp(hash, right) != 0);
		differ += differs;
		json_object_set_new(row, "state",
		    json_string(differs ? "differs"
				: hash	? "same"
					: "unknown"));
	}
	json_t *agree = agree_json(rows, differ);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:i}", "schema", "raft-hash-cluster/1", "index",
	    json_u64(index), "agree", agree, "missing", missing_json(rows), "members", rows,
	    "exit_status", json_is_true(agree) ? 0 : 1);
}

/* Health. */

__attribute__((format(printf, 2, 3))) static void say(json_t *reasons, const char *format, ...)
{
	char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(reasons, json_text(text));
}

/* Of two that say they lead, the one of the newer term does. */
static const json_t *leader_of(const json_t *rows)
{
	const json_t *leader = NULL;
	size_t i;
	const json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *role = text_of(row, "role");
		if (!role || strcmp(role, "leader") != 0)
			continue;
		if (!leader || number_of(row, "term") > number_of(leader, "term"))
			leader = row;
	}
	return leader;
}

static void judge_disk(const json_t *row, json_t *reasons)
{
	const char *name = name_of(row), *error = text_of(row, "disk_error");
	const json_t *free_bytes = json_object_get(row, "free_bytes");
	json_int_t p99_us = number_of(json_object_get(row, "write_us"), "p99");
	json_int_t waits_ms = number_of(row, "write_waits_ms");
	if (error)
		say(reasons, "%s: the log's disk: %.100s", name, error);
	if (waits_ms && waits_ms >= number_of(row, "lease_ms"))
		say(reasons, "%s: the log's disk has not answered for %d ms", name, (int)waits_ms);
	else if (p99_us && p99_us >= number_of(row, "heartbeat_ms") * 1000)
		say(reasons, "%s: the log's disk is slow: writes take up to %d ms", name,
		    (int)(p99_us / 1000));
	if (json_is_integer(free_bytes) && json_integer_value(free_bytes) < FREE_BYTES_LEAST)
		say(reasons, "%s: %d MiB are free on the log's disk", name,
		    (int)(json_integer_value(free_bytes) >> 20));
}

static void judge_member(const json_t *row, json_t *reasons)
{
	const char *name = name_of(row), *problem = text_of(row, "problem");
	const char *role = text_of(row, "role"), *failure = text_of(row, "failure");
	if (problem) {
		say(reasons, "%s does not answer: %.200s", name, problem);
		return;
	}
	if (role && (!strcmp(role, "closed") || !strcmp(role, "failed")))
		say(reasons, "%s: its log is closed: %.200s", name, failure ? failure : "");
	else if (!text_of(row, "leader"))
		say(reasons, "%s hears no leader", name);
	if (json_is_integer(json_object_get(row, "diverged_at")))
		say(reasons, "%s: its value differs from the others' since entry %lld", name,
		    (long long)number_of(row, "diverged_at"));
	judge_disk(row, reasons);
}

/* What only the leader knows of the others. */
static void judge_followers(const json_t *leader, json_t *reasons)
{
	size_t i;
	const json_t *member;
	json_array_foreach(json_object_get(leader, "members"), i, member)
	{
		const char *name = name_of(member);
		bool heard = json_is_integer(json_object_get(member, "heard_age_ms"));
		json_int_t age_ms = number_of(member, "heard_age_ms");
		if (!heard)
			say(reasons, "the leader has not heard %s", name);
		else if (age_ms >= 2 * number_of(leader, "election_ms"))
			say(reasons, "the leader has not heard %s for %d s", name,
			    (int)(age_ms / 1000));
		else if (number_of(member, "lag") >= LAG_ENTRIES)
			say(reasons, "%s is %lld entries behind", name,
			    (long long)number_of(member, "lag"));
	}
}

static void judge_tolerance(const json_t *leader, json_t *reasons)
{
	json_int_t voters = number_of(leader, "voters");
	json_int_t now = number_of(leader, "failure_tolerance");
	json_int_t could = voters ? (voters - 1) / 2 : 0;
	if (now < could)
		say(reasons, "of %d voters %d could fail, by now %d more may", (int)voters,
		    (int)could, (int)now);
}

/* As far as the leader, if there is one, says who does not. */
static bool may_vote(const json_t *leader, const json_t *row)
{
	size_t i;
	const json_t *member;
	json_array_foreach(json_object_get(leader, "members"), i, member)
	{
		const char *role = text_of(member, "role");
		if (!strcmp(name_of(member), name_of(row)))
			return !role || !strcmp(role, "voter");
	}
	return true;
}

/* A voter promises its vote for seven eighths of its time-out (raft/reads.c): a leader that it
 * hears less often has no lease in between, and so cannot stay the primary. */
static void judge_rhythm(
    const json_t *row, const json_t *leader, const json_t *rows, json_t *reasons)
{
	json_int_t heartbeat_ms = number_of(row, "heartbeat_ms");
	size_t i;
	const json_t *other;
	json_array_foreach(rows, i, other)
	{
		json_int_t election_ms = number_of(other, "election_ms");
		bool heard = !election_ms || heartbeat_ms * 8 <= election_ms * 7;
		if (heard || !may_vote(leader, row) || !may_vote(leader, other))
			continue;
		say(reasons,
		    "%s: raft.heartbeat_ms %d is too long for %s, whose raft.election_ms is %d: as "
		    "leader it loses its lease between heartbeats",
		    name_of(row), (int)heartbeat_ms, name_of(other), (int)election_ms);
		return;
	}
}

json_t *raft_health_judge(const struct raft_probe *probe, json_t *rows)
{
	static const char *const names[] = {"healthy", "degraded", "no quorum"};
	json_t *reasons = json_array();
	const json_t *leader = leader_of(rows);
	size_t i;
	const json_t *row;
	if (probe->status)
		say(reasons, "an entry could not be committed: %.300s", probe->why);
	if (leader) {
		judge_tolerance(leader, reasons);
		judge_followers(leader, reasons);
	} else {
		say(reasons, "no member that answers leads");
	}
	json_array_foreach(rows, i, row)
	{
		judge_member(row, reasons);
		judge_rhythm(row, leader, rows, reasons);
	}
	int verdict = json_array_size(reasons) ? EXIT_DEGRADED : EXIT_HEALTHY;
	if (probe->status)
		verdict = EXIT_NO_QUORUM;
	json_t *json = json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:O?, s:o, s:i}", "schema",
	    "raft-health/1", "health", names[verdict], "committed", (int)!probe->status, "index",
	    probe->status ? json_null() : json_u64(probe->index), "took_us",
	    json_u64(probe->took_us), "leader", leader ? json_text(name_of(leader)) : json_null(),
	    "failure_tolerance", json_object_get(leader, "failure_tolerance"), "reasons", reasons,
	    "exit_status", verdict);
	json_decref(rows);
	return json;
}
