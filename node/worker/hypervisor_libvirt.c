/* libvirt, opened at run time: a node without it starts and says so.
 *
 * VMs are transient domains. The cluster's value has the XML; a definition that
 * libvirt kept beside it could only be an older one, and one that stayed behind
 * on a node that lost the VM would invite somebody to start it there again.
 *
 * Calls have no time-out of their own (a libvirtd that is stopped, or "cannot
 * acquire state change lock", lasts for ever): the worker's parent has one. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "node/worker/hypervisor.h"

#define LIBVIRT(X)                                                                                 \
	X(virConnectClose)                                                                         \
	X(virConnectDomainXMLToNative)                                                             \
	X(virConnectIsAlive)                                                                       \
	X(virConnectListAllDomains)                                                                \
	X(virConnectOpen)                                                                          \
	X(virDomainCreateXML)                                                                      \
	X(virDomainDefineXMLFlags)                                                                 \
	X(virDomainDestroy)                                                                        \
	X(virDomainFree)                                                                           \
	X(virDomainGetInfo)                                                                        \
	X(virDomainAbortJob)                                                                       \
	X(virDomainGetControlInfo)                                                                 \
	X(virDomainGetJobStats)                                                                    \
	X(virDomainGetName)                                                                        \
	X(virDomainGetState)                                                                       \
	X(virDomainGetUUIDString)                                                                  \
	X(virDomainLookupByUUIDString)                                                             \
	X(virDomainMigrateSetMaxDowntime)                                                          \
	X(virDomainMigrateToURI3)                                                                  \
	X(virDomainResume)                                                                         \
	X(virDomainShutdownFlags)                                                                  \
	X(virDomainUndefine)                                                                       \
	X(virEventAddTimeout)                                                                      \
	X(virEventRegisterDefaultImpl)                                                             \
	X(virEventRunDefaultImpl)                                                                  \
	X(virGetLastError)                                                                         \
	X(virInitialize)                                                                           \
	X(virResetLastError)                                                                       \
	X(virSetErrorFunc)                                                                         \
	X(virTypedParamsAddString)                                                                 \
	X(virTypedParamsAddULLong)                                                                 \
	X(virTypedParamsFree)                                                                      \
	X(virTypedParamsGetInt)                                                                    \
	X(virTypedParamsGetULLong)

#define FUNCTION(name) __typeof__(&name) name;
static struct {
	LIBVIRT(FUNCTION)
	bool loaded;
} lib;

#define BUSY_MS_MAX 1000 /* a call to QEMU that takes longer may take for ever */

struct hypervisor {
	virConnectPtr connection; /* NULL: lost */
	char *uri;
};

static void on_error(void *data, virErrorPtr error)
{
	/* Without this every error is also printed to stderr. */
}

static void on_tick(int timer, void *data)
{
}

static void *events_run(void *data)
{
	for (;;)
		lib.virEventRunDefaultImpl();
	return NULL;
}

/* The embedded driver refuses to open without an event loop, and a remote
 * connection notices with it at once that its libvirtd has gone. */
static int events_start(struct err *err)
{
	pthread_t thread;
	if (lib.virEventRegisterDefaultImpl() < 0)
		return err_set(err, -EIO, "libvirt has no event loop");
	/* A loop with nothing to wait for would return at once, again and again. */
	lib.virEventAddTimeout(1000, on_tick, NULL, NULL);
	int rc = pthread_create(&thread, NULL, events_run, NULL);
	if (rc != 0)
		return err_set(err, -rc, "thread for libvirt's events: %s", strerror(rc));
	pthread_detach(thread);
	return 0;
}

