#include <stdio.h>

#include "raft/peers_core.h"

static void link_add(const struct link *l, struct peers_status *s)
{
	if (!l)
		return;
	s->bytes_in += l->channel.bytes_in;
	s->bytes_out += l->channel.bytes_out;
}

static void member_status(const struct member *m, struct peers_status *s)
{
	*s = (struct peers_status){
	    .id = m->who.id,
	    .sending = m->out && m->out->welcomed_ms,
	    .receiving = m->in,
	    .refused = m->refused && !(m->out && m->out->welcomed_ms),
	    .removed = m->removed,
	    .since_ms = m->since_ms,
	    .bytes_in = m->bytes_in,
	    .bytes_out = m->bytes_out,
	    .dropped = m->dropped,
	};
	snprintf(s->address, sizeof(s->address), "%s", m->who.address);
	snprintf(s->error, sizeof(s->error), "%s", m->error);
	link_add(m->in, s);
	link_add(m->out, s);
	if (s->sending) {
		s->queued = channel_queued(&m->out->channel);
		s->rtt_us = channel_rtt_us(&m->out->channel);
	}
}

unsigned peers_status(const struct peers *p, struct peers_status *status, unsigned max)
{
	unsigned n = p->n_members < max ? p->n_members : max;
	for (unsigned i = 0; i < n; i++)
		member_status(p->members[i], &status[i]);
	return n;
}

uint16_t peers_port(const struct peers *p)
{
	return endpoint_port(p->listener.fd);
}
