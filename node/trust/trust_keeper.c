#include "node/trust/trust_keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsm/authority.h"
#include "fsm/history.h"
#include "node/log/log.h"
#include "node/trust/trust_sign.h"
#include "node/trust/trust_wire.h"

#define LOOK_EVERY_MS	   1000
#define LOOK_AGAIN_MS	   20 /* at the earliest, when the value moves */
#define PROPOSE_TIMEOUT_MS 10000
#define ANSWER_TIMEOUT_MS  1000
#define RETRY_MIN_MS	   200
#define RETRY_MAX_MS	   60000
#define STILL_DUE_MS	   60000 /* clocks that differ: what was just signed looks old here */
#define PARTS_MAX	   2

struct writing { /* on a thread; all of it is the thread's meanwhile */
	uv_work_t work;
	char directory[1024];
	struct identity_files files;
	enum identity_part parts[PARTS_MAX];
	unsigned n;
	enum trust_duty duty; /* TRUST_NOTHING: none is under way */
	int result;
	struct err err;
};

struct asking { /* a question that was put to another member */
	enum trust_duty duty; /* TRUST_NOTHING: none */
	uint64_t number;
	uint64_t deadline_ms;
	uint32_t to;
	struct trust_step step;
};

struct pace {
	uint64_t next_ms;
	unsigned wait_ms;
	unsigned attempts;
};

struct keeper {
	struct keeper_options options;
	struct trust_held held;
	struct writing writing;
	struct asking asking;
	struct pace paces[TRUST_DUTIES];
	struct pace telling;
	uint64_t number;
	uint64_t looked_ms, looked_index;
	enum trust_duty leading; /* what was proposed and has no answer; TRUST_NOTHING: nothing */
	bool told; /* what we hold was proposed and has no answer */
	bool late_said;
	bool closing;
	uint32_t logged_authority;
	enum authority_state logged_state;
};

static uint64_t now_of(const struct keeper *k)
{
	return k->options.context->now_ms(k->options.context->data);
}

static struct trust_view view_of(const struct keeper *k)
{
	return (struct trust_view){
	    .c = k->options.context->cluster,
	    .self = k->options.context->id,
	    .held = &k->held,
	    .now_s = (int64_t)time(NULL),
	};
}

/* Pace. */

static void pace_failed(struct pace *p, uint64_t now_ms)
{
	p->wait_ms = p->wait_ms ? p->wait_ms * 2 : RETRY_MIN_MS;
	if (p->wait_ms > RETRY_MAX_MS)
		p->wait_ms = RETRY_MAX_MS;
	p->next_ms = now_ms + p->wait_ms;
	p->attempts++;
}

static void duty_failed(struct keeper *k, enum trust_duty duty, const char *why)
{
	struct pace *p = &k->paces[duty];
	const char *what = duty == TRUST_RENEW	 ? "The certificate cannot be renewed"
			   : duty == TRUST_FETCH ? "The CA's key cannot be fetched"
						 : "The certificates cannot be brought up to date";
	pace_failed(p, now_of(k));
	/* At first it may only be that somebody is not there yet. */
	if (p->attempts == 3 || p->attempts % 60 == 0)
		log_warning("%s: %s; it is tried again", what, why);
	else
		log_debug("main", "%s: %s", what, why);
}

static void duty_done(struct keeper *k, enum trust_duty duty)
{
	bool due =
	    duty == TRUST_RENEW && trust_renewal_due(&k->held.certificate, (int64_t)time(NULL));
	uint64_t rest_ms = due ? STILL_DUE_MS : 0;
	k->paces[duty] = (struct pace){.next_ms = now_of(k) + rest_ms};
}

/* Files. */

static void keeper_free(struct keeper *k)
{
	identity_files_close(&k->writing.files);
	free(k);
}

static void write_work(uv_work_t *work)
{
	struct writing *w = work->data;
	w->result = 0;
	for (unsigned i = 0; i < w->n && !w->result; i++)
		w->result = identity_replace(w->directory, &w->files, w->parts[i], &w->err);
}