static int library_load(struct err *err)
{
	if (lib.loaded)
		return 0;
	/* What goes wrong comes back as an error; libvirt would print it as well, and of its
	 * embedded driver a few lines at each start. Whoever looks for a fault in libvirt
	 * itself sets this for the daemon. */
	setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
	void *handle = dlopen("libvirt.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return err_set(err, -ENOSYS, "libvirt is not installed (%s)", dlerror());
#define RESOLVE(name)                                                                              \
	*(void **)&lib.name = dlsym(handle, #name);                                                \
	if (!lib.name)                                                                             \
		return err_set(err, -ENOSYS, "libvirt.so.0 is too old: no %s", #name);
	LIBVIRT(RESOLVE)
	lib.virSetErrorFunc(NULL, on_error);
	if (lib.virInitialize() < 0)
		return err_set(err, -EIO, "libvirt does not initialize");
	int rc = events_start(err);
	lib.loaded = rc == 0;
	return rc;
}

/* One line: libvirt's texts have several when it quotes XML. */
static void text_flatten(char *text)
{
	size_t size = strlen(text);
	while (size > 0 && strchr("\n\r\t ", text[size - 1]))
		text[--size] = '\0';
	for (; *text; text++) {
		if ((unsigned char)*text < ' ')
			*text = ' ';
	}
}

/* QEMU that gets no memory for its guest says so on its stderr, which libvirt quotes in an error
 * of its own that has no number for it. */
static bool text_is_memory(const char *text)
{
	return strstr(text, "cannot set up guest memory") || strstr(text, "Cannot allocate memory");
}

/* The last error as err, and as the errno that is nearest to it. */
static int libvirt_err(struct err *err)
{
	virErrorPtr error = lib.virGetLastError();
	if (!error)
		return err_set(err, -EIO, "libvirt failed and does not say why");
	static const struct {
		int code, number;
	} known[] = {
	    {VIR_ERR_NO_DOMAIN, -ENOENT},
	    {VIR_ERR_XML_ERROR, -EINVAL},
	    {VIR_ERR_XML_DETAIL, -EINVAL},
	    {VIR_ERR_XML_INVALID_SCHEMA, -EINVAL},
	    {VIR_ERR_CONFIG_UNSUPPORTED, -EINVAL},
	    {VIR_ERR_OPERATION_INVALID, -EBUSY},
	    {VIR_ERR_OPERATION_TIMEOUT, -ETIMEDOUT},
	    {VIR_ERR_NO_MEMORY, -ENOMEM},
	    {VIR_ERR_OPERATION_ABORTED, -ECANCELED},
	};
	int number = -EIO;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].code == error->code)
			number = known[i].number;
	}
	const char *message = error->message ? error->message : "libvirt failed";
	if (text_is_memory(message))
		number = -ENOMEM;
	err_set(err, number, "%s", message);
	if (err)
		text_flatten(err->text);
	return number;
}

/* The embedded driver's own root */

/* What a libvirt without its daemons around it needs; an existing file is the user's. */
static const char embed_conf[] =
    "# Written by pvc because there was none; it is yours to change.\n"
    "# There is no virtlogd here: QEMU's output goes straight to files.\n"
    "stdio_handler = \"file\"\n"
    "# Cgroups and mount namespaces belong to whoever manages the machine.\n"
    "cgroup_controllers = []\n"
    "namespaces = []\n"
    "security_driver = \"none\"\n";

/* Only root can choose; as another user than the one that probes /dev/kvm, libvirt
 * forgets what it knows of QEMU at each start, which costs seconds. */
static const char embed_conf_root[] = "user = \"root\"\n"
				      "group = \"root\"\n"
				      "dynamic_ownership = 0\n"
				      "remember_owner = 0\n";

static int directories_make(char *path, struct err *err)
{
	for (char *slash = path + 1;; slash++) {
		char was = *slash;
		if (was != '/' && was != '\0')
			continue;
		*slash = '\0';
		int made = mkdir(path, 0755);
		*slash = was;
		if (made < 0 && errno != EEXIST)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
		if (was == '\0')
			return 0;
	}
}

static int embed_conf_write(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	int used = dprintf(fd, "%s%s", embed_conf, geteuid() == 0 ? embed_conf_root : "");
	if (close(fd) < 0 || used < 0) {
		unlink(path);
		return err_set(err, -EIO, "%s: cannot be written", path);
	}
	return 0;
}

/* The DIR of qemu:///embed?root=DIR, NULL for other URIs. */
static const char *embed_root(const char *uri)
{
	const char *embed = strstr(uri, ":///embed?root=");
	return embed ? strchr(embed, '=') + 1 : NULL;
}

