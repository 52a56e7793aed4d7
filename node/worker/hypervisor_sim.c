/* A hypervisor that only says so. Each VM that "runs" is a file of its XML in a
 * directory, named by uuid: so VMs outlive the worker, as QEMU does, and to
 * remove the directory is to cut the power. Guests obey a shutdown at once. One
 * whose file is executable is paused (by the user), or in transit (by the group).
 *
 * A migration writes the file into another node's directory. As long as it goes
 * on there is a locked UUID.job beside the file, and to remove that is to abort. A
 * caller that is killed leaves a copy in transit and no lock, as a libvirtd would. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "node/worker/domain.h"
#include "node/worker/hypervisor.h"

struct hypervisor {
	char directory[PATH_MAX];
};

#define UUID_SIZE    36 /* as text */
#define MODE_RUNNING 0600
#define MODE_PAUSED  (MODE_RUNNING | S_IXUSR)
#define MODE_TRANSIT (MODE_RUNNING | S_IXGRP)
#define RATE_MIB_S   1024 /* of a migration without a limit */
#define STEP_MS	     20

struct job_name {
	char text[UUID_SIZE + sizeof(".job")];
};

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

static struct job_name job_name(const char *uuid)
{
	struct job_name name;
	snprintf(name.text, sizeof(name.text), "%.36s.job", uuid);
	return name;
}

