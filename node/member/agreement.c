#include "node/member/agreement.h"

/* Members that left long ago make room. */
static struct agreement_voice *place_for(struct agreement *a, uint32_t node)
{
	struct agreement_voice *oldest = a->voices;
	for (unsigned i = 0; i < a->count; i++) {
		if (a->voices[i].node == node)
			return &a->voices[i];
		if (a->voices[i].index < oldest->index)
			oldest = &a->voices[i];
	}
	return a->count < CLUSTER_NODES_MAX ? &a->voices[a->count++] : oldest;
}

void agreement_heard(struct agreement *a, const struct agreement_voice *voice)
{
	*place_for(a, voice->node) = *voice;
}

static bool may_vote(const struct cluster *c, uint32_t id)
{
	const struct node *node = cluster_node(c, id);
	return node && node->mode != NODE_HYPERVISOR;
}

/* How many say this of the same entry. */
static unsigned voices_for(
    const struct agreement *a, const struct cluster *c, uint64_t index, uint64_t hash)
{
	unsigned n = 0;
	for (unsigned i = 0; i < a->count; i++) {
		const struct agreement_voice *v = &a->voices[i];
		n += v->index == index && v->hash == hash && may_vote(c, v->node);
	}
	return n;
}

enum agreement_verdict agreement_judge(const struct agreement *a, const struct cluster *c,
    const struct agreement_voice *own, uint32_t *other)
{
	unsigned voters = 0, against = 0;
	cluster_each(c->nodes, struct node, node) voters += node->mode != NODE_HYPERVISOR;
	unsigned with = voices_for(a, c, own->index, own->hash) + may_vote(c, own->node);
	*other = 0;
	for (unsigned i = 0; i < a->count; i++) {
		const struct agreement_voice *v = &a->voices[i];
		if (v->index != own->index || v->hash == own->hash || !may_vote(c, v->node))
			continue;
		unsigned n = voices_for(a, c, v->index, v->hash);
		against = n > against ? n : against;
		*other = v->node;
	}
	if (2 * against > voters)
		return AGREEMENT_WRONG;
	if (2 * with > voters)
		return AGREEMENT_RIGHT;
	if (!against)
		return AGREEMENT_UNKNOWN;
	return 2 * with == voters ? AGREEMENT_TIED : AGREEMENT_SPLIT;
}