/* Make the root what the driver wants. Other URIs: nothing. */
static int embed_prepare(const char *uri, struct err *err)
{
	const char *root = embed_root(uri);
	if (!root)
		return 0;
	if (*root != '/' || strchr(root, '&') || strchr(root, '%'))
		return err_set(err, -EINVAL, "%s: root must be a whole plain path", uri);
	struct buffer path = {0};
	buffer_print(&path, "%s/etc", root);
	buffer_append_u8(&path, 0);
	int rc = directories_make((char *)path.data, err);
	path.size--;
	buffer_print(&path, "/qemu.conf");
	buffer_append_u8(&path, 0);
	if (rc == 0)
		rc = embed_conf_write((char *)path.data, err);
	buffer_close(&path);
	return rc;
}

/* Connections */

/* libvirtd may have been restarted since the last call. */
static int connection_renew(struct hypervisor *h, struct err *err)
{
	if (h->connection && lib.virConnectIsAlive(h->connection) == 1)
		return 0;
	if (h->connection)
		lib.virConnectClose(h->connection);
	lib.virResetLastError();
	h->connection = lib.virConnectOpen(h->uri);
	return h->connection ? 0 : err_wrap(err, libvirt_err(err), "%s", h->uri);
}

static void libvirt_close(struct hypervisor *h)
{
	if (h->connection)
		lib.virConnectClose(h->connection);
	free(h->uri);
	free(h);
}

static int libvirt_open(struct hypervisor **out, const char *uri, struct err *err)
{
	int rc = library_load(err);
	if (rc == 0)
		rc = embed_prepare(uri, err);
	if (rc != 0)
		return rc;
	struct hypervisor *h = must_alloc(sizeof(*h));
	h->uri = must_alloc(strlen(uri) + 1);
	memcpy(h->uri, uri, strlen(uri));
	rc = connection_renew(h, err);
	if (rc == 0) {
		*out = h;
		return 0;
	}
	libvirt_close(h);
	/* The embedded driver's state is one for the process: once it has failed to start,
	 * say because the root's last user still holds it, every later try fails as well. */
	return embed_root(uri) ? -ENOTRECOVERABLE : rc;
}

/* Domains */

/* What two libvirtd 9.0 say while a VM is copied with VIR_MIGRATE_PAUSED. The source: RUNNING, then
 * for the last instants PAUSED by MIGRATION; that stays when it cannot know the end, and libvirt
 * then leaves the decision to others. The target: PAUSED by STARTING_UP, then by MIGRATION; once
 * all is there PAUSED by USER, which also outlives libvirtd. A usual start is STARTING_UP, too. */
static enum vm_observed paused_observed(int reason)
{
	switch (reason) {
	case VIR_DOMAIN_PAUSED_MIGRATION:
	case VIR_DOMAIN_PAUSED_STARTING_UP:
	case VIR_DOMAIN_PAUSED_POSTCOPY:
	case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
		return OBSERVED_TRANSIT;
	default:
		return OBSERVED_PAUSED;
	}
}

static enum vm_observed state_observed(int state, int reason)
{
	switch (state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED:
	case VIR_DOMAIN_SHUTDOWN: /* on its way, but QEMU is still there */
		return OBSERVED_RUNNING;
	case VIR_DOMAIN_PAUSED:
		return paused_observed(reason);
	case VIR_DOMAIN_PMSUSPENDED:
		return OBSERVED_PAUSED;
	case VIR_DOMAIN_SHUTOFF:
		return OBSERVED_SHUTOFF;
	case VIR_DOMAIN_CRASHED:
		return OBSERVED_CRASHED;
	default:
		return OBSERVED_UNOBSERVABLE;
	}
}

/* Whoever asks for a job waits for whatever else is asked of the same QEMU, and one that hangs
 * would hold up the look at all VMs: it is left alone. */
static bool domain_answers(virDomainPtr domain)
{
	virDomainControlInfo control;
	if (lib.virDomainGetControlInfo(domain, &control, 0) < 0)
		return false;
	return control.state == VIR_DOMAIN_CONTROL_OK ||
	       (control.state != VIR_DOMAIN_CONTROL_ERROR && control.stateTime < BUSY_MS_MAX);
}

