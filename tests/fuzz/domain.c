/* Any bytes: a domain that can be stored and started, or a refusal that says its line. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/worker/domain.h"
#include "node/worker/effective.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is started is the same domain, and making it of what was made changes nothing. */
static void effective_or_abort(const struct domain *d, const uint8_t *data, size_t size)
{
	struct domain effective;
	struct err err;
	struct buffer once = {0}, twice = {0};
	struct blob xml = {.data = (uint8_t *)data, .size = (uint32_t)size};
	if (domain_effective(&xml, "/var/log/libvirt", &once, &err) != 0)
		abort();
	/* With the log it may have grown past the limit. */
	if (once.size <= DOMAIN_SIZE_MAX) {
		xml = (struct blob){.data = once.data, .size = (uint32_t)once.size};
		if (domain_read((char *)once.data, once.size, &effective, &err) != 0 ||
		    strcmp(effective.name, d->name) != 0 || strcmp(effective.uuid, d->uuid) != 0 ||
		    domain_effective(&xml, "/var/log/libvirt", &twice, &err) != 0 ||
		    twice.size != once.size || memcmp(twice.data, once.data, once.size) != 0)
			abort();
	}
	buffer_close(&once);
	buffer_close(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct domain d;
	struct err err = {""};
	int rc = domain_read((const char *)data, size, &d, &err);
	if (rc == 0) {
		if (strlen(d.uuid) != 36 || d.name[0] == '\0' || d.memory_mib == 0 || d.vcpus == 0)
			abort();
		struct volume volume;
		for (unsigned i = 0; i < d.volumes.count; i++)
			if (volume_parse(&volume, d.volumes.names[i]) != 0)
				abort();
		if (d.volumes.count > VOLUMES_MAX)
			abort();
		effective_or_abort(&d, data, size);
	} else if (rc != -EINVAL || strncmp(err.text, "line ", 5) != 0) {
		abort();
	}
	return 0;
}
