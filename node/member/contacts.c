#include "node/member/contacts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/node.h"
#include "node/file.h"

#define CONTACTS_BYTES_MAX 65536

static void contacts_path(const char *directory, char path[1024])
{
	snprintf(path, 1024, "%s/contacts", directory);
}

int contacts_save(
    const char *directory, const struct peers_member *members, unsigned n, struct err *err)
{
	char path[1024];
	struct buffer text = {0};
	contacts_path(directory, path);
	for (unsigned i = 0; i < n; i++)
		buffer_print(&text, "%" PRIu64 " %s\n", members[i].id, members[i].address);
	int result = file_replace(path, text.data, text.size);
	buffer_close(&text);
	return result ? err_set(err, result, "%s: %s", path, strerror(-result)) : 0;
}

void contacts_load(struct contacts *contacts, const char *directory, uint64_t now_ms)
{
	char path[1024], *rest, *line;
	struct buffer text = {0};
	struct peers_member *one = contacts->items;
	contacts->since_ms = now_ms;
	contacts->n = 0;
	contacts_path(directory, path);
	if (file_read(path, CONTACTS_BYTES_MAX, &text))
		text.size = 0;
	buffer_append_u8(&text, 0);
	rest = (char *)text.data;
	while (contacts->n < PEERS_MEMBERS_MAX && (line = strsep(&rest, "\n"))) {
		*one = (struct peers_member){0};
		if (sscanf(line, "%" SCNu64 " %127s", &one->id, one->address) == 2)
			one = &contacts->items[++contacts->n];
	}
	buffer_close(&text);
}

bool contacts_unheard_of(const struct cluster *c, uint64_t id)
{
	return id >= c->settings.next_node;
}

/* Of the log nothing came yet; or what it has is old, and nobody says how it goes on. */
static bool alone(
    const struct contacts *contacts, const struct replica_status *log, uint64_t now_ms)
{
	uint64_t heard_ms = log->heard_ms > contacts->since_ms ? log->heard_ms : contacts->since_ms;
	if (log->role == REPLICA_LEADER)
		return false;
	return !log->last || now_ms >= heard_ms + CONTACTS_ALONE_MS;
}

static void forget_known(struct contacts *contacts, const struct cluster *c)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < contacts->n; i++)
		if (contacts_unheard_of(c, contacts->items[i].id))
			contacts->items[kept++] = contacts->items[i];
	contacts->n = kept;
}

static bool listed(const struct peers_member *members, unsigned n, uint64_t id)
{
	for (unsigned i = 0; i < n; i++)
		if (members[i].id == id)
			return true;
	return false;
}

int contacts_add(struct contacts *contacts, const struct cluster *c,
    const struct replica_status *log, const struct peers_member *who, uint64_t now_ms)
{
	if (!contacts_unheard_of(c, who->id) || who->id > UINT32_MAX || who->id == log->id)
		return -EINVAL;
	if (listed(contacts->items, contacts->n, who->id))
		return -EALREADY;
	if (!alone(contacts, log, now_ms))
		return -EPERM;
	forget_known(contacts, c);
	if (contacts->n == PEERS_MEMBERS_MAX)
		return -ENOSPC;
	contacts->items[contacts->n++] = *who;
	return 0;
}

static void add_member(
    struct peers_member members[PEERS_MEMBERS_MAX], unsigned *n, const struct peers_member *member)
{
	if (*n < PEERS_MEMBERS_MAX && !listed(members, *n, member->id))
		members[(*n)++] = *member;
}

static void add_nodes(
    const struct cluster *c, struct peers_member members[PEERS_MEMBERS_MAX], unsigned *n)
{
	_Static_assert(CLUSTER_NODES_MAX <= PEERS_MEMBERS_MAX, "every node is a member");
	cluster_each(c->nodes, struct node, node)
	{
		struct peers_member member = {.id = node->id};
		snprintf(member.name, sizeof(member.name), "%s", node->name);
		snprintf(
		    member.incarnation, sizeof(member.incarnation), "%.48s", node->incarnation);
		snprintf(member.address, sizeof(member.address), "%s", node->address);
		add_member(members, n, &member);
	}
}

static void add_voices(
    const struct replica *replica, struct peers_member members[PEERS_MEMBERS_MAX], unsigned *n)
{
	struct replica_member voices[REPLICA_MEMBERS_MAX];
	unsigned heard = replica_members(replica, voices, REPLICA_MEMBERS_MAX);
	for (unsigned i = 0; i < heard; i++) {
		struct peers_member member = {.id = voices[i].id};
		snprintf(member.address, sizeof(member.address), "%s", voices[i].address);
		add_member(members, n, &member);
	}
}

/* The log's own members are among them, for one that was just started has its log before its
 * value, and a node that was removed votes as long as a majority needs it (members.h). Contacts
 * come first: of them the key is known. */
unsigned contacts_members(const struct contacts *contacts, const struct cluster *c,
    const struct replica *replica, struct peers_member members[PEERS_MEMBERS_MAX])
{
	unsigned n = 0;
	add_nodes(c, members, &n);
	for (unsigned i = 0; i < contacts->n; i++)
		if (contacts_unheard_of(c, contacts->items[i].id))
			add_member(members, &n, &contacts->items[i]);
	if (replica)
		add_voices(replica, members, &n);
	return n;
}