static uint64_t job_number(virTypedParameterPtr params, int n, const char *name)
{
	unsigned long long number = 0;
	lib.virTypedParamsGetULLong(params, n, name, &number);
	return number;
}

static void job_fill(struct hypervisor_job *job, virTypedParameterPtr params, int n)
{
	uint64_t total = job_number(params, n, VIR_DOMAIN_JOB_MEMORY_TOTAL);
	/* Before the first round it counts what is left in whole pages, and has more than all. */
	uint64_t remaining = job_number(params, n, VIR_DOMAIN_JOB_MEMORY_REMAINING);
	uint64_t left = remaining < total ? remaining : total;
	uint64_t downtime_ms = job_number(params, n, VIR_DOMAIN_JOB_DOWNTIME);
	job->active = true;
	job->total_mib = total >> 20;
	job->left_mib = (left >> 20) + (left % (1u << 20) > 0);
	job->rate_mib_s = job_number(params, n, VIR_DOMAIN_JOB_MEMORY_BPS) >> 20;
	job->elapsed_ms = job_number(params, n, VIR_DOMAIN_JOB_TIME_ELAPSED);
	job->percent = left < total ? (unsigned)((total - left) / (total / 100 + 1)) : 0;
	job->downtime_ms = downtime_ms < UINT_MAX ? (unsigned)downtime_ms : UINT_MAX;
}

/* Does libvirt do something with it that has an end? *job: when that is a migration from here.
 * A copy that arrives is such a thing, too, and to be asked of it is an error to libvirt. */
static bool domain_has_job(virDomainPtr domain, struct hypervisor_job *job)
{
	virTypedParameterPtr params = NULL;
	int n = 0, type = VIR_DOMAIN_JOB_NONE, operation = 0;
	if (lib.virDomainGetJobStats(domain, &type, &params, &n, 0) < 0)
		return true;
	lib.virTypedParamsGetInt(params, n, VIR_DOMAIN_JOB_OPERATION, &operation);
	if (type != VIR_DOMAIN_JOB_NONE && operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)
		job_fill(job, params, n);
	lib.virTypedParamsFree(params, n);
	return type != VIR_DOMAIN_JOB_NONE;
}

/* Of one that is busy, or that ends just now, nothing is known; not so of a copy that arrives. */
static void job_look(virDomainPtr domain, struct hypervisor_job *job)
{
	lib.virResetLastError();
	if (!domain_answers(domain)) {
		job->unknown = true;
	} else if (domain_has_job(domain, job) && !job->active) {
		virErrorPtr error = lib.virGetLastError();
		job->unknown = error && error->code != VIR_ERR_OK &&
			       error->code != VIR_ERR_OPERATION_UNSUPPORTED;
	}
}

/* 0, or -ENOENT when it has vanished since it was listed. */
static int domain_describe(virDomainPtr domain, struct hypervisor_vm *vm)
{
	*vm = (struct hypervisor_vm){.observed = OBSERVED_UNOBSERVABLE};
	const char *name = lib.virDomainGetName(domain);
	if (!name || lib.virDomainGetUUIDString(domain, vm->uuid) < 0)
		return -ENOENT;
	snprintf(vm->name, sizeof(vm->name), "%.63s", name);
	virDomainInfo info;
	int state, reason;
	lib.virResetLastError();
	if (lib.virDomainGetInfo(domain, &info) < 0 ||
	    lib.virDomainGetState(domain, &state, &reason, 0) < 0) {
		/* It is there, and nobody can say how it is. */
		return libvirt_err(NULL) == -ENOENT ? -ENOENT : 0;
	}
	vm->observed = state_observed(state, reason);
	vm->memory_mib = (info.maxMem + 1023) / 1024;
	vm->vcpus = info.nrVirtCpu;
	bool starting = state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_STARTING_UP;
	if (state == VIR_DOMAIN_SHUTOFF || starting)
		return 0;
	/* The state after the job: one that stands still without a job does so for good, and not
	 * because its migration has just ended. */
	job_look(domain, &vm->job);
	if (lib.virDomainGetState(domain, &state, &reason, 0) < 0)
		return -ENOENT;
	vm->observed = state_observed(state, reason);
	return 0;
}

