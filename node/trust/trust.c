#include "node/trust/trust.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/authority.h"
#include "fsm/node.h"
#include "node/member/health.h"

#define HOUR_S 3600
#define DAY_S  (24 * HOUR_S)

bool trust_may_sign(const struct node *node)
{
	return node->mode == NODE_COORDINATOR;
}

void trust_read(const struct identity_files *files, struct trust_held *held)
{
	const struct buffer *own = &files->certificate;
	*held = (struct trust_held){0};
	held->n = identity_authorities(files, held->authorities);
	identity_validity((const char *)own->data, own->size, &held->certificate, NULL);
}

/* Between what is held and what the value says. */

static const struct identity_authority *held_find(
    const struct trust_held *held, const char *fingerprint)
{
	for (unsigned i = 0; i < held->n; i++)
		if (!strcmp(held->authorities[i].fingerprint, fingerprint))
			return &held->authorities[i];
	return NULL;
}

static const struct identity_authority *held_signer(const struct trust_held *held)
{
	for (unsigned i = 0; i < held->n; i++)
		if (held->authorities[i].signer)
			return &held->authorities[i];
	return NULL;
}

static const struct authority *value_find(const struct cluster *c, const char *fingerprint)
{
	cluster_each(
	    c->authorities, struct authority, a) if (!strcmp(a->fingerprint, fingerprint)) return a;
	return NULL;
}

/* A CA whose key is here and that the log does not know of: made, and not told yet. */
static const struct identity_authority *held_untold(const struct trust_view *v)
{
	for (unsigned i = 0; i < v->held->n; i++) {
		const struct identity_authority *a = &v->held->authorities[i];
		if (a->key && !value_find(v->c, a->fingerprint))
			return a;
	}
	return NULL;
}

static bool holds_key(const struct trust_view *v, const struct authority *a)
{
	const struct identity_authority *held = held_find(v->held, a->fingerprint);
	return held && held->key;
}

/* Validity. */

bool trust_renewal_due(const struct identity_validity *v, int64_t now_s)
{
	return (v->until_s - now_s) * 3 < v->until_s - v->from_s;
}

bool trust_late(const struct identity_validity *v, int64_t now_s)
{
	return (v->until_s - now_s) * 10 < v->until_s - v->from_s;
}

static void left_print(int64_t left_s, char text[32])
{
	if (left_s <= 0)
		snprintf(text, 32, "has expired");
	else if (left_s < 2 * DAY_S)
		snprintf(text, 32, "expires in %" PRId64 " hours", left_s / HOUR_S);
	else
		snprintf(text, 32, "expires in %" PRId64 " days", left_s / DAY_S);
}

bool trust_trouble(const struct trust_view *v, char *text, size_t size)
{
	const struct identity_authority *signer = held_signer(v->held);
	char left[32];
	if (trust_late(&v->held->certificate, v->now_s)) {
		left_print(v->held->certificate.until_s - v->now_s, left);
		snprintf(text, size, "its certificate %s and was not renewed", left);
		return true;
	}
	if (signer && trust_late(&signer->validity, v->now_s)) {
		left_print(signer->validity.until_s - v->now_s, left);
		snprintf(text, size, "the cluster's CA %s: run pvc cluster ca rotate", left);
		return true;
	}
	return false;
}

/* Steps. */

static struct trust_step step(enum trust_duty duty, uint32_t authority, const char *fingerprint)
{
	struct trust_step s = {.duty = duty, .authority = authority};
	snprintf(s.fingerprint, sizeof(s.fingerprint), "%s", fingerprint);
	return s;
}

static bool open_to(const struct trust_view *v, enum trust_duty duty)
{
	return !(v->blocked & 1u << duty);
}

static bool another_holds(const struct trust_view *v, uint32_t authority)
{
	cluster_each(v->c->nodes, struct node,
	    node) if (node->id != v->self && authority_held(node, authority)) return true;
	return false;
}

static struct trust_step forget_due(const struct trust_view *v)
{
	const struct authority *moving = authority_moving(v->c);
	/* What was made may be about to be told. */
	bool making = moving && moving->state != AUTHORITY_OUTGOING;
	for (unsigned i = 0; i < v->held->n; i++) {
		const struct identity_authority *a = &v->held->authorities[i];
		if (!a->signer && !(a->key && making) && !value_find(v->c, a->fingerprint))
			return step(TRUST_FORGET, 0, a->fingerprint);
	}
	return (struct trust_step){0};
}

