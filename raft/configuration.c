#include "raft/configuration.h"

#include <errno.h>
#include <string.h>

#define FORMAT 1

const char *const member_role_names[] = {"standby", "voter", "spare", NULL};

static const char *address_read(struct reader *in)
{
	size_t left = reader_left(in);
	const uint8_t *end = left ? memchr(in->data + in->at, 0, left) : NULL;
	if (!end)
		return NULL;
	return (const char *)reader_bytes(in, (size_t)(end - (in->data + in->at)) + 1);
}

static struct configuration_member *address_owner(struct configuration *c, const char *address)
{
	for (unsigned i = 0; i < c->n; i++)
		if (strcmp(c->members[i].address, address) == 0)
			return &c->members[i];
	return NULL;
}

static int member_add(struct configuration *c, uint64_t id, const char *address, unsigned role)
{
	bool fits = strlen(address) > 0 && strlen(address) < REPLICA_ADDRESS_MAX;
	if (c->n == REPLICA_MEMBERS_MAX || id == 0 || id == UINT64_MAX || !fits ||
	    role > MEMBER_SPARE)
		return -EINVAL;
	if (configuration_find(c, id) || address_owner(c, address))
		return -EINVAL;
	struct configuration_member *m = &c->members[c->n++];
	m->id = id;
	m->role = (enum member_role)role;
	memcpy(m->address, address, strlen(address) + 1);
	return 0;
}

int configuration_decode(const uint8_t *bytes, size_t size, struct configuration *c)
{
	struct reader in = reader_of(bytes, size);
	c->n = 0;
	uint8_t format = reader_u8(&in);
	uint64_t n = reader_u64(&in);
	if (in.failed || format != FORMAT || n == 0 || n > REPLICA_MEMBERS_MAX)
		return -EBADMSG;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t id = reader_u64(&in);
		const char *address = address_read(&in);
		uint8_t role = reader_u8(&in);
		if (in.failed || !address || member_add(c, id, address, role) != 0)
			return -EBADMSG;
	}
	return reader_left(&in) < 8 && size % 8 == 0 ? 0 : -EBADMSG;
}

void configuration_encode(const struct configuration *c, struct buffer *out)
{
	size_t start = out->size;
	buffer_append_u8(out, FORMAT);
	buffer_append_u64(out, c->n);
	for (unsigned i = 0; i < c->n; i++) {
		const struct configuration_member *m = &c->members[i];
		buffer_append_u64(out, m->id);
		buffer_append(out, m->address, strlen(m->address) + 1);
		buffer_append_u8(out, (uint8_t)m->role);
	}
	while ((out->size - start) % 8)
		buffer_append_u8(out, 0);
}

struct configuration_member *configuration_find(struct configuration *c, uint64_t id)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->members[i].id == id)
			return &c->members[i];
	return NULL;
}

unsigned configuration_voters(const struct configuration *c)
{
	unsigned voters = 0;
	for (unsigned i = 0; i < c->n; i++)
		voters += c->members[i].role == MEMBER_VOTER;
	return voters;
}

static bool last_voter(const struct configuration *c, const struct configuration_member *m)
{
	return m->role == MEMBER_VOTER && configuration_voters(c) == 1;
}

int configuration_set(
    struct configuration *c, uint64_t id, const char *address, enum member_role role)
{
	struct configuration_member *m = configuration_find(c, id);
	if (!m)
		return member_add(c, id, address, role);
	if (strcmp(m->address, address) != 0 || role > MEMBER_SPARE)
		return -EINVAL;
	if (last_voter(c, m) && role != MEMBER_VOTER)
		return -EINVAL;
	m->role = role;
	return 0;
}

int configuration_remove(struct configuration *c, uint64_t id)
{
	struct configuration_member *m = configuration_find(c, id);
	if (!m || last_voter(c, m))
		return -EINVAL;
	memmove(m, m + 1, (size_t)(&c->members[c->n] - (m + 1)) * sizeof(*m));
	c->n--;
	return 0;
}