static int libvirt_list(
    struct hypervisor *h, struct hypervisor_vm **vms, unsigned *n, struct err *err)
{
	int rc = connection_renew(h, err);
	if (rc != 0)
		return rc;
	virDomainPtr *domains;
	int count = lib.virConnectListAllDomains(h->connection, &domains, 0);
	if (count < 0)
		return libvirt_err(err);
	*vms = must_alloc((size_t)count * sizeof(**vms));
	*n = 0;
	for (int i = 0; i < count; i++) {
		if (domain_describe(domains[i], &(*vms)[*n]) == 0)
			(*n)++;
		lib.virDomainFree(domains[i]);
	}
	free(domains);
	return 0;
}

/* The domain's state, a virDomainState; -ENOENT and no err when there is no such domain.
 * *domain is to be freed on 0 or more. */
static int domain_find(
    struct hypervisor *h, const char *uuid, virDomainPtr *domain, struct err *err)
{
	int rc = connection_renew(h, err);
	if (rc != 0)
		return rc;
	lib.virResetLastError();
	*domain = lib.virDomainLookupByUUIDString(h->connection, uuid);
	if (!*domain)
		return libvirt_err(err);
	int state = VIR_DOMAIN_NOSTATE;
	if (lib.virDomainGetState(*domain, &state, NULL, 0) < 0) {
		rc = libvirt_err(err);
		lib.virDomainFree(*domain);
		return rc;
	}
	return state;
}

static int domain_create(struct hypervisor *h, const char *uuid, const char *xml, struct err *err)
{
	lib.virResetLastError();
	virDomainPtr domain = lib.virDomainCreateXML(h->connection, xml, VIR_DOMAIN_START_VALIDATE);
	if (domain) {
		lib.virDomainFree(domain);
		return 0;
	}
	int rc = libvirt_err(err);
	/* Somebody else may have started it since we looked. */
	if (rc != -EBUSY)
		return rc;
	int state = domain_find(h, uuid, &domain, NULL);
	if (state < 0)
		return rc;
	lib.virDomainFree(domain);
	return state == VIR_DOMAIN_SHUTOFF ? rc : 0;
}

static int libvirt_start(struct hypervisor *h, const char *uuid, const char *xml, struct err *err)
{
	virDomainPtr domain;
	int state = domain_find(h, uuid, &domain, err);
	if (state == -ENOENT)
		return domain_create(h, uuid, xml, err);
	if (state < 0)
		return state;
	lib.virDomainFree(domain);
	/* One that somebody defined here keeps its definition; it runs from our XML. */
	if (state == VIR_DOMAIN_SHUTOFF)
		return domain_create(h, uuid, xml, err);
	if (state == VIR_DOMAIN_CRASHED)
		return err_set(err, -EBUSY, "it has crashed and is kept: stop it first");
	return 0;
}

/* What a call to a domain that goes away meanwhile, or is off, comes to. */
static int ended_or_err(struct hypervisor *h, const char *uuid, struct err *err)
{
	int rc = libvirt_err(err);
	virDomainPtr domain;
	int state = domain_find(h, uuid, &domain, NULL);
	if (state >= 0)
		lib.virDomainFree(domain);
	return state == -ENOENT || state == VIR_DOMAIN_SHUTOFF ? 0 : rc;
}

static int libvirt_shutdown(struct hypervisor *h, const char *uuid, struct err *err)
{
	virDomainPtr domain;
	int state = domain_find(h, uuid, &domain, err);
	if (state < 0)
		return state == -ENOENT ? 0 : state;
	int rc = 0;
	/* The button and not the guest's agent, which may be asked and never answer. */
	if (state != VIR_DOMAIN_SHUTOFF &&
	    lib.virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) < 0)
		rc = ended_or_err(h, uuid, err);
	lib.virDomainFree(domain);
	return rc;
}

