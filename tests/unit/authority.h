/* A cluster's CA and certificates of it, for tests. */
#ifndef TESTS_UNIT_AUTHORITY_H
#define TESTS_UNIT_AUTHORITY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft/identity.h"

struct issuer {
	char cluster[IDENTITY_UUID_SIZE];
	struct buffer certificate, key;
	char fingerprint[IDENTITY_HEX_SIZE];
};

static inline void authority_check(int rv, const struct err *err)
{
	if (rv >= 0)
		return;
	fprintf(stderr, "%s\n", err->text);
	abort();
}

static inline void authority_open(struct issuer *a)
{
	struct err err = {""};
	*a = (struct issuer){0};
	identity_uuid(a->cluster);
	authority_check(identity_ca_make(a->cluster, &a->certificate, &a->key, &err), &err);
	authority_check(identity_fingerprint(
			    (char *)a->certificate.data, a->certificate.size, a->fingerprint, &err),
	    &err);
}

static inline void authority_close(struct issuer *a)
{
	buffer_close(&a->certificate);
	buffer_close(&a->key);
}

/* Files of a node that the authority lets in; a cluster other than its own can be named. */
static inline struct identity_files authority_admit(
    const struct issuer *a, uint64_t id, const char *cluster, int days)
{
	struct err err = {""};
	struct identity_files files = {0};
	struct buffer request = {0};
	struct identity_signing signing = {&a->certificate, &a->key, {.id = id}, days};
	snprintf(signing.identity.cluster, sizeof(signing.identity.cluster), "%s", cluster);
	snprintf(signing.identity.name, sizeof(signing.identity.name), "node%u", (unsigned)id);
	buffer_append(&files.ca_certificate, a->certificate.data, a->certificate.size);
	authority_check(identity_key_make(&files.key, &err), &err);
	authority_check(identity_request_make(&files.key, "whoever", &request, &err), &err);
	authority_check(
	    identity_sign(&signing, (char *)request.data, request.size, &files.certificate, &err),
	    &err);
	buffer_close(&request);
	return files;
}

#endif
