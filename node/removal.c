#include "node/removal.h"

#include "node/log.h"

/* Numbers are not given out twice: one that was and is not there was removed. A value that is
 * still behind our own joining does not have it given out. */
static bool removed(const struct cluster *c, uint32_t id)
{
	return c->settings.schema && id && id < c->settings.next_node && !cluster_node(c, id);
}

enum removal removal_judge(
    struct removal_watch *watch, const struct removal_view *view, uint64_t now_ms)
{
	bool gone = removed(view->cluster, view->id);
	bool lonely = gone ? view->votes && !view->current : view->refusing && !view->connected;
	if (!lonely || !watch->unlike_ms)
		watch->unlike_ms = now_ms;
	uint64_t lonely_ms = now_ms - watch->unlike_ms;
	if (gone && (!view->votes || lonely_ms >= REMOVAL_ALONE_MS))
		return REMOVAL_DONE;
	if (gone)
		return REMOVAL_VOTES;
	return lonely && lonely_ms >= REMOVAL_REFUSED_MS ? REMOVAL_REFUSED : REMOVAL_NONE;
}

bool removal_votes(const struct replica *replica)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	struct replica_status status;
	replica_status(replica, &status);
	unsigned n = replica_members(replica, members, REPLICA_MEMBERS_MAX);
	for (unsigned i = 0; i < n; i++)
		if (members[i].id == status.id)
			return members[i].role == MEMBER_VOTER;
	return false;
}

void removal_tell(enum removal removal, const char *data_directory)
{
	switch (removal) {
	case REMOVAL_NONE:
		log_ok("The other members take this node for one of them");
		break;
	case REMOVAL_REFUSED:
		log_error("No member that can be reached takes this node for one: was it removed? "
			  "Until one does, it starts nothing");
		break;
	case REMOVAL_VOTES:
		log_warning("This node was removed from the cluster: it starts nothing any more, "
			    "and votes until a majority is in touch without it");
		break;
	case REMOVAL_DONE:
		log_error("This node was removed from the cluster: its daemon ends. To come back, "
			  "it joins anew with %s empty",
		    data_directory);
		break;
	}
}