static void date_print(int64_t seconds, char text[32])
{
	time_t at = (time_t)seconds;
	struct tm parts;
	gmtime_r(&at, &parts);
	strftime(text, 32, "%Y-%m-%d", &parts);
}

static void write_log(const struct keeper *k, enum trust_duty duty)
{
	char until[32];
	date_print(k->held.certificate.until_s, until);
	switch (duty) {
	case TRUST_RENEW:
		log_ok("The certificate was renewed: it holds until %s", until);
		break;
	case TRUST_ADD:
		log_info("A further CA of the cluster is trusted");
		break;
	case TRUST_FETCH:
		log_info("The key of a CA of the cluster was fetched");
		break;
	case TRUST_FORGET:
		log_info("A CA is trusted no more");
		break;
	case TRUST_FORGET_KEYS:
		log_info("The CA's key was removed: this node is no coordinator");
		break;
	default:
		log_debug("main", "duty %d of the certificates is done", duty);
	}
}

static void written(uv_work_t *work, int status)
{
	struct writing *w = work->data;
	struct keeper *k = (struct keeper *)((char *)w - offsetof(struct keeper, writing));
	enum trust_duty duty = w->duty;
	w->duty = TRUST_NOTHING;
	if (k->closing) {
		keeper_free(k);
		return;
	}
	struct identity_files before = *k->options.files;
	if (!w->result) {
		*k->options.files = w->files;
		w->files = (struct identity_files){0};
		w->result = k->options.renewed(k->options.data, &w->err);
		if (w->result) {
			identity_files_close(k->options.files);
			*k->options.files = before;
		} else {
			identity_files_close(&before);
		}
	}
	identity_files_close(&w->files);
	trust_read(k->options.files, &k->held);
	if (w->result) {
		duty_failed(k, duty, w->err.text);
	} else {
		duty_done(k, duty);
		write_log(k, duty);
	}
	k->looked_ms = 0;
	k->options.stirred(k->options.data);
}

/* Take files over as what shall be there; parts are written in this order, so that what is on the
 * disk is sound after each. */
static void write_begin(struct keeper *k, enum trust_duty duty, struct identity_files *files,
    const enum identity_part *parts, unsigned n)
{
	struct writing *w = &k->writing;
	struct identity identity;
	struct err err;
	int result = identity_check(files, &identity, &err);
	/* What the files were before may have expired by a clock that is wrong. */
	if (result == -EKEYEXPIRED && duty != TRUST_RENEW)
		result = 0;
	if (result || identity.id != k->options.context->id) {
		identity_files_close(files);
		duty_failed(k, duty, err.text);
		return;
	}
	w->files = *files;
	*files = (struct identity_files){0};
	memcpy(w->parts, parts, n * sizeof(*parts));
	w->n = n;
	w->duty = duty;
	w->work.data = w;
	uv_queue_work(k->options.loop, &w->work, write_work, written);
}

static void add_authority(struct keeper *k, const struct trust_step *s)
{
	static const enum identity_part parts[] = {IDENTITY_CA_CERTIFICATE};
	const struct authority *a = authority_find(k->options.context->cluster, s->authority);
	char fingerprint[IDENTITY_HEX_SIZE];
	struct identity_files files;
	struct err err;
	size_t size = strlen(a->certificate);
	if (identity_fingerprint(a->certificate, size, fingerprint, &err) ||
	    strcmp(fingerprint, a->fingerprint) != 0) {
		duty_failed(k, TRUST_ADD, "the log's certificate is not the one that it names");
		return;
	}
	identity_files_copy(&files, k->options.files);
	buffer_append(&files.ca_certificate, a->certificate, size);
	write_begin(k, TRUST_ADD, &files, parts, 1);
}

