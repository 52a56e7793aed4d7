#include "node/journal.h"

#include <stdlib.h>
#include <string.h>

#include "fsm/buffer.h"

struct note {
	uint64_t index;
	int result;
	uint32_t size;
	uint8_t operation[JOURNAL_OPERATION_MAX];
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

void journal_note(
    struct journal *j, uint64_t index, const uint8_t *operation, size_t size, int result)
{
	struct note *n = &j->notes[j->noted++ % JOURNAL_LENGTH];
	n->index = index;
	n->result = result;
	n->size = (uint32_t)size;
	if (size <= sizeof(n->operation))
		memcpy(n->operation, operation, size);
}

unsigned journal_count(const struct journal *j)
{
	return j->noted < JOURNAL_LENGTH ? (unsigned)j->noted : JOURNAL_LENGTH;
}

struct journal_entry journal_back(const struct journal *j, unsigned back)
{
	const struct note *n = &j->notes[(j->noted - 1 - back) % JOURNAL_LENGTH];
	return (struct journal_entry){
	    .index = n->index,
	    .result = n->result,
	    .size = n->size,
	    .operation = n->size <= sizeof(n->operation) ? n->operation : NULL,
	};
}
