/* Who we are and whom we trust, while it changes. */
#include <errno.h>
#include <string.h>

#include "raft/peers_core.h"

#define REFRESH_EVERY_MS 200

void held_end(struct member *m)
{
	m->dialling = MEMBER_NOT_ANEW;
	buffer_close(&m->held);
}

static int held_send(void *data, const uint8_t *bytes, size_t size)
{
	struct member *m = data;
	peers_send(m->peers, m->who.id, bytes, size);
	return 0;
}

void held_release(struct member *m)
{
	struct frames frames = {.limit = PEERS_FRAME_MAX};
	struct buffer held = m->held;
	m->held = (struct buffer){0};
	held_end(m);
	frames_feed(&frames, held.data, held.size, held_send, m);
	frames_close(&frames);
	buffer_close(&held);
}

static bool authority_trusted(const struct peers *p, const char *fingerprint)
{
	for (unsigned i = 0; i < p->n_trusted; i++)
		if (strcmp(p->trusted[i].fingerprint, fingerprint) == 0)
			return true;
	return false;
}

static bool link_trusted(const struct link *l)
{
	char fingerprint[IDENTITY_HEX_SIZE];
	return tls_authority(l->channel.tls, fingerprint) == 0 &&
	       authority_trusted(l->peers, fingerprint);
}

/* Dial one member anew whose connection is from before; true: there was one. */
static bool refresh_one(struct peers *p)
{
	for (unsigned i = 0; i < p->n_members; i++) {
		struct member *m = p->members[i];
		struct link *out = m->out;
		if (!out || !out->welcomed_ms || out->generation >= p->anew_since)
			continue;
		/* What is queued would be lost with it: rather a moment later. */
		if (channel_queued(&out->channel) > 0 && uv_now(p->loop) < p->anew_until_ms)
			continue;
		link_close(out, CHANNEL_SAY_DONE);
		m->dialling = MEMBER_ANEW;
		member_dial_now(m);
		return true;
	}
	return false;
}

static void on_refresh(uv_timer_t *timer)
{
	struct peers *p = timer->data;
	peers_flush(p);
	if (refresh_one(p) || uv_now(p->loop) < p->anew_until_ms)
		return;
	uv_timer_stop(timer);
	for (unsigned i = 0; i < p->n_members; i++) {
		struct link *in = p->members[i]->in;
		if (in && !link_trusted(in))
			link_close(in, CHANNEL_SAY_DONE);
	}
}

/* Take note of whom the files trust; of one that they do not any more, its connections end. */
static void trust_take(struct peers *p, const struct identity_files *files)
{
	struct identity_authority before[IDENTITY_AUTHORITIES_MAX];
	unsigned n = p->n_trusted;
	memcpy(before, p->trusted, sizeof(before));
	p->n_trusted = identity_authorities(files, p->trusted);
	p->generation++;
	for (unsigned i = 0; i < n; i++) {
		if (authority_trusted(p, before[i].fingerprint))
			continue;
		p->anew_since = p->generation;
		p->anew_until_ms = uv_now(p->loop) + p->anew_ms;
		uv_timer_start(&p->refresher, on_refresh, REFRESH_EVERY_MS, REFRESH_EVERY_MS);
	}
}

int peers_identity(struct peers *p, const struct identity_files *files, struct err *err)
{
	struct identity identity;
	int rv = identity_check(files, &identity, err);
	/* Whether it has expired is for the others to say: our clock may be what is wrong. */
	if (rv < 0 && rv != -EKEYEXPIRED)
		return rv;
	if (identity.id != p->identity.id || strcmp(identity.cluster, p->identity.cluster) != 0)
		return err_set(err, -EINVAL, "the certificate is of another node");
	struct tls_context *tls = tls_context_new(files, err);
	if (!tls)
		return -EPROTO;
	tls_context_free(p->tls);
	p->tls = tls;
	trust_take(p, files);
	return 0;
}
