/* What the running daemon knows is wrong. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/raft/ask.h"
#include "tools/raft/doctor.h"

#define SILENT_MS   2000
#define LAG_ENTRIES 10000
#define TAKEOVER_MS 30000
#define BAD_MAX	    10
#define WAITS_MS    2000
#define SLOW_US	    10000

static const struct advice {
	const char *words, *severity, *next;
} advices[] = {
#define ADVICE(words, severity, next) {words, severity, next},
#include "tools/raft/advice.def"
#undef ADVICE
};

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));
	return text ? text : "";
}

static json_int_t number_of(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

/* next with the first word of message in the place of %s. */
static void fill_in(char out[256], const char *next, const char *message)
{
	const char *place = strstr(next, "%s");
	int word = (int)strcspn(message, " :");
	if (place)
		snprintf(out, 256, "%.*s%.*s%s", (int)(place - next), next, word < 64 ? word : 64,
		    message, place + 2);
	else
		snprintf(out, 256, "%s", next);
}

static void judge_message(struct doctor *d, const char *message)
{
	const struct advice other = {"", "warning", "pvc status"}, *found = &other;
	char next[256];
	for (unsigned i = 0; found == &other && i < sizeof(advices) / sizeof(*advices); i++)
		if (strstr(message, advices[i].words))
			found = &advices[i];
	fill_in(next, found->next, message);
	bool removal = strstr(message, "this node was removed");
	doctor_say(
	    d->findings, found->severity, removal ? DOCTOR_REMOVAL : "cluster", message, next);
}

static void judge_status(struct doctor *d, const json_t *status)
{
	const json_t *primary = json_object_get(status, "primary"), *message;
	char text[256];
	size_t i;
	json_array_foreach(json_object_get(status, "health_messages"), i, message)
	    judge_message(d, json_string_value(message));
	if (!strcmp(text_of(primary, "state"), "takeover") &&
	    number_of(primary, "since_ms") > TAKEOVER_MS) {
		snprintf(text, sizeof(text),
		    "%s has been taking over for %" JSON_INTEGER_FORMAT " s, at the step: %s",
		    text_of(primary, "node"), number_of(primary, "since_ms") / 1000,
		    text_of(primary, "step"));
		doctor_say(d->findings, "warning", "primary", text,
		    "pvc node log of that node; another one: pvc node primary NODE");
	}
}

static void judge_disk(struct doctor *d, const json_t *log)
{
	char text[256];
	json_int_t p99_us = number_of(json_object_get(log, "write_us"), "p99");
	json_int_t slow_ms = number_of(log, "write_ms_max"),
		   election = number_of(log, "election_ms");
	const char *faster = "a faster disk for data_directory, or a longer pvc.raft.election_ms";
	if (*text_of(log, "disk_error")) {
		snprintf(text, sizeof(text), "a write failed: %.200s", text_of(log, "disk_error"));
		doctor_say(
		    d->findings, "critical", "disk", text, "df and dmesg: is it full, or ill?");
	}
	if (number_of(log, "write_waits_ms") > WAITS_MS) {
		snprintf(text, sizeof(text),
		    "a write has been under way for %" JSON_INTEGER_FORMAT " s: the disk hangs",
		    number_of(log, "write_waits_ms") / 1000);
		doctor_say(d->findings, "critical", "disk", text, "dmesg: is the disk ill?");
	}
	if (election && slow_ms * 2 > election) {
		snprintf(text, sizeof(text),
		    "a durable write took %" JSON_INTEGER_FORMAT
		    " ms of late; an election is called after %" JSON_INTEGER_FORMAT " ms",
		    slow_ms, election);
		doctor_say(d->findings, "warning", "disk", text, faster);
	} else if (p99_us > SLOW_US) {
		snprintf(text, sizeof(text),
		    "one durable write of a hundred takes %" JSON_INTEGER_FORMAT " ms or more",
		    p99_us / 1000);
		doctor_say(d->findings, "warning", "disk", text, faster);
	}
}

