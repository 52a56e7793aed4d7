/* The hypervisor's worker, in the child: requests become calls of the port. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/worker/domain.h"
#include "node/worker/hypervisor.h"
#include "node/worker/hypervisor_wire.h"
#include "node/worker/worker_main.h"

struct role {
	const struct hypervisor_port *port;
	struct hypervisor *hypervisor;
};

static const struct hypervisor_port *const ports[] = {&hypervisor_libvirt, &hypervisor_sim};

/* argument: "DRIVER:URI" */
static int role_open(void **state, const char *argument, struct err *err)
{
	const char *colon = strchr(argument, ':');
	size_t size = colon ? (size_t)(colon - argument) : strlen(argument);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (strlen(ports[i]->name) != size || memcmp(ports[i]->name, argument, size) != 0)
			continue;
		struct hypervisor *h;
		int rc = ports[i]->open(&h, colon ? colon + 1 : "", err);
		if (rc != 0)
			return rc;
		struct role *role = must_alloc(sizeof(*role));
		*role = (struct role){.port = ports[i], .hypervisor = h};
		*state = role;
		return 0;
	}
	return err_set(err, -EINVAL, "no hypervisor driver '%.*s'", (int)size, argument);
}

static int serve_list(const struct role *role, struct buffer *answer, struct err *err)
{
	struct hypervisor_vm *vms;
	unsigned n;
	int rc = role->port->list(role->hypervisor, &vms, &n, err);
	if (rc != 0)
		return rc;
	hypervisor_vms_encode(answer, vms, n);
	free(vms);
	return 0;
}

/* A VM that would start under another uuid than the cluster's would never be recognized. */
static int serve_start(const struct role *role, const struct hypervisor_call *call, struct err *err)
{
	struct domain d;
	int rc = domain_read(call->xml, strlen(call->xml), &d, err);
	if (rc != 0)
		return rc;
	if (strcmp(d.uuid, call->uuid) != 0)
		return err_set(
		    err, -EINVAL, "the XML has uuid %s, the VM is %s", d.uuid, call->uuid);
	return role->port->start(role->hypervisor, call->uuid, call->xml, err);
}

static int serve_migrate(
    const struct role *role, const struct hypervisor_call *call, struct err *err)
{
	struct hypervisor_migration migration = {
	    .uuid = call->uuid,
	    .uri = call->uri,
	    .downtime_ms_max = call->downtime_ms_max,
	    .rate_mib_max = call->rate_mib_max,
	    .tls = call->tls,
	};
	return role->port->migrate(role->hypervisor, &migration, err);
}

static int role_dispatch(const struct role *role, const struct hypervisor_call *call,
    struct buffer *answer, struct err *err)
{
	switch (call->op) {
	case HYPERVISOR_list:
		return serve_list(role, answer, err);
	case HYPERVISOR_start:
		return serve_start(role, call, err);
	case HYPERVISOR_shutdown:
		return role->port->shutdown(role->hypervisor, call->uuid, err);
	case HYPERVISOR_stop:
		return role->port->stop(role->hypervisor, call->uuid, err);
	case HYPERVISOR_migrate:
		return serve_migrate(role, call, err);
	case HYPERVISOR_abort:
		return role->port->abort(role->hypervisor, call->uuid, err);
	case HYPERVISOR_resume:
		return role->port->resume(role->hypervisor, call->uuid, err);
	case HYPERVISOR_validate:
		return role->port->validate(role->hypervisor, call->xml, err);
	case HYPERVISOR_OPS:
		break;
	}
	return err_set(err, -EPROTO, "no such operation");
}

static int role_serve(void *state, struct reader *request, struct buffer *answer, struct err *err)
{
	struct hypervisor_call call;
	int rc = hypervisor_call_decode(request, &call);
	if (rc == 0)
		rc = role_dispatch(state, &call, answer, err);
	else
		err_set(err, rc, "a request that is none");
	hypervisor_call_close(&call);
	return rc;
}

const struct worker_role hypervisor_role = {
    .name = "hypervisor", .open = role_open, .serve = role_serve};