static void make_authority(struct keeper *k)
{
	static const enum identity_part parts[] = {IDENTITY_CA_CERTIFICATE, IDENTITY_CA_KEY};
	struct identity_files files;
	struct err err;
	identity_files_copy(&files, k->options.files);
	if (identity_ca_make(k->options.context->cluster->settings.uuid, &files.ca_certificate,
		&files.ca_key, &err)) {
		identity_files_close(&files);
		duty_failed(k, TRUST_MAKE, err.text);
		return;
	}
	write_begin(k, TRUST_MAKE, &files, parts, 2);
}

static void forget_authority(struct keeper *k, const struct trust_step *s)
{
	static const enum identity_part parts[] = {IDENTITY_CA_KEY, IDENTITY_CA_CERTIFICATE};
	struct identity_files files;
	identity_files_copy(&files, k->options.files);
	if (s->duty == TRUST_FORGET_KEYS)
		identity_wipe(&files.ca_key);
	else
		identity_authority_drop(&files, s->fingerprint);
	write_begin(k, s->duty, &files, parts, s->duty == TRUST_FORGET_KEYS ? 1 : 2);
}

static void take_certificate(struct keeper *k, const struct trust_step *s, const char *pem)
{
	static const enum identity_part parts[] = {IDENTITY_CERTIFICATE};
	struct identity_files files;
	struct trust_held held;
	bool by = false;
	identity_files_copy(&files, k->options.files);
	files.certificate.size = 0;
	buffer_append(&files.certificate, pem, strlen(pem));
	trust_read(&files, &held);
	for (unsigned i = 0; i < held.n; i++)
		by |= held.authorities[i].signer &&
		      !strcmp(held.authorities[i].fingerprint, s->fingerprint);
	if (by) {
		write_begin(k, TRUST_RENEW, &files, parts, 1);
		return;
	}
	identity_files_close(&files);
	duty_failed(k, TRUST_RENEW, "what came is no certificate of the active CA");
}

static void take_key(struct keeper *k, const struct trust_step *s, const char *pem)
{
	static const enum identity_part parts[] = {IDENTITY_CA_KEY};
	struct identity_files files;
	identity_files_copy(&files, k->options.files);
	buffer_append(&files.ca_key, pem, strlen(pem));
	/* That it is the key of one of our CAs is checked there. */
	write_begin(k, TRUST_FETCH, &files, parts, 1);
}

/* Signing. */

/* With a CA's key of our own nobody need be asked. */
static int sign_own(const struct identity_files *files, const char *fingerprint, int days,
    struct buffer *certificate, struct err *err)
{
	struct trust_signing s = {.files = files, .fingerprint = fingerprint, .days = days};
	struct buffer request = {0};
	int result = trust_request(files, &s.identity, &request, err);
	if (!result)
		result = trust_sign(&s, (const char *)request.data, request.size, certificate, err);
	buffer_close(&request);
	/* Read as text from here on. */
	buffer_append_u8(certificate, 0);
	return result;
}

/* Asking. */

static void ask(struct keeper *k, const struct trust_step *s, uint64_t leader)
{
	struct trust_view v = view_of(k);
	struct trust_ask *ask = must_alloc(sizeof(*ask));
	struct buffer bytes = {0}, request = {0};
	struct identity identity;
	struct err err = {{0}};
	bool renew = s->duty == TRUST_RENEW;
	uint32_t to = trust_whom(&v, s->authority, leader, k->paces[s->duty].attempts);
	int result = to ? 0 : err_set(&err, -ENOENT, "no member says that it has the CA's key");
	if (!result && renew)
		result = trust_request(k->options.files, &identity, &request, &err);
	ask->number = ++k->number;
	ask->question = renew ? TRUST_ASK_CERTIFICATE : TRUST_ASK_KEY;
	ask->authority = s->authority;
	snprintf(ask->text, sizeof(ask->text), "%.*s", (int)request.size, (char *)request.data);
	if (!result) {
		k->asking = (struct asking){.duty = s->duty,
		    .number = ask->number,
		    .deadline_ms = now_of(k) + ANSWER_TIMEOUT_MS,
		    .to = to,
		    .step = *s};
		trust_ask_encode(ask, &bytes);
		k->options.send(k->options.data, to, bytes.data, bytes.size);
	} else {
		duty_failed(k, s->duty, err.text);
	}
	buffer_close(&bytes);
	buffer_close(&request);
	free(ask);
}