static struct trust_step keys_due(const struct trust_view *v, const struct node *me)
{
	const struct authority *active = authority_active(v->c);
	cluster_each(v->c->authorities, struct authority, a)
	{
		bool needed = a->state == AUTHORITY_ACTIVE || a->state == AUTHORITY_INCOMING;
		if (needed && trust_may_sign(me) && !holds_key(v, a) && another_holds(v, a->id) &&
		    open_to(v, TRUST_FETCH))
			return step(TRUST_FETCH, a->id, a->fingerprint);
		/* The last one that has it keeps it, whatever it is. */
		if (a == active && !trust_may_sign(me) && holds_key(v, a) &&
		    another_holds(v, a->id) && open_to(v, TRUST_FORGET_KEYS))
			return step(TRUST_FORGET_KEYS, a->id, a->fingerprint);
	}
	return (struct trust_step){0};
}

struct trust_step trust_own(const struct trust_view *v)
{
	const struct node *me = cluster_node(v->c, v->self);
	const struct authority *active = authority_active(v->c);
	const struct identity_authority *signer = held_signer(v->held);
	if (!me || !active)
		return (struct trust_step){0};
	cluster_each(v->c->authorities, struct authority, a)
	{
		if (a->state != AUTHORITY_WANTED && !held_find(v->held, a->fingerprint) &&
		    open_to(v, TRUST_ADD))
			return step(TRUST_ADD, a->id, a->fingerprint);
	}
	bool other = !signer || strcmp(signer->fingerprint, active->fingerprint) != 0;
	if ((other || trust_renewal_due(&v->held->certificate, v->now_s)) &&
	    open_to(v, TRUST_RENEW))
		return step(TRUST_RENEW, active->id, active->fingerprint);
	struct trust_step s = keys_due(v, me);
	return s.duty || !open_to(v, TRUST_FORGET) ? s : forget_due(v);
}

/* Has somebody who is well the key that the leader lacks? Right after a change of leaders it
 * may only not have said so yet. */
static bool key_may_come(const struct trust_view *v, const struct authority *a)
{
	if (v->c->settings.time_ms - a->since_ms < TRUST_KEY_WAIT_MS)
		return true;
	cluster_each(v->c->nodes, struct node, node)
	{
		if (node->id != v->self && authority_held(node, a->id) &&
		    node_silence_ms(v->c, node) <= node_patience_ms(v->c, node, HEALTH_SILENCE_MS))
			return true;
	}
	return false;
}

static struct trust_step make_due(const struct trust_view *v, const struct authority *wanted)
{
	const struct identity_authority *made = held_untold(v);
	return made ? step(TRUST_OFFER, wanted->id, made->fingerprint)
		    : step(TRUST_MAKE, wanted->id, "");
}

static struct trust_step move_due(const struct trust_view *v, const struct authority *moving)
{
	char names[2];
	bool lacks = moving->state == AUTHORITY_INCOMING && !holds_key(v, moving);
	if (moving->state == AUTHORITY_WANTED || (lacks && !key_may_come(v, moving)))
		return make_due(v, moving);
	if (lacks || authority_awaited(v->c, names, sizeof(names)))
		return (struct trust_step){0};
	return step(TRUST_SHIFT, moving->id, "");
}

struct trust_step trust_lead(const struct trust_view *v)
{
	const struct authority *moving = authority_moving(v->c);
	const struct identity_authority *signer = held_signer(v->held);
	struct trust_step s = {0};
	if (!v->c->settings.schema || !signer)
		return s;
	if (!v->c->authorities.count)
		s = step(TRUST_FOUND, 0, signer->fingerprint);
	else if (moving)
		s = move_due(v, moving);
	return open_to(v, s.duty) ? s : (struct trust_step){0};
}

/* What is told, and who is asked. */

bool trust_tell(const struct trust_view *v, struct command_node_trust *told)
{
	const struct node *me = cluster_node(v->c, v->self);
	unsigned trusts = 0, keys = 0;
	*told = (struct command_node_trust){
	    .node = v->self, .until_s = (uint64_t)v->held->certificate.until_s};
	cluster_each(v->c->authorities, struct authority, a)
	{
		const struct identity_authority *held = held_find(v->held, a->fingerprint);
		if (!held)
			continue;
		told->trusts[trusts++] = a->id;
		if (held->key)
			told->keys[keys++] = a->id;
		if (held->signer)
			told->signer = a->id;
	}
	return me && trusts &&
	       (me->signer != told->signer || me->certificate_until_s != told->until_s ||
		   memcmp(me->trusts, told->trusts, sizeof(me->trusts)) != 0 ||
		   memcmp(me->keys, told->keys, sizeof(me->keys)) != 0);
}

uint32_t trust_whom(
    const struct trust_view *v, uint32_t authority, uint64_t leader, unsigned attempt)
{
	uint32_t list[CLUSTER_NODES_MAX];
	unsigned n = 0;
	cluster_each(v->c->nodes, struct node, node)
	{
		if (node->id == v->self || !authority_held(node, authority))
			continue;
		list[n++] = node->id;
		if (node->id != leader)
			continue;
		list[n - 1] = list[0];
		list[0] = node->id;
	}
	return n ? list[attempt % n] : 0;
}
