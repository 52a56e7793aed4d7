/* One check of a survey: a function of survey.def. It runs in a child that may be killed, so it
 * may block, and must leave nothing behind. It says what it finds by survey_say(), in any number
 * of findings; of what does not concern this machine it says nothing. */
#ifndef TOOLS_SURVEY_CHECK_H
#define TOOLS_SURVEY_CHECK_H

#include "tools/survey.h"

struct survey_report {
	const struct survey_subject *subject;
	unsigned check;
	int out;
};

/* advice: what to do, "" nothing. */
void survey_say(const struct survey_report *report, enum survey_state state, const char *advice,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

#define CHECK(function, name, timeout_ms, late)                                                    \
	void survey_##function(const struct survey_report *report);
#include "tools/survey.def"
#undef CHECK

#endif
