/* A hypervisor that only says so. Each VM that "runs" is a file of its XML in a
 * directory, named by uuid: so VMs outlive the worker, as QEMU does, and to
 * remove the directory is to cut the power. Guests obey a shutdown at once. One
 * whose file is executable is paused. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "node/worker/domain.h"
#include "node/worker/hypervisor.h"

struct hypervisor {
	char directory[PATH_MAX];
};

#define UUID_SIZE 36 /* as text */

/* The directory is made again when it is gone: after a power cut comes a boot. */
static int sim_directory_open(const struct hypervisor *h, struct err *err)
{
	if (mkdir(h->directory, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", h->directory, strerror(errno));
	int fd = open(h->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : err_set(err, -errno, "%s: %s", h->directory, strerror(errno));
}

static int sim_open(struct hypervisor **out, const char *uri, struct err *err)
{
	if (*uri != '/' || strlen(uri) >= sizeof((*out)->directory))
		return err_set(err, -EINVAL,
		    "the uri of the simulated hypervisor is a directory's whole path, not '%s'",
		    uri);
	struct hypervisor *h = must_alloc(sizeof(*h));
	snprintf(h->directory, sizeof(h->directory), "%s", uri);
	int fd = sim_directory_open(h, err);
	if (fd < 0) {
		free(h);
		return fd;
	}
	close(fd);
	*out = h;
	return 0;
}

static void sim_close(struct hypervisor *h)
{
	free(h);
}

/* 0, or a negative errno: gone meanwhile, or not ours. */
static int sim_vm_read(int directory, const char *uuid, struct hypervisor_vm *vm)
{
	int fd = openat(directory, uuid, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct stat stat;
	char *xml = must_alloc(DOMAIN_SIZE_MAX);
	ssize_t size = fstat(fd, &stat) < 0 ? -1 : read(fd, xml, DOMAIN_SIZE_MAX);
	close(fd);
	struct domain d;
	int rc = size < 0 ? -EIO : domain_read(xml, (size_t)size, &d, NULL);
	free(xml);
	if (rc != 0)
		return rc;
	*vm = (struct hypervisor_vm){
	    .observed = stat.st_mode & S_IXUSR ? OBSERVED_PAUSED : OBSERVED_RUNNING,
	    .memory_mib = d.memory_mib,
	    .vcpus = d.vcpus};
	snprintf(vm->uuid, sizeof(vm->uuid), "%s", d.uuid);
	snprintf(vm->name, sizeof(vm->name), "%s", d.name);
	return 0;
}

static int sim_list(struct hypervisor *h, struct hypervisor_vm **vms, unsigned *n, struct err *err)
{
	int fd = sim_directory_open(h, err);
	if (fd < 0)
		return fd;
	DIR *directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return err_set(err, -ENOMEM, "%s: cannot be listed", h->directory);
	}
	struct buffer found = {0};
	struct hypervisor_vm vm;
	for (struct dirent *e = readdir(directory); e; e = readdir(directory)) {
		if (strlen(e->d_name) == UUID_SIZE && sim_vm_read(fd, e->d_name, &vm) == 0)
			buffer_append(&found, &vm, sizeof(vm));
	}
	closedir(directory);
	*n = (unsigned)(found.size / sizeof(vm));
	*vms = found.data ? (void *)found.data : must_alloc(0);
	return 0;
}

static int file_fill(int fd, const char *text)
{
	size_t size = strlen(text);
	ssize_t n = write(fd, text, size);
	int error = n < 0 ? -errno : (size_t)n < size ? -ENOSPC : 0;
	return close(fd) < 0 && error == 0 ? -errno : error;
}

static int sim_start(struct hypervisor *h, const char *uuid, const char *xml, struct err *err)
{
	if (strlen(uuid) != UUID_SIZE || strchr(uuid, '/'))
		return err_set(err, -EINVAL, "'%s' is no uuid", uuid);
	int directory = sim_directory_open(h, err);
	if (directory < 0)
		return directory;
	/* A name that sim_list passes over, until the file is whole. */
	static const char unfinished[] = "unfinished";
	int fd = openat(directory, unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : file_fill(fd, xml);
	if (rc == 0 && renameat(directory, unfinished, directory, uuid) < 0)
		rc = -errno;
	close(directory);
	return rc == 0 ? 0 : err_set(err, rc, "%s: %s", h->directory, strerror(-rc));
}

static int sim_stop(struct hypervisor *h, const char *uuid, struct err *err)
{
	if (strlen(uuid) != UUID_SIZE || strchr(uuid, '/'))
		return err_set(err, -EINVAL, "'%s' is no uuid", uuid);
	int directory = sim_directory_open(h, err);
	if (directory < 0)
		return directory;
	int rc = unlinkat(directory, uuid, 0) < 0 && errno != ENOENT ? -errno : 0;
	close(directory);
	return rc == 0 ? 0 : err_set(err, rc, "%s: %s", h->directory, strerror(-rc));
}

static int sim_validate(struct hypervisor *h, const char *xml, struct err *err)
{
	struct domain d;
	return domain_read(xml, strlen(xml), &d, err);
}

const struct hypervisor_port hypervisor_sim = {
    .name = "sim",
    .open = sim_open,
    .close = sim_close,
    .list = sim_list,
    .start = sim_start,
    .shutdown = sim_stop,
    .stop = sim_stop,
    .validate = sim_validate,
};
