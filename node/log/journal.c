#include "node/log/journal.h"

#include <errno.h>
#include <stdlib.h>

#include "fsm/buffer.h"

struct note {
	uint64_t index;
	uint32_t n; /* which of the entry's operations */
	int result;
};

struct journal {
	uint64_t noted; /* ever */
	struct note notes[JOURNAL_LENGTH];
};

struct journal *journal_new(void)
{
	return must_alloc(sizeof(struct journal));
}

void journal_free(struct journal *j)
{
	free(j);
}

static const struct note *note_at(const struct journal *j, uint64_t number)
{
	return &j->notes[number % JOURNAL_LENGTH];
}

void journal_restart(struct journal *j)
{
	j->noted = 0;
}

void journal_note(struct journal *j, uint64_t index, int result)
{
	const struct note *before = j->noted ? note_at(j, j->noted - 1) : NULL;
	uint32_t n = before && before->index == index ? before->n + 1 : 0;
	j->notes[j->noted++ % JOURNAL_LENGTH] =
	    (struct note){.index = index, .n = n, .result = result};
}

int journal_result(const struct journal *j, uint64_t index, unsigned n, int *result)
{
	uint64_t end = j->noted, begin = end > JOURNAL_LENGTH ? end - JOURNAL_LENGTH : 0;
	while (begin < end) {
		uint64_t middle = begin + (end - begin) / 2;
		const struct note *at = note_at(j, middle);
		if (at->index == index && at->n == n) {
			*result = at->result;
			return 0;
		}
		if (at->index < index || (at->index == index && at->n < n))
			begin = middle + 1;
		else
			end = middle;
	}
	return -ENOENT;
}
