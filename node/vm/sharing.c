#include "node/vm/sharing.h"

#include <stddef.h>
#include <string.h>

#include "node/worker/domain.h"

/* Most have none, and to read the XML of all of them takes long. */
static bool may_have(const struct vm *vm, const struct volumes *volumes)
{
	for (unsigned i = 0; i < volumes->count; i++) {
		const char *name = volumes->names[i];
		/* In XML it may be written otherwise. */
		if (name[strcspn(name, "&<>'\"")] ||
		    memmem(vm->xml.data, vm->xml.size, name, strlen(name)))
			return true;
	}
	return false;
}

static const char *common_volume(const struct vm *vm, const struct volumes *volumes)
{
	struct domain domain;
	if (domain_read((const char *)vm->xml.data, vm->xml.size, &domain, NULL))
		return NULL;
	for (unsigned i = 0; i < volumes->count; i++)
		for (unsigned k = 0; k < domain.volumes.count; k++)
			if (!strcmp(volumes->names[i], domain.volumes.names[k]))
				return volumes->names[i];
	return NULL;
}

const struct vm *sharing_find(const struct sharing *s, const char **volume)
{
	cluster_each(s->cluster->vms, struct vm, other)
	{
		if (other == s->vm || !s->counts(s->data, other) || !may_have(other, s->volumes))
			continue;
		*volume = common_volume(other, s->volumes);
		if (*volume)
			return other;
	}
	return NULL;
}
