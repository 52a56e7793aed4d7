#include "node/member/removal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/file.h"
#include "node/log/log.h"
#include "node/member/standing.h"

/* Numbers are not given out twice: one that was and is not there was removed. A value that is
 * still behind our own joining does not have it given out. */
bool removal_of(const struct cluster *c, uint32_t id)
{
	return c->settings.schema && id && id < c->settings.next_node && !cluster_node(c, id);
}

/* What it would be, were it like that for long enough. */
static enum removal reason(const struct removal_view *view)
{
	if (removal_of(view->cluster, view->id))
		return REMOVAL_DONE;
	if (view->teller)
		return REMOVAL_TOLD;
	return view->refusing ? REMOVAL_REFUSED : REMOVAL_NONE;
}

enum removal removal_judge(
    struct removal_watch *watch, const struct removal_view *view, uint64_t now_ms)
{
	enum removal why = reason(view);
	if (why != watch->why || view->current || !watch->unlike_ms)
		watch->unlike_ms = now_ms;
	uint64_t alone_ms = now_ms - watch->unlike_ms;
	watch->why = why;
	watch->teller = why == REMOVAL_TOLD ? view->teller : 0;
	switch (why) {
	case REMOVAL_DONE:
		return !view->votes || alone_ms >= REMOVAL_ALONE_MS ? REMOVAL_DONE : REMOVAL_VOTES;
	case REMOVAL_TOLD:
		return alone_ms >= REMOVAL_ALONE_MS ? REMOVAL_DONE : REMOVAL_TOLD;
	case REMOVAL_REFUSED:
		return alone_ms >= REMOVAL_REFUSED_MS ? REMOVAL_REFUSED : REMOVAL_NONE;
	default:
		return REMOVAL_NONE;
	}
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
		if (status[i].removed)
			view.teller = status[i].id;
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
		log_error("A member does not take this node for one, and no leader is heard: was "
			  "it removed? Until one is, it starts nothing");
		break;
	case REMOVAL_TOLD:
		log_error("Node %" PRIu64 " says that this node was removed from the cluster",
		    watch->teller);
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

const char *removal_text(enum removal removal)
{
	switch (removal) {
	case REMOVAL_REFUSED:
		return "a member does not take this node for one, and no leader is heard: was it "
		       "removed?";
	case REMOVAL_TOLD:
		return "this node was removed from the cluster: another member says so";
	case REMOVAL_VOTES:
		return "this node was removed, and votes until a majority is in touch without it";
	case REMOVAL_DONE:
		return "this node was removed from the cluster";
	default:
		return NULL;
	}
}

static void note_path(const char *data_directory, char path[1024])
{
	snprintf(path, 1024, "%s/removed", data_directory);
}

int removal_note_write(
    const struct removal_watch *watch, const char *data_directory, struct err *err)
{
	char path[1024];
	struct buffer text = {0};
	note_path(data_directory, path);
	if (watch->teller)
		buffer_print(&text, "node %" PRIu64 " said so\n", watch->teller);
	else
		buffer_print(&text, "its own value says so\n");
	int result = file_replace(path, text.data, text.size);
	buffer_close(&text);
	return result ? err_set(err, result, "%s: %s", path, strerror(-result)) : 0;
}

int removal_note_read(const char *data_directory, char note[REMOVAL_NOTE_MAX])
{
	char path[1024];
	struct buffer text = {0};
	note_path(data_directory, path);
	int result = file_read(path, REMOVAL_NOTE_MAX - 1, &text);
	if (!result)
		snprintf(note, REMOVAL_NOTE_MAX, "%.*s", (int)text.size, (char *)text.data);
	if (!result)
		note[strcspn(note, "\n")] = '\0';
	buffer_close(&text);
	return result;
}

void removal_note_remove(const char *data_directory)
{
	char path[1024];
	note_path(data_directory, path);
	unlink(path);
}