static int libvirt_stop(struct hypervisor *h, const char *uuid, struct err *err)
{
	virDomainPtr domain;
	int state = domain_find(h, uuid, &domain, err);
	if (state < 0)
		return state == -ENOENT ? 0 : state;
	int rc = 0;
	/* Sends SIGTERM, so that QEMU flushes its disks, and SIGKILL ten seconds later; the
	 * graceful variant would give up there. */
	if (state != VIR_DOMAIN_SHUTOFF && lib.virDomainDestroy(domain) < 0)
		rc = ended_or_err(h, uuid, err);
	lib.virDomainFree(domain);
	return rc;
}

/* Migration */

/* The target's libvirtd is told by ours (peer to peer), so it goes on when we are gone. The copy
 * stays paused; and as the domain is transient, nothing stays behind here. Should the guest write
 * faster than it is copied, QEMU slows it down bit by bit. */
#define MIGRATE_FLAGS                                                                              \
	(VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PAUSED |                           \
	    VIR_MIGRATE_ABORT_ON_ERROR | VIR_MIGRATE_AUTO_CONVERGE)

struct parameters {
	virTypedParameterPtr list;
	int n, room;
};

/* The memory goes to the very address that the target's libvirtd is reached at: left to itself
 * libvirt would take the target's host name, wherever that leads. */
static int add_memory_uri(struct parameters *p, const char *uri)
{
	const char *host = strstr(uri, "://");
	if (!host)
		return 0;
	host += strlen("://");
	size_t size = strcspn(host, "/?");
	const char *user = memchr(host, '@', size);
	if (user) {
		size -= (size_t)(user + 1 - host);
		host = user + 1;
	}
	/* Without its port, but not without a part of "[fd00::1]". */
	size_t bracket = *host == '[' ? strcspn(host, "]") : 0;
	const char *colon = bracket < size ? memchr(host + bracket, ':', size - bracket) : NULL;
	if (colon)
		size = (size_t)(colon - host);
	if (size == 0)
		return 0;
	struct buffer text = {0};
	buffer_print(&text, "tcp://%.*s", (int)size, host);
	buffer_append_u8(&text, 0);
	int rc = lib.virTypedParamsAddString(
	    &p->list, &p->n, &p->room, VIR_MIGRATE_PARAM_URI, (const char *)text.data);
	buffer_close(&text);
	return rc;
}

static int add_parameters(struct parameters *p, const struct hypervisor_migration *migration)
{
	int rc = add_memory_uri(p, migration->uri);
	if (rc == 0 && migration->rate_mib_max > 0)
		rc = lib.virTypedParamsAddULLong(&p->list, &p->n, &p->room,
		    VIR_MIGRATE_PARAM_BANDWIDTH, migration->rate_mib_max);
	return rc;
}

static int domain_migrate(
    virDomainPtr domain, const struct hypervisor_migration *migration, struct err *err)
{
	struct parameters p = {.n = 0};
	unsigned flags = MIGRATE_FLAGS | (migration->tls ? VIR_MIGRATE_TLS : 0);
	lib.virResetLastError();
	/* Holds for the migrations to come as well, and may be set before. */
	if (lib.virDomainMigrateSetMaxDowntime(domain, migration->downtime_ms_max, 0) < 0)
		return err_wrap(err, libvirt_err(err), "maximum down time");
	int rc = add_parameters(&p, migration);
	if (rc == 0)
		rc = lib.virDomainMigrateToURI3(
		    domain, migration->uri, p.list, (unsigned)p.n, flags);
	if (rc < 0)
		rc = libvirt_err(err);
	lib.virTypedParamsFree(p.list, p.n);
	return rc;
}

static int libvirt_migrate(
    struct hypervisor *h, const struct hypervisor_migration *migration, struct err *err)
{
	/* It could send, but nobody could send back to it. */
	if (embed_root(h->uri))
		return err_set(err, -EOPNOTSUPP,
		    "a libvirt that is embedded (%.100s) has no live migration", h->uri);
	virDomainPtr domain;
	int state = domain_find(h, migration->uuid, &domain, err);
	if (state < 0)
		return state;
	int rc = domain_migrate(domain, migration, err);
	/* Our libvirtd died: that is no word about the domain, which may have arrived. */
	if (rc < 0 && lib.virConnectIsAlive(h->connection) != 1)
		rc = -EPIPE;
	lib.virDomainFree(domain);
	return rc;
}

