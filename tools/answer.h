/* What a program that asked for JSON (-f json) reads on standard output: one document, or one a
 * line while it follows. Where it got none because something went wrong, that is the document:
 *
 *   {"schema": "error/1", "error": {"code": "ENOENT", "message": "...", "hint": "..."}}
 *
 * People read the same on standard error; the exit status is no other for it. code is the name of
 * an errno; hint is there when there is one. */
#ifndef TOOLS_ANSWER_H
#define TOOLS_ANSWER_H

#include <jansson.h>

/* Print a document and the end of its line. flags: of json_dumpf(). */
void answer_json(const json_t *json, size_t flags);

/* Remember why there is no document; the first one counts. status: a negative errno. */
void answer_failed(int status, const char *message);
/* The same in the words of the daemon. hint may be "". */
void answer_refused(const char *code, const char *message, const char *hint);
/* {"code": ..., "message": ...}, to go into another document. NULL: nothing was remembered. */
json_t *answer_error(void);

/* At the end, with an exit status that is not 0: print the error, unless there was a document. */
void answer_end(void);

#endif
