#include "raft/strangers.h"

#define BURST	 10
#define EVERY_MS 5000

bool strangers_tell(struct strangers *s, uint64_t now_ms, uint64_t *untold)
{
	uint64_t forgotten = (now_ms - s->since_ms) / EVERY_MS;
	s->since_ms += forgotten * EVERY_MS;
	s->told = forgotten < s->told ? s->told - (unsigned)forgotten : 0;
	if (s->told == BURST) {
		s->untold++;
		return false;
	}
	s->told++;
	*untold = s->untold;
	s->untold = 0;
	return true;
}