static void renew(struct keeper *k, const struct trust_step *s, uint64_t leader)
{
	struct buffer certificate = {0};
	struct err err;
	if (sign_own(
		k->options.files, s->fingerprint, k->options.certificate_days, &certificate, &err))
		ask(k, s, leader);
	else
		take_certificate(k, s, (const char *)certificate.data);
	buffer_close(&certificate);
}

static void answered(struct keeper *k, uint64_t from, const struct trust_answer *answer)
{
	struct asking a = k->asking;
	if (!a.duty || a.number != answer->number || a.to != from || k->writing.duty)
		return;
	k->asking = (struct asking){0};
	if (*answer->refused)
		duty_failed(k, a.duty, answer->refused);
	else if (a.duty == TRUST_RENEW)
		take_certificate(k, &a.step, answer->text);
	else
		take_key(k, &a.step, answer->text);
}

/* Being asked. */

static int answer_certificate(const struct keeper *k, const struct node *node,
    const struct trust_ask *ask, struct buffer *pem, struct err *err)
{
	const struct cluster *c = k->options.context->cluster;
	const struct authority *a = authority_active(c);
	char incarnation[IDENTITY_INCARNATION_SIZE];
	size_t size = strlen(ask->text);
	if (!a || a->id != ask->authority)
		return err_set(err, -ESTALE, "CA %" PRIu32 " does not sign", ask->authority);
	int result = identity_incarnation(ask->text, size, incarnation, err);
	if (result)
		return result;
	/* Its key names it: under another one it would be another node. */
	if (strcmp(incarnation, node->incarnation) != 0)
		return err_set(err, -EPERM, "the request is of another key than %s's", node->name);
	struct trust_signing s = {.files = k->options.files,
	    .fingerprint = a->fingerprint,
	    .identity = {.id = node->id},
	    .days = k->options.certificate_days};
	snprintf(s.identity.cluster, sizeof(s.identity.cluster), "%s", c->settings.uuid);
	snprintf(s.identity.name, sizeof(s.identity.name), "%s", node->name);
	result = trust_sign(&s, ask->text, size, pem, err);
	if (!result)
		log_info("Signed a certificate for %s, by CA %" PRIu32 ", for %d days", node->name,
		    a->id, s.days);
	return result;
}

static int answer_key(const struct keeper *k, const struct node *node, const struct trust_ask *ask,
    struct buffer *pem, struct err *err)
{
	const struct authority *a = authority_find(k->options.context->cluster, ask->authority);
	struct buffer certificate = {0};
	if (!trust_may_sign(node))
		return err_set(err, -EPERM, "%s is no coordinator", node->name);
	if (!a || a->state == AUTHORITY_WANTED || a->state == AUTHORITY_OUTGOING)
		return err_set(err, -ESTALE, "CA %" PRIu32 " does not sign", ask->authority);
	int result = identity_authority_get(k->options.files, a->fingerprint, &certificate, pem);
	buffer_close(&certificate);
	if (result || !pem->size)
		return err_set(err, -ENOKEY, "the CA's key is not here");
	log_info("Gave the key of CA %" PRIu32 " to %s, a coordinator", a->id, node->name);
	return 0;
}

