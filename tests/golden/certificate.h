/* Whose a generated data directory is: a certificate alone. No key is kept anywhere, and the CA
 * is nobody's. Only the generators of tests/golden/ include it. */
#ifndef TESTS_GOLDEN_CERTIFICATE_H
#define TESTS_GOLDEN_CERTIFICATE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "raft/identity.h"

static inline void certificate_check(int result, const struct err *err)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s\n", err->text);
	exit(1);
}

static inline void certificate_write(const char *directory, const struct identity *who)
{
	struct identity_files files = {0};
	struct buffer request = {0};
	struct identity_signing signing = {.ca_certificate = &files.ca_certificate,
	    .ca_key = &files.ca_key,
	    .identity = *who,
	    .days = IDENTITY_NODE_DAYS};
	struct err err = {{0}};
	char path[4096];
	certificate_check(
	    identity_ca_make(who->cluster, &files.ca_certificate, &files.ca_key, &err), &err);
	certificate_check(identity_key_make(&files.key, &err), &err);
	certificate_check(identity_request_make(&files.key, who->name, &request, &err), &err);
	certificate_check(
	    identity_sign(&signing, (char *)request.data, request.size, &files.certificate, &err),
	    &err);
	snprintf(path, sizeof(path), "%s/identity", directory);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/identity/node.crt", directory);
	FILE *file = fopen(path, "we");
	if (!file || fwrite(files.certificate.data, 1, files.certificate.size, file) == 0 ||
	    fclose(file))
		exit(1);
	buffer_close(&request);
	identity_files_close(&files);
}

#endif
