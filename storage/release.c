#include "storage/release.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fsm/buffer.h"

static void add(struct release_result *result, const char *volume, const struct pool_locker *locker)
{
	result->locks = must_realloc(result->locks, (result->count + 1) * sizeof(*result->locks));
	struct release_lock *lock = &result->locks[result->count++];
	snprintf(lock->volume, sizeof(lock->volume), "%s", volume);
	lock->locker = *locker;
}

/* Sort the holders of one volume's locks into those to be freed and those of others. */
static int look(const struct pool_port *port, struct pool *pool, const struct release *release,
    const char *volume, struct release_result lists[2], struct err *err)
{
	struct pool_locker *lockers = NULL;
	unsigned n = 0;
	int result = port->lockers(pool, volume, &lockers, &n, err);
	/* The hypervisor says it better, of this disk among the others. */
	if (result == -ENOENT)
		return 0;
	for (unsigned i = 0; !result && i < n; i++) {
		enum lock_holder holder =
		    lock_judge(lockers[i].address, release->own, release->proven);
		bool foreign = holder == LOCK_FOREIGN && release->extent != RELEASE_ALL;
		add(&lists[foreign], volume, &lockers[i]);
	}
	free(lockers);
	return result;
}

int release_locks(const struct pool_port *port, struct pool *pool, const struct release *release,
    struct release_result *result, struct err *err)
{
	struct release_result lists[2] = {{.refused = false}, {.refused = true}};
	const struct volumes *volumes = &release->volumes;
	int status = 0;
	for (unsigned i = 0; !status && i < volumes->count; i++)
		status = look(port, pool, release, volumes->names[i], lists, err);
	bool refused = lists[1].count > 0;
	for (unsigned i = 0; !status && !refused && i < lists[0].count; i++)
		status =
		    port->unlock(pool, lists[0].locks[i].volume, &lists[0].locks[i].locker, err);
	*result = (struct release_result){0};
	if (!status) {
		*result = lists[refused];
		lists[refused] = (struct release_result){0};
	}
	release_result_close(&lists[0]);
	release_result_close(&lists[1]);
	return status;
}

void release_result_close(struct release_result *result)
{
	free(result->locks);
	*result = (struct release_result){0};
}