static void asked(struct keeper *k, uint64_t from, const struct trust_ask *ask)
{
	const struct context *context = k->options.context;
	const struct node *node =
	    from <= UINT32_MAX ? cluster_node(context->cluster, (uint32_t)from) : NULL;
	struct standing standing = k->options.standing(k->options.data);
	struct trust_answer *answer = must_alloc(sizeof(*answer));
	struct buffer pem = {0}, bytes = {0};
	struct err err = {{0}};
	int result = 0;
	/* One that is behind might answer who is no member, or no coordinator, any more. */
	if (!standing.current)
		result = err_set(&err, -EAGAIN, "it is not in touch with the leader");
	else if (!node)
		result = err_set(&err, -EPERM, "there is no node %" PRIu64, from);
	else if (ask->question == TRUST_ASK_CERTIFICATE)
		result = answer_certificate(k, node, ask, &pem, &err);
	else
		result = answer_key(k, node, ask, &pem, &err);
	answer->number = ask->number;
	snprintf(answer->refused, sizeof(answer->refused), "%.255s", result ? err.text : "");
	snprintf(answer->text, sizeof(answer->text), "%.*s", (int)pem.size, (char *)pem.data);
	trust_answer_encode(answer, &bytes);
	k->options.send(k->options.data, from, bytes.data, bytes.size);
	explicit_bzero(answer, sizeof(*answer));
	free(answer);
	identity_wipe(&bytes);
	identity_wipe(&pem);
}

void keeper_received(struct keeper *k, uint64_t from, const uint8_t *bytes, size_t size)
{
	struct trust_ask ask;
	struct trust_answer answer;
	if (trust_ask_decode(bytes, size, &ask) == 0)
		asked(k, from, &ask);
	else if (trust_answer_decode(bytes, size, &answer) == 0)
		answered(k, from, &answer);
	explicit_bzero(&answer, sizeof(answer));
}

/* Proposing. */

static void led(void *data, int result, uint64_t index, const struct err *err)
{
	struct keeper *k = data;
	enum trust_duty duty = k->leading;
	k->leading = TRUST_NOTHING;
	if (result < 0)
		duty_failed(k, duty, err->text);
	else
		duty_done(k, duty);
	k->looked_ms = 0;
}

static void lead(struct keeper *k, const struct trust_step *s)
{
	const struct context *context = k->options.context;
	struct command command = {.number = COMMAND_authority_made};
	struct command_authority_made *made = &command.authority_made;
	struct buffer pem = {0};
	/* Nobody is led by a value that is not the others'. */
	if (history_diverged_at(context->cluster))
		return;
	if (s->duty == TRUST_MAKE) {
		make_authority(k);
		return;
	}
	if (s->duty == TRUST_SHIFT) {
		command.number = COMMAND_authority_shift;
		command.authority_shift.authority = s->authority;
	} else {
		identity_authority_get(k->options.files, s->fingerprint, &pem, NULL);
		made->authority = s->authority;
		snprintf(made->fingerprint, sizeof(made->fingerprint), "%s", s->fingerprint);
		snprintf(made->certificate, sizeof(made->certificate), "%.*s", (int)pem.size,
		    (char *)pem.data);
	}
	k->leading = s->duty;
	buffer_close(&pem);
	context->propose(context->data, &command, PROPOSE_TIMEOUT_MS, led, k);
}

static void told(void *data, int result, uint64_t index, const struct err *err)
{
	struct keeper *k = data;
	k->told = false;
	k->telling = (struct pace){0};
	if (result < 0)
		pace_failed(&k->telling, now_of(k));
	k->looked_ms = 0;
}

static void tell(struct keeper *k, const struct trust_view *v)
{
	const struct context *context = k->options.context;
	struct command command = {.number = COMMAND_node_trust};
	if (k->told || now_of(k) < k->telling.next_ms || !trust_tell(v, &command.node_trust))
		return;
	k->told = true;
	context->propose(context->data, &command, PROPOSE_TIMEOUT_MS, told, k);
}

/* Turns. */

static void log_rotation(struct keeper *k)
{
	const struct authority *moving = authority_moving(k->options.context->cluster);
	uint32_t id = moving ? moving->id : 0;
	enum authority_state state = moving ? moving->state : AUTHORITY_ACTIVE;
	if (id == k->logged_authority && state == k->logged_state)
		return;
	if (moving)
		log_system("Rotation of the CA: CA %" PRIu32 " is %s", id,
		    state_name(authority_state_names, state));
	else
		log_ok("Rotation of the CA: done");
	k->logged_authority = id;
	k->logged_state = state;
}