/* The migration of a VM: all 0 when nobody works at one. */
static struct hypervisor_job job_read(int directory, const char *uuid)
{
	struct hypervisor_job job = {.active = false};
	int fd = openat(directory, job_name(uuid).text, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return job;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	bool locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	if (!locked || pread(fd, &job, sizeof(job), 0) != (ssize_t)sizeof(job))
		job = (struct hypervisor_job){.active = locked};
	close(fd);
	return job;
}

static enum vm_observed mode_observed(mode_t mode)
{
	if (mode & S_IXUSR)
		return OBSERVED_PAUSED;
	return mode & S_IXGRP ? OBSERVED_TRANSIT : OBSERVED_RUNNING;
}

/* The file's XML, to be freed, and what it says; NULL: gone meanwhile, or not ours. */
static char *sim_xml_read(int directory, const char *uuid, struct hypervisor_vm *vm)
{
	int fd = openat(directory, uuid, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	struct stat stat;
	char *xml = must_alloc(DOMAIN_SIZE_MAX + 1);
	ssize_t size = fstat(fd, &stat) < 0 ? -1 : read(fd, xml, DOMAIN_SIZE_MAX);
	close(fd);
	struct domain d;
	if (size < 0 || domain_read(xml, (size_t)size, &d, NULL) != 0) {
		free(xml);
		return NULL;
	}
	*vm = (struct hypervisor_vm){.observed = mode_observed(stat.st_mode),
	    .memory_mib = d.memory_mib,
	    .vcpus = d.vcpus,
	    .job = job_read(directory, uuid)};
	snprintf(vm->uuid, sizeof(vm->uuid), "%s", d.uuid);
	snprintf(vm->name, sizeof(vm->name), "%s", d.name);
	return xml;
}

static bool sim_vm_read(int directory, const char *uuid, struct hypervisor_vm *vm)
{
	char *xml = sim_xml_read(directory, uuid, vm);
	free(xml);
	return xml != NULL;
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
		if (strlen(e->d_name) == UUID_SIZE && sim_vm_read(fd, e->d_name, &vm))
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

/* The directory, or a negative errno. */
static int sim_vm_open(struct hypervisor *h, const char *uuid, struct err *err)
{
	if (strlen(uuid) != UUID_SIZE || strchr(uuid, '/'))
		return err_set(err, -EINVAL, "'%s' is no uuid", uuid);
	return sim_directory_open(h, err);
}

static int sim_result(const struct hypervisor *h, int rc, struct err *err)
{
	return rc == 0 ? 0 : err_set(err, rc, "%s: %s", h->directory, strerror(-rc));
}

static int sim_start(struct hypervisor *h, const char *uuid, const char *xml, struct err *err)
{
	int directory = sim_vm_open(h, uuid, err);
	if (directory < 0)
		return directory;
	/* A name that sim_list passes over, until the file is whole. */
	char unfinished[UUID_SIZE + sizeof(".new")];
	snprintf(unfinished, sizeof(unfinished), "%.36s.new", uuid);
	int rc = 0;
	if (faccessat(directory, uuid, F_OK, 0) < 0) {
		int fd = openat(
		    directory, unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, MODE_RUNNING);
		rc = fd < 0 ? -errno : file_fill(fd, xml);
		if (rc == 0 && renameat(directory, unfinished, directory, uuid) < 0)
			rc = -errno;
	}
	close(directory);
	return sim_result(h, rc, err);
}

static int sim_stop(struct hypervisor *h, const char *uuid, struct err *err)
{
	int directory = sim_vm_open(h, uuid, err);
	if (directory < 0)
		return directory;
	int rc = unlinkat(directory, uuid, 0) < 0 && errno != ENOENT ? -errno : 0;
	close(directory);
	return sim_result(h, rc, err);
}

/* Migration */

struct move {
	const struct hypervisor_migration *migration;
	const char *uuid;
	int source, target; /* directories */
	int job; /* the file */
	struct hypervisor_vm vm;
};

/* 0, or why it cannot go on. */
static int move_check(const struct move *move, struct err *err)
{
	struct stat job;
	if (fstat(move->job, &job) < 0 || job.st_nlink == 0)
		return err_set(err, -ECANCELED, "the migration was aborted");
	if (faccessat(move->source, move->uuid, F_OK, 0) < 0)
		return err_set(err, -ENOENT, "it ended while it was being moved");
	if (faccessat(move->target, move->uuid, F_OK, 0) < 0)
		return err_set(err, -EIO, "%.200s: the copy is gone", move->migration->uri);
	return 0;
}

static int move_copy(const struct move *move, struct err *err)
{
	uint64_t limit = move->migration->rate_mib_max;
	struct hypervisor_job job = {
	    .active = true,
	    .total_mib = move->vm.memory_mib,
	    .left_mib = move->vm.memory_mib,
	    .rate_mib_s = limit > 0 && limit < RATE_MIB_S ? limit : RATE_MIB_S,
	};
	struct timespec pause = {.tv_nsec = STEP_MS * 1000000L};
	int rc = 0;
	while (rc == 0 && job.left_mib > 0) {
		if (pwrite(move->job, &job, sizeof(job), 0) < 0)
			return err_set(err, -errno, "a file of its own: %s", strerror(errno));
		nanosleep(&pause, NULL);
		job.elapsed_ms += STEP_MS;
		uint64_t copied = job.elapsed_ms * job.rate_mib_s / 1000;
		job.left_mib = copied < job.total_mib ? job.total_mib - copied : 0;
		job.percent = (unsigned)((job.total_mib - job.left_mib) * 100 / job.total_mib);
		rc = move_check(move, err);
	}
	return rc;
}

/* Nothing runs from here on. */
static int move_switch(const struct move *move, struct err *err)
{
	if (fchmodat(move->source, move->uuid, MODE_TRANSIT, 0) < 0 ||
	    fchmodat(move->target, move->uuid, MODE_PAUSED, 0) < 0)
		return err_set(err, -errno, "to switch over: %s", strerror(errno));
	unlinkat(move->source, move->uuid, 0);
	return 0;
}

static int move_run(const struct move *move, const char *xml, struct err *err)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	int fd = openat(move->target, move->uuid, flags, MODE_RUNNING);
	if (fd < 0)
		return err_set(err, -errno, "%.200s: %s", move->migration->uri,
		    errno == EEXIST ? "it is there already" : strerror(errno));
	/* The umask has no say in it, and as long as it is empty it is no VM. */
	int rc = fchmod(fd, MODE_TRANSIT) < 0 ? -errno : 0;
	int filled = file_fill(fd, xml);
	rc = rc == 0 ? filled : rc;
	if (rc != 0)
		err_set(err, rc, "%.200s: %s", move->migration->uri, strerror(-rc));
	if (rc == 0)
		rc = move_copy(move, err);
	if (rc == 0)
		rc = move_switch(move, err);
	if (rc != 0)
		unlinkat(move->target, move->uuid, 0);
	return rc;
}

/* The job's file, locked until it is closed; or a negative errno. */
static int job_begin(int directory, const char *uuid, struct err *err)
{
	int fd = openat(directory, job_name(uuid).text, O_RDWR | O_CREAT | O_CLOEXEC, MODE_RUNNING);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return fd;
	int rc = err_set(err, -EBUSY, "it is being moved already");
	if (fd >= 0)
		close(fd);
	return rc;
}

static int move_begin(struct move *move, struct err *err)
{
	char *xml = sim_xml_read(move->source, move->uuid, &move->vm);
	if (!xml)
		return err_set(err, -ENOENT, "it does not run here");
	int rc = move->job = job_begin(move->source, move->uuid, err);
	if (rc >= 0) {
		rc = move_run(move, xml, err);
		unlinkat(move->source, job_name(move->uuid).text, 0);
		close(move->job);
	}
	free(xml);
	return rc;
}

/* The target is its directory, and one that is not there has no power. */
static int sim_migrate(
    struct hypervisor *h, const struct hypervisor_migration *migration, struct err *err)
{
	struct move move = {.migration = migration, .uuid = migration->uuid};
	move.source = sim_vm_open(h, migration->uuid, err);
	if (move.source < 0)
		return move.source;
	int rc;
	move.target = open(migration->uri, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (move.target < 0) {
		rc = err_set(err, -errno, "%.200s: %s", migration->uri, strerror(errno));
	} else {
		rc = move_begin(&move, err);
		close(move.target);
	}
	close(move.source);
	return rc;
}

static int sim_abort(struct hypervisor *h, const char *uuid, struct err *err)
{
	int directory = sim_vm_open(h, uuid, err);
	if (directory < 0)
		return directory;
	if (job_read(directory, uuid).active)
		unlinkat(directory, job_name(uuid).text, 0);
	close(directory);
	return 0;
}

static int file_resume(int directory, const char *uuid, struct err *err)
{
	struct stat stat;
	struct job_name job = job_name(uuid);
	if (fstatat(directory, uuid, &stat, 0) < 0)
		return err_set(err, -ENOENT, "it does not run here");
	enum vm_observed observed = mode_observed(stat.st_mode);
	/* What is in transit at the source has a job's file, and no lock when its end is unknown;
	 * what is in transit at the target is not whole. */
	bool left =
	    faccessat(directory, job.text, F_OK, 0) == 0 && !job_read(directory, uuid).active;
	if (observed == OBSERVED_TRANSIT && !left)
		return err_set(err, -EBUSY, "it is being moved");
	if (observed == OBSERVED_RUNNING)
		return 0;
	unlinkat(directory, job.text, 0);
	if (fchmodat(directory, uuid, MODE_RUNNING, 0) < 0)
		return err_set(err, -errno, "%s: %s", uuid, strerror(errno));
	return 0;
}

static int sim_resume(struct hypervisor *h, const char *uuid, struct err *err)
{
	int directory = sim_vm_open(h, uuid, err);
	if (directory < 0)
		return directory;
	int rc = file_resume(directory, uuid, err);
	close(directory);
	return rc;
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
    .migrate = sim_migrate,
    .abort = sim_abort,
    .resume = sim_resume,
    .validate = sim_validate,
};