static void judge_log(struct doctor *d, const json_t *log)
{
	char text[640];
	if (*text_of(log, "failure")) {
		snprintf(text, sizeof(text), "the log has stopped: %s", text_of(log, "failure"));
		doctor_say(d->findings, "critical", "log", text, "pvc raft verify");
	}
	if (number_of(log, "bad_messages") > BAD_MAX) {
		snprintf(text, sizeof(text),
		    "%" JSON_INTEGER_FORMAT " messages of members made no sense",
		    number_of(log, "bad_messages"));
		doctor_say(d->findings, "warning", "log", text,
		    "pvc node list: is one of another version?");
	}
}

/* Only a leader knows how far the others are; of others, lag and heard_age_ms are null. */
static void judge_member(struct doctor *d, const json_t *member)
{
	const char *name = text_of(member, "node"), *error = text_of(member, "error");
	char text[512];
	if (number_of(member, "heard_age_ms") > SILENT_MS) {
		snprintf(text, sizeof(text),
		    "%.64s (%s) was not heard by the leader for %" JSON_INTEGER_FORMAT " s%s%.200s",
		    name, text_of(member, "role"), number_of(member, "heard_age_ms") / 1000,
		    *error ? ": " : "", error);
		doctor_say(d->findings, "warning", "members", text,
		    *error ? "is pvcnoded running there? pvc raft doctor there"
			   : "look at that machine; is it on the network?");
	} else if (*error && json_is_false(json_object_get(member, "connected"))) {
		snprintf(text, sizeof(text), "no connection with %.64s: %.200s", name, error);
		doctor_say(d->findings, "warning", "members", text,
		    "is pvcnoded running there? pvc raft doctor there");
	} else if (number_of(member, "lag") > LAG_ENTRIES) {
		snprintf(text, sizeof(text),
		    "%.64s is %" JSON_INTEGER_FORMAT " entries behind the leader", name,
		    number_of(member, "lag"));
		doctor_say(d->findings, "warning", "members", text,
		    "pvc raft doctor there: its disk or network is slow");
	}
}

static void judge_members(struct doctor *d, const json_t *log)
{
	const json_t *member;
	size_t i;
	json_array_foreach(json_object_get(log, "members"), i, member)
	{
		if (number_of(member, "id") != number_of(log, "id"))
			judge_member(d, member);
	}
}

/* An answer, or NULL with a finding of why there is none. */
static json_t *ask(struct doctor *d, struct client *client, const char *words)
{
	json_t *result;
	struct err err;
	if (!d->daemon)
		return NULL;
	int status = ask_daemon(client, words, NULL, &result, &err);
	if (!status)
		json_array_append_new(d->checked, json_string(words));
	else if (status == -EHOSTDOWN)
		doctor_say(
		    d->findings, "critical", "daemon", err.text, "systemctl restart pvcnoded");
	else
		doctor_say(d->findings, "critical", "log", err.text, "pvc raft verify");
	d->daemon = status != -EHOSTDOWN;
	return result;
}

static void know_node(struct doctor *d, const json_t *status, const json_t *log)
{
	const char *directory = text_of(log, "data_directory");
	json_object_set(d->node, "cluster", json_object_get(status, "cluster"));
	if (log) {
		json_object_set(d->node, "id", json_object_get(log, "id"));
		json_object_set(d->node, "node", json_object_get(log, "node"));
	}
	if (*directory)
		snprintf(d->directory, sizeof(d->directory), "%s", directory);
}

void doctor_ask(struct doctor *d)
{
	struct client *client;
	struct err err;
	if (client_open(&client, d->socket, &err)) {
		doctor_say(d->findings, "critical", "daemon", err.text, "systemctl start pvcnoded");
		return;
	}
	d->daemon = true;
	json_t *status = ask(d, client, "status");
	json_t *log = ask(d, client, "raft status");
	client_close(client);
	if (status)
		judge_status(d, status);
	if (log) {
		judge_log(d, log);
		judge_disk(d, log);
	}
	judge_members(d, log);
	if (status)
		know_node(d, status, log);
	json_decref(status);
	json_decref(log);
}
