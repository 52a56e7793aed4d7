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
	};
	int number = -EIO;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].code == error->code)
			number = known[i].number;
	}
	err_set(err, number, "%s", error->message ? error->message : "libvirt failed");
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

static enum vm_observed state_observed(int state)
{
	switch (state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED:
	case VIR_DOMAIN_SHUTDOWN: /* on its way, but QEMU is still there */
		return OBSERVED_RUNNING;
	case VIR_DOMAIN_PAUSED:
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

/* 0, or -ENOENT when it has vanished since it was listed. */
static int domain_describe(virDomainPtr domain, struct hypervisor_vm *vm)
{
	*vm = (struct hypervisor_vm){.observed = OBSERVED_UNOBSERVABLE};
	const char *name = lib.virDomainGetName(domain);
	if (!name || lib.virDomainGetUUIDString(domain, vm->uuid) < 0)
		return -ENOENT;
	snprintf(vm->name, sizeof(vm->name), "%.63s", name);
	virDomainInfo info;
	lib.virResetLastError();
	if (lib.virDomainGetInfo(domain, &info) < 0) {
		/* It is there, and nobody can say how it is. */
		return libvirt_err(NULL) == -ENOENT ? -ENOENT : 0;
	}
	vm->observed = state_observed(info.state);
	vm->memory_mib = (info.maxMem + 1023) / 1024;
	vm->vcpus = info.nrVirtCpu;
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
    .validate = libvirt_validate,
};
