/* Any bytes: a domain that can be stored, or a refusal that says its line. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/worker/domain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	} else if (rc != -EINVAL || strncmp(err.text, "line ", 5) != 0) {
		abort();
	}
	return 0;
}
