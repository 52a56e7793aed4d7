#include "storage/ceph_dl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#define CEPH_DL_NAME "librados.so.2"

const struct ceph_dl *ceph_dl_open(struct err *err)
{
	static struct ceph_dl dl;
	static bool loaded;
	if (loaded)
		return &dl;
	void *handle = dlopen(CEPH_DL_NAME, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		err_set(err, -ENOSYS, "Ceph's library is not installed (%s)", dlerror());
		return NULL;
	}
#define RESOLVE(name)                                                                              \
	*(void **)&dl.name = dlsym(handle, #name);                                                 \
	if (!dl.name) {                                                                            \
		err_set(err, -ENOSYS, CEPH_DL_NAME " is too old: no %s", #name);                   \
		dlclose(handle);                                                                   \
		return NULL;                                                                       \
	}
	CEPH_DL(RESOLVE)
#undef RESOLVE
	loaded = true;
	return &dl;
}
