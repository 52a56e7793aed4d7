/* What a wal must hold after a sequence of requests, and random requests to bring it there. */
#ifndef TESTS_UNIT_WAL_MODEL_H
#define TESTS_UNIT_WAL_MODEL_H

#include "tests/unit/wal_bench.h"

#define MODEL_INDEX_MAX 4096

struct model {
	uint64_t seed;
	uint64_t term; /* the one in use */
	uint64_t kept_term, kept_vote;
	uint64_t terms[MODEL_INDEX_MAX]; /* of entries, by index */
	uint64_t first, last;
	uint64_t snapshot_index, snapshot_term;
};

static inline struct model *model_new(uint64_t seed)
{
	struct model *m = must_alloc(sizeof(*m));
	m->seed = seed;
	m->first = 1;
	return m;
}

static inline uint64_t model_random(struct model *m, uint64_t below)
{
	m->seed = m->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (m->seed >> 33) % below;
}

static inline bool model_is(const struct model *m, const struct disk_state *state)
{
	if (state->term != m->kept_term || state->vote != m->kept_vote)
		return false;
	if (state->has_snapshot != (m->snapshot_index > 0))
		return false;
	if (m->snapshot_index && !snapshot_is(state, m->snapshot_index, m->snapshot_term))
		return false;
	if (state->n != m->last + 1 - m->first || (state->n > 0 && state->first != m->first))
		return false;
	for (unsigned i = 0; i < state->n; i++)
		if (!entry_is(&state->entries[i], m->first + i, m->terms[m->first + i]))
			return false;
	return true;
}

/* Each of these does a request, returns its answer, and is the state if that is 0. */

static inline int model_append(struct model *m, struct bench *b)
{
	uint64_t index = m->last + 1;
	if (model_random(m, 6) == 0)
		index -= model_random(m, m->last - m->snapshot_index + 1);
	unsigned n = (unsigned)model_random(m, 12);
	if (index + n >= MODEL_INDEX_MAX)
		return 0;
	if (model_random(m, 5) == 0)
		m->term++;
	for (unsigned i = 0; i < n; i++)
		m->terms[index + i] = m->term;
	m->last = index + n - 1;
	if (m->first > m->last)
		m->first = m->last + 1;
	return append(b, index, n, m->term);
}

static inline int model_take(struct model *m, struct bench *b)
{
	if (m->last == m->snapshot_index)
		return 0;
	uint64_t index = m->snapshot_index + 1 + model_random(m, m->last - m->snapshot_index);
	m->first += model_random(m, index + 2 - m->first);
	m->snapshot_index = index;
	m->snapshot_term = m->terms[index];
	return snapshot_take(b, index, m->snapshot_term, m->first);
}

static inline int model_install(struct model *m, struct bench *b)
{
	uint64_t index = m->snapshot_index + 1 + model_random(m, 60);
	if (index >= MODEL_INDEX_MAX - 100)
		return 0;
	m->term++;
	m->snapshot_index = index;
	m->snapshot_term = m->term;
	m->terms[index] = m->term;
	m->first = index + 1;
	m->last = index;
	return snapshot_install(b, index, m->term);
}

static inline int model_vote(struct model *m, struct bench *b)
{
	m->kept_term = m->term;
	m->kept_vote = model_random(m, 5);
	return vote(b, m->kept_term, m->kept_vote);
}

static inline int model_step(struct model *m, struct bench *b)
{
	switch (model_random(m, 16)) {
	case 0:
	case 1:
		return model_vote(m, b);
	case 2:
		return model_take(m, b);
	case 3:
		return model_random(m, 3) == 0 ? model_install(m, b) : 0;
	default:
		return model_append(m, b);
	}
}

#endif