static void log_late(struct keeper *k, const struct trust_view *v)
{
	char text[128];
	bool late = trust_trouble(v, text, sizeof(text));
	if (late && !k->late_said)
		log_warning("This node: %s", text);
	k->late_said = late;
}

static void act(struct keeper *k, const struct trust_step *s, uint64_t leader)
{
	switch (s->duty) {
	case TRUST_ADD:
		add_authority(k, s);
		break;
	case TRUST_RENEW:
		renew(k, s, leader);
		break;
	case TRUST_FETCH:
		ask(k, s, leader);
		break;
	case TRUST_FORGET:
	case TRUST_FORGET_KEYS:
		forget_authority(k, s);
		break;
	default:
		break;
	}
}

static void look(struct keeper *k, uint64_t now_ms)
{
	struct standing standing = k->options.standing(k->options.data);
	struct trust_view v = view_of(k);
	log_late(k, &v);
	if (!standing.current)
		return;
	for (unsigned i = 0; i < TRUST_DUTIES; i++)
		if (now_ms < k->paces[i].next_ms)
			v.blocked |= 1u << i;
	log_rotation(k);
	tell(k, &v);
	struct trust_step s = {0};
	if (!k->writing.duty && !k->asking.duty)
		s = trust_own(&v);
	act(k, &s, standing.leader_id);
	if (!standing.leader || k->leading || k->writing.duty)
		return;
	s = trust_lead(&v);
	if (s.duty)
		lead(k, &s);
}

uint64_t keeper_turn(struct keeper *k, uint64_t now_ms)
{
	uint64_t index = k->options.context->cluster->index;
	if (k->asking.duty && now_ms >= k->asking.deadline_ms) {
		enum trust_duty duty = k->asking.duty;
		k->asking = (struct asking){0};
		duty_failed(k, duty, "the member that was asked does not answer");
	}
	uint64_t every_ms = index == k->looked_index ? LOOK_EVERY_MS : LOOK_AGAIN_MS;
	if (k->looked_ms && now_ms < k->looked_ms + every_ms)
		return k->looked_ms + every_ms;
	k->looked_ms = now_ms;
	k->looked_index = index;
	look(k, now_ms);
	uint64_t next_ms = now_ms + LOOK_EVERY_MS;
	for (unsigned i = 0; i < TRUST_DUTIES; i++)
		if (k->paces[i].next_ms > now_ms && k->paces[i].next_ms < next_ms)
			next_ms = k->paces[i].next_ms;
	return next_ms;
}

bool keeper_trouble(const struct keeper *k, char *text, size_t size)
{
	struct trust_view v = view_of(k);
	return trust_trouble(&v, text, size);
}

/* Life. */

struct keeper *keeper_new(const struct keeper_options *options)
{
	struct keeper *k = must_alloc(sizeof(*k));
	k->options = *options;
	snprintf(k->writing.directory, sizeof(k->writing.directory), "%s", options->directory);
	trust_read(options->files, &k->held);
	return k;
}

void keeper_close(struct keeper *k)
{
	k->closing = true;
	if (!k->writing.duty)
		keeper_free(k);
}

int keeper_revive(const char *directory, int days, struct err *err)
{
	struct identity_files files;
	struct identity_authority list[IDENTITY_AUTHORITIES_MAX];
	struct buffer certificate = {0};
	int result = identity_read_files(directory, &files, err);
	if (result)
		return result;
	unsigned n = identity_authorities(&files, list);
	result = err_set(err, -ENOKEY, "no CA's key is here to renew it with");
	for (unsigned i = 0; i < n && result; i++)
		if (list[i].key && list[i].signer)
			result = sign_own(&files, list[i].fingerprint, days, &certificate, err);
	if (!result) {
		files.certificate.size = 0;
		buffer_append(&files.certificate, certificate.data, certificate.size - 1);
		result = identity_check(&files, NULL, err);
	}
	if (!result)
		result = identity_replace(directory, &files, IDENTITY_CERTIFICATE, err);
	buffer_close(&certificate);
	identity_files_close(&files);
	return result;
}
