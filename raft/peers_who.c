#include <errno.h>
#include <string.h>

#include "raft/peers_core.h"

struct member *peers_find(const struct peers *p, uint64_t id)
{
	unsigned low = 0, high = p->n_members;
	while (low < high) {
		unsigned middle = (low + high) / 2;
		if (p->members[middle]->who.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < p->n_members && p->members[low]->who.id == id ? p->members[low] : NULL;
}

static int peer_read(const struct link *l, struct identity *peer, struct err *err)
{
	const struct peers *p = l->peers;
	int rv = tls_peer(l->channel.tls, peer, err);
	if (rv < 0)
		return rv;
	if (strcmp(peer->cluster, p->identity.cluster) != 0)
		return err_set(err, -EPERM, "its certificate is of cluster %s", peer->cluster);
	return 0;
}

static int key_check(
    const struct link *l, const struct member *m, const struct identity *peer, struct err *err)
{
	char key[IDENTITY_INCARNATION_SIZE];
	int rv = m->who.incarnation[0] ? tls_peer_key(l->channel.tls, key, err) : 0;
	if (rv < 0 || !m->who.incarnation[0] || strcmp(m->who.incarnation, key) == 0)
		return rv;
	return err_set(err, -EPERM,
	    "its certificate is of node %llu (%s), but of another key than that node's: was the "
	    "CA's key stolen? pvc cluster ca rotate",
	    (unsigned long long)peer->id, peer->name);
}

static int member_check(
    const struct link *l, const struct member *m, const struct identity *peer, struct err *err)
{
	if (!m->who.name[0] || strcmp(m->who.name, peer->name) == 0)
		return key_check(l, m, peer, err);
	return err_set(err, -EPERM, "its certificate is of node %llu (%s), but that node is %s",
	    (unsigned long long)peer->id, peer->name, m->who.name);
}

bool who_stays(const struct link *l, const struct member *m)
{
	struct identity peer;
	return peer_read(l, &peer, NULL) == 0 && member_check(l, m, &peer, NULL) == 0;
}

int who_was_dialled(const struct link *l, struct err *err)
{
	struct identity peer;
	int rv = peer_read(l, &peer, err);
	if (rv < 0)
		return rv;
	if (peer.id != l->member->who.id)
		return err_set(err, -EPERM,
		    "dialled node %llu, but its certificate is of node %llu (%s)",
		    (unsigned long long)l->member->who.id, (unsigned long long)peer.id, peer.name);
	return member_check(l, l->member, &peer, err);
}

int who_has_dialled(const struct link *l, struct member **member, struct err *err)
{
	struct identity peer;
	int rv = peer_read(l, &peer, err);
	if (rv < 0)
		return rv;
	*member = peers_find(l->peers, peer.id);
	if (*member)
		return member_check(l, *member, &peer, err);
	/* An id is given out once: who had one and is no member was one. */
	bool was = peer.id < l->peers->next_id && peer.id != l->peers->identity.id;
	return err_set(err, was ? -EKEYREVOKED : -EPERM,
	    was ? "node %llu (%s) was removed from the cluster: its certificate is revoked"
		: "node %llu (%s) is not a member",
	    (unsigned long long)peer.id, peer.name);
}

bool who_is_younger(const struct link *l, struct peers_member *who)
{
	const struct peers *p = l->peers;
	struct identity peer;
	*who = (struct peers_member){0};
	if (!p->handlers.younger || peer_read(l, &peer, NULL) < 0 ||
	    tls_peer_key(l->channel.tls, who->incarnation, NULL) < 0)
		return false;
	who->id = peer.id;
	memcpy(who->name, peer.name, sizeof(who->name));
	return peer.id >= p->next_id && peer.id != p->identity.id && !peers_find(p, peer.id);
}

void peers_given_out(struct peers *p, uint64_t next_id)
{
	p->next_id = next_id;
}
