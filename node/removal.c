#include "node/removal.h"

#include "node/log.h"
#include "node/standing.h"

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
	if (gone)
		return !view->votes || lonely_ms >= REMOVAL_ALONE_MS ? REMOVAL_DONE : REMOVAL_VOTES;
	return lonely && lonely_ms >= REMOVAL_REFUSED_MS ? REMOVAL_REFUSED : REMOVAL_NONE;
}

static bool votes(const struct replica *replica, uint64_t id)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	unsigned n = replica_members(replica, members, REPLICA_MEMBERS_MAX);
	for (unsigned i = 0; i < n; i++)
		if (members[i].id == id)
			return members[i].role == MEMBER_VOTER;
	return false;
}

void removal_look(struct removal_watch *watch, const struct cluster *c,
    const struct replica *replica, const struct peers *peers, uint64_t now_ms)
{
	struct peers_status status[PEERS_MEMBERS_MAX];
	struct standing standing = standing_of(replica, now_ms);
	struct removal_view view = {
	    .cluster = c,
	    .id = standing.id,
	    .votes = votes(replica, standing.id),
	    .current = standing.current,
	};
	unsigned n = peers_status(peers, status, PEERS_MEMBERS_MAX);
	for (unsigned i = 0; i < n; i++) {
		view.refusing += status[i].refused;
		view.connected += status[i].sending;
	}
	watch->now = removal_judge(watch, &view, now_ms);
}

void removal_tell(struct removal_watch *watch, const char *data_directory)
{
	if (watch->now == watch->told)
		return;
	watch->told = watch->now;
	switch (watch->now) {
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
