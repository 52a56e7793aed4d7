#include "node/trust/trust_sign.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fsm/authority.h"

int trust_sign(const struct trust_signing *s, const char *request, size_t size,
    struct buffer *certificate, struct err *err)
{
	struct buffer ca = {0}, key = {0};
	struct identity_signing signing = {
	    .ca_certificate = &ca, .ca_key = &key, .identity = s->identity, .days = s->days};
	int result = identity_authority_get(s->files, s->fingerprint, &ca, &key);
	if (result || !key.size)
		result = err_set(err, -ENOKEY, "the key of the cluster's CA is not here");
	else
		result = identity_sign(&signing, request, size, certificate, err);
	identity_wipe(&key);
	buffer_close(&ca);
	return result;
}

int trust_request(const struct identity_files *files, struct identity *identity,
    struct buffer *request, struct err *err)
{
	const struct buffer *own = &files->certificate;
	int result = identity_read((const char *)own->data, own->size, identity, err);
	return result ? result : identity_request_make(&files->key, identity->name, request, err);
}

void trust_signer(const struct cluster *c, const struct identity_files *files,
    char fingerprint[IDENTITY_HEX_SIZE])
{
	const struct authority *active = authority_active(c);
	struct identity_authority list[IDENTITY_AUTHORITIES_MAX];
	const char *found = active ? active->fingerprint : "";
	unsigned n = active ? 0 : identity_authorities(files, list);
	for (unsigned i = 0; i < n; i++)
		if (list[i].signer)
			found = list[i].fingerprint;
	snprintf(fingerprint, IDENTITY_HEX_SIZE, "%.64s", found);
}

bool trust_signs(const struct cluster *c, const struct identity_files *files)
{
	struct identity_authority list[IDENTITY_AUTHORITIES_MAX];
	char fingerprint[IDENTITY_HEX_SIZE];
	unsigned n = identity_authorities(files, list);
	trust_signer(c, files, fingerprint);
	for (unsigned i = 0; i < n; i++)
		if (list[i].key && strcmp(list[i].fingerprint, fingerprint) == 0)
			return true;
	return false;
}
