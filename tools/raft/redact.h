/* What must not leave the house is taken out of texts, of JSON as it is printed among them.
 *
 * Always: private keys, join tokens, passwords in XML, and what redact_secret() was told. With
 * REDACT_NAMES also names, addresses, UUIDs, facts and XML, each by a placeholder that is the same
 * wherever it stands: node-1, vm-2, address-3. A name is known once it was learnt, so that all of
 * a report is learnt before the first of it is written; the keys of JSON stay as they are. */
#ifndef TOOLS_RAFT_REDACT_H
#define TOOLS_RAFT_REDACT_H

#include "fsm/buffer.h"

enum redact_depth { REDACT_SECRETS, REDACT_NAMES };

struct redact;

struct redact *redact_new(enum redact_depth depth);
void redact_free(struct redact *r);

/* A secret of any letters, wherever it stands. One of less than four letters is left alone. */
void redact_secret(struct redact *r, const char *secret);

/* A name of this kind: node, vm, host... */
void redact_name(struct redact *r, const char *kind, const char *name);
/* All names in printed JSON, by the keys that hold some. kind: what a "name" is there. */
void redact_learn(struct redact *r, const char *kind, const char *json);

/* The text as it may be shown. Ends with NUL, which is not counted. */
void redact_text(struct redact *r, const char *text, struct buffer *out);

#endif
