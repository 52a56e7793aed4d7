/* pvc raft doctor: what is wrong and what to type next, on one page. */
#include "tools/raft/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/config/config.h"
#include "node/operation/json.h"
#include "tools/cli.h"
#include "tools/raft/command.h"
#include "tools/table.h"

void doctor_say(
    json_t *findings, const char *severity, const char *about, const char *text, const char *next)
{
	json_array_append_new(
	    findings, json_pack("{s:s, s:s, s:o, s:o}", "severity", severity, "about", about,
			  "text", json_text(text), "next", json_text(next)));
}

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));
	return text ? text : "-";
}

/* A data directory, or its raft/. */
static void named_directory(struct doctor *d, const char *path)
{
	char log[DOCTOR_PATH_MAX + 16];
	snprintf(log, sizeof(log), "%s/metadata-1", path);
	bool is_log = !access(log, F_OK);
	snprintf(d->directory, sizeof(d->directory), "%s%s", path, is_log ? "/.." : "");
}

/* The directory of the configuration, when nobody else names one. */
static void configured_directory(struct doctor *d, const char *path)
{
	struct config *config = must_alloc(sizeof(*config));
	struct buffer problems = {0};
	path = config_path(path);
	if (!config_load(config, path, &problems))
		snprintf(d->directory, sizeof(d->directory), "%s",
		    config->system.configuration.directories.data_directory);
	else
		doctor_say(d->findings, "critical", "configuration",
		    "it cannot be read, so the data directory is not known",
		    "pvcnoded --check says why; or give --data DIR");
	buffer_close(&problems);
	free(config);
}

static void print_head(const json_t *json)
{
	const json_t *node = json_object_get(json, "node");
	char checked[256] = "";
	const json_t *one;
	size_t i;
	json_array_foreach(json_object_get(json, "checked"), i, one)
	{
		size_t used = strlen(checked);
		snprintf(checked + used, sizeof(checked) - used, "%s%s", i ? ", " : "",
		    json_string_value(one));
	}
	printf("node       %s (%" JSON_INTEGER_FORMAT ")\n", text_of(node, "node"),
	    json_integer_value(json_object_get(node, "id")));
	printf("daemon     %s\n", text_of(json, "daemon"));
	printf("directory  %s\n", text_of(json, "data_directory"));
	printf("checked    %s\n\n", *checked ? checked : "-");
}

static void print_findings(const json_t *findings)
{
	struct text_table *t = text_table_new(3);
	const json_t *one;
	size_t i;
	text_table_add(t, "SEVERITY");
	text_table_add(t, "ABOUT");
	text_table_add(t, "WHAT");
	json_array_foreach(findings, i, one)
	{
		char next[300];
		text_table_add(t, text_of(one, "severity"));
		text_table_add(t, text_of(one, "about"));
		text_table_add(t, text_of(one, "text"));
		text_table_add(t, "");
		text_table_add(t, "");
		snprintf(next, sizeof(next), "→ %.280s", text_of(one, "next"));
		text_table_add(t, next);
	}
	if (json_array_size(findings))
		text_table_print(t, table_colours(stdout), stdout);
	else
		puts("Nothing is wrong.");
	text_table_free(t);
}

static bool is_about(const json_t *finding, const char *about)
{
	return !strcmp(text_of(finding, "about"), about);
}

/* Of a node that was removed, neither who answers nor who is silent matters: it is told once, and
 * what its files are like beside it. */
static json_t *relevant(const json_t *findings)
{
	json_t *list = json_array(), *one;
	const json_t *removal = NULL;
	size_t i;
	json_array_foreach(findings, i, one)
	{
		if (!removal && is_about(one, DOCTOR_REMOVAL))
			removal = one;
	}
	json_array_foreach(findings, i, one)
	{
		bool moot = is_about(one, DOCTOR_REMOVAL) || is_about(one, "cluster") ||
			    is_about(one, "members") || is_about(one, "primary") ||
			    is_about(one, "daemon");
		if (!removal || !moot || one == removal)
			json_array_append(list, one);
	}
	return list;
}

/* What is critical comes first. */
static json_t *sorted(json_t *findings)
{
	static const char *const order[] = {"critical", "warning"};
	json_t *list = json_array(), *one;
	size_t i;
	for (unsigned k = 0; k < sizeof(order) / sizeof(*order); k++)
		json_array_foreach(
		    findings, i, one) if (!strcmp(text_of(one, "severity"), order[k]))
		    json_array_append(list, one);
	json_decref(findings);
	return list;
}

static const char *daemon_state(const struct doctor *d, const struct raft_call *call)
{
	if (raft_text(call, "data"))
		return "not asked";
	return d->daemon ? "answers" : "does not answer";
}

json_t *doctor_examine(const struct raft_call *call)
{
	struct doctor d = {
	    .socket = call->socket,
	    .findings = json_array(),
	    .node = json_object(),
	    .checked = json_array(),
	};
	const char *data = raft_text(call, "data");
	if (data)
		named_directory(&d, data);
	else
		doctor_ask(&d);
	if (!*d.directory)
		configured_directory(&d, raft_text(call, "config"));
	if (*d.directory)
		doctor_read(&d);
	json_t *json = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "schema", "raft-doctor/1",
	    "daemon", daemon_state(&d, call), "data_directory",
	    *d.directory ? json_text(d.directory) : json_null(), "node", d.node, "checked",
	    d.checked, "findings", sorted(relevant(d.findings)));
	json_decref(d.findings);
	return json;
}

int raft_doctor(const struct raft_call *call)
{
	json_t *json = doctor_examine(call);
	const json_t *findings = json_object_get(json, "findings");
	int status = json_array_size(findings) ? CLI_REFUSED : CLI_DONE;
	if (call->json) {
		raft_show(call, "", json);
		return status;
	}
	print_head(json);
	print_findings(findings);
	fflush(stdout);
	json_decref(json);
	return status;
}
