#include "node/journal.h"

#include <stdlib.h>
#include <string.h>

#include "fsm/command.h"

struct note {
	uint64_t index;
	uint64_t ticks;
	uint64_t number;
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

static uint64_t number_of(const uint8_t *operation, size_t size)
{
	struct reader in = reader_of(operation, size);
	reader_varint(&in); /* client */
	reader_varint(&in); /* sequence */
	return reader_varint(&in);
}

void journal_note(
    struct journal *j, uint64_t index, const uint8_t *operation, size_t size, int result)
{
	uint64_t ticks = 0;
	uint64_t number = number_of(operation, size);
	if (number == COMMAND_tick) {
		ticks = j->noted ? j->notes[(j->noted - 1) % JOURNAL_LENGTH].ticks + 1 : 1;
		if (ticks > 1)
			j->noted--;
	}
	struct note *n = &j->notes[j->noted++ % JOURNAL_LENGTH];
	n->index = index;
	n->ticks = ticks;
	n->number = number;
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
	    .ticks = n->ticks,
	    .number = n->number,
	    .result = n->result,
	    .size = n->size,
	    .operation = n->size <= sizeof(n->operation) ? n->operation : NULL,
	};
}
