#include "tools/survey.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "node/operation/json.h"
#include "tools/probe.h"
#include "tools/survey_check.h"
#include "tools/table.h"

#define CHECK(function, name, timeout_ms, late) {name, survey_##function, timeout_ms, late},
static const struct check {
	const char *name;
	void (*run)(const struct survey_report *report);
	unsigned timeout_ms;
	enum survey_state late;
} checks[] = {
#include "tools/survey.def"
};
#undef CHECK
#define CHECKS (sizeof(checks) / sizeof(*checks))

static const char *const state_names[] = {"ok", "warning", "failed"};

void survey_say(const struct survey_report *report, enum survey_state state, const char *advice,
    const char *format, ...)
{
	struct survey_finding finding = {.state = state, .check = report->check};
	va_list args;
	va_start(args, format);
	vsnprintf(finding.text, sizeof(finding.text), format, args);
	va_end(args);
	snprintf(finding.advice, sizeof(finding.advice), "%s", advice);
	/* Less than PIPE_BUF: all of it or nothing. */
	if (write(report->out, &finding, sizeof(finding)) < 0)
		_exit(1);
}

static int run_check(void *data, int out)
{
	struct survey_report report = *(struct survey_report *)data;
	report.out = out;
	signal(SIGPIPE, SIG_IGN);
	checks[report.check].run(&report);
	return 0;
}

static void add(struct survey *s, const struct survey_finding *finding)
{
	if (s->count < SURVEY_FINDINGS_MAX)
		s->findings[s->count++] = *finding;
}

static void collect(struct survey *s, unsigned which, struct probe *probe, uint64_t begun_ms)
{
	const struct check *check = &checks[which];
	struct buffer out = {0};
	struct survey_finding finding;
	int result = probe_finish(probe, begun_ms + check->timeout_ms, &out);
	for (size_t at = 0; at + sizeof(finding) <= out.size; at += sizeof(finding)) {
		memcpy(&finding, out.data + at, sizeof(finding));
		add(s, &finding);
	}
	if (result) {
		finding = (struct survey_finding){.state = check->late, .check = which};
		if (result == -ETIMEDOUT)
			snprintf(finding.text, sizeof(finding.text),
			    "no answer within %u s: something behind it hangs",
			    check->timeout_ms / 1000);
		else
			snprintf(finding.text, sizeof(finding.text), "cannot be checked: %s",
			    result > 0 ? "the check ended early" : strerror(-result));
		add(s, &finding);
	}
	buffer_close(&out);
}

void survey_run(const struct survey_subject *subject, struct survey *survey)
{
	struct probe probes[CHECKS];
	struct survey_report reports[CHECKS];
	uint64_t begun_ms = probe_now_ms();
	survey->count = 0;
	fflush(NULL);
	for (unsigned i = 0; i < CHECKS; i++) {
		reports[i] = (struct survey_report){.subject = subject, .check = i};
		probe_start(&probes[i], run_check, &reports[i]);
	}
	for (unsigned i = 0; i < CHECKS; i++)
		collect(survey, i, &probes[i], begun_ms);
}

enum survey_state survey_verdict(const struct survey *survey)
{
	enum survey_state worst = SURVEY_OK;
	for (unsigned i = 0; i < survey->count; i++)
		if (survey->findings[i].state > worst)
			worst = survey->findings[i].state;
	return worst;
}

json_t *survey_json(const struct survey *survey)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < survey->count; i++) {
		const struct survey_finding *f = &survey->findings[i];
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:o, s:o}", "check", checks[f->check].name, "state",
			      state_names[f->state], "text", json_text(f->text), "advice",
			      *f->advice ? json_text(f->advice) : json_null()));
	}
	return list;
}

void survey_print(const struct survey *survey, FILE *out)
{
	struct text_table *t = text_table_new(3);
	text_table_add(t, "CHECK");
	text_table_add(t, "STATE");
	text_table_add(t, "WHAT");
	for (unsigned i = 0; i < survey->count; i++) {
		const struct survey_finding *f = &survey->findings[i];
		char advice[SURVEY_TEXT_MAX + 8];
		bool again = i && f->check == f[-1].check;
		text_table_add(t, again ? "" : checks[f->check].name);
		text_table_add(t, state_names[f->state]);
		text_table_add(t, f->text);
		if (!*f->advice)
			continue;
		snprintf(advice, sizeof(advice), "→ %s", f->advice);
		text_table_add(t, "");
		text_table_add(t, "");
		text_table_add(t, advice);
	}
	text_table_print(t, table_colours(out), out);
	text_table_free(t);
}