static int libvirt_abort(struct hypervisor *h, const char *uuid, struct err *err)
{
	virDomainPtr domain;
	int state = domain_find(h, uuid, &domain, err);
	if (state < 0)
		return state == -ENOENT ? 0 : state;
	int rc = 0;
	struct hypervisor_job job = {.active = false};
	if (state != VIR_DOMAIN_SHUTOFF)
		domain_has_job(domain, &job);
	if (job.active && lib.virDomainAbortJob(domain) < 0) {
		rc = ended_or_err(h, uuid, err);
		/* It may have ended by itself just now. */
		if (rc != 0 && !domain_has_job(domain, &job))
			rc = 0;
	}
	lib.virDomainFree(domain);
	return rc;
}

static int domain_resume(virDomainPtr domain, struct err *err)
{
	int state, reason;
	struct hypervisor_job job;
	if (lib.virDomainGetState(domain, &state, &reason, 0) < 0)
		return libvirt_err(err);
	if (state == VIR_DOMAIN_SHUTOFF)
		return err_set(err, -ENOENT, "it does not run here");
	if (state != VIR_DOMAIN_PAUSED && state != VIR_DOMAIN_PMSUSPENDED)
		return 0;
	/* libvirt would not refuse: it would wait for the end of the copying, and then let the
	 * CPUs run, whoever owns the VM by then. */
	if (paused_observed(reason) == OBSERVED_TRANSIT &&
	    (reason == VIR_DOMAIN_PAUSED_STARTING_UP || domain_has_job(domain, &job)))
		return err_set(err, -EBUSY, "it is being started or moved");
	return lib.virDomainResume(domain) < 0 ? libvirt_err(err) : 0;
}

static int libvirt_resume(struct hypervisor *h, const char *uuid, struct err *err)
{
	virDomainPtr domain;
	int state = domain_find(h, uuid, &domain, err);
	if (state < 0)
		return state;
	int rc = domain_resume(domain, err);
	lib.virDomainFree(domain);
	return rc;
}

/* Against libvirt's schema, without defining anything: libvirt has no call for that, but
 * its driver "test", which lives in this process and forgets all of it, looks at the schema
 * before anything else. What it says beyond that is about another hypervisor. */
static int schema_check(const char *xml, struct err *err)
{
	virConnectPtr test = lib.virConnectOpen("test:///default");
	if (!test)
		return 0;
	int rc = 0;
	lib.virResetLastError();
	virDomainPtr domain = lib.virDomainDefineXMLFlags(test, xml, VIR_DOMAIN_DEFINE_VALIDATE);
	virErrorPtr error = lib.virGetLastError();
	if (!domain && error && error->code == VIR_ERR_XML_INVALID_SCHEMA)
		rc = libvirt_err(err);
	if (domain) {
		lib.virDomainUndefine(domain);
		lib.virDomainFree(domain);
	}
	lib.virConnectClose(test);
	return rc;
}

static int libvirt_validate(struct hypervisor *h, const char *xml, struct err *err)
{
	int rc = connection_renew(h, err);
	if (rc == 0)
		rc = schema_check(xml, err);
	if (rc != 0)
		return rc;
	/* Goes all the way to QEMU's command line, and starts nothing. */
	lib.virResetLastError();
	char *native = lib.virConnectDomainXMLToNative(h->connection, "qemu-argv", xml, 0);
	if (!native)
		return libvirt_err(err);
	free(native);
	return 0;
}

const struct hypervisor_port hypervisor_libvirt = {
    .name = "libvirt",
    .open = libvirt_open,
    .close = libvirt_close,
    .list = libvirt_list,
    .start = libvirt_start,
    .shutdown = libvirt_shutdown,
    .stop = libvirt_stop,
    .migrate = libvirt_migrate,
    .abort = libvirt_abort,
    .resume = libvirt_resume,
    .validate = libvirt_validate,
};
