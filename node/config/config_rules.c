#include <stdio.h>
#include <string.h>

#include "node/config/config_problem.h"

/* A network of the cluster and this node's own place on it. */
struct side {
	const char *name;
	const struct config_network *network;
	const struct config_interface *interface;
};
#define SIDES 3

static bool refused(const struct config_problems *p, const void *value)
{
	const struct config_place *place = config_place_find(p, value, NULL);
	return place && place->refused;
}

static void check_raft(const struct config_raft *raft, struct config_problems *p)
{
	if (refused(p, &raft->election_ms))
		return;
	/* A follower must be able to miss one heartbeat without calling an election. */
	if (!refused(p, &raft->heartbeat_ms) && raft->heartbeat_ms * 2 >= raft->election_ms)
		config_problem_at(p, &raft->heartbeat_ms,
		    "twice 'heartbeat_ms' (%u) must be less than 'election_ms' (%u)",
		    raft->heartbeat_ms, raft->election_ms);
	if (!refused(p, &raft->lease_ms) && raft->lease_ms >= raft->election_ms)
		config_problem_at(p, &raft->lease_ms,
		    "'lease_ms' (%u) must be less than 'election_ms' (%u): a leader must let go "
		    "before another can be elected",
		    raft->lease_ms, raft->election_ms);
	else if (!refused(p, &raft->lease_ms) && !refused(p, &raft->heartbeat_ms) &&
		 raft->lease_ms && raft->lease_ms <= raft->heartbeat_ms)
		config_problem_at(p, &raft->lease_ms,
		    "'lease_ms' (%u) must be more than 'heartbeat_ms' (%u), which renews it",
		    raft->lease_ms, raft->heartbeat_ms);
}

static void check_hypervisor(const struct config_hypervisor_port *port, struct config_problems *p)
{
	bool path = port->uri[0] == '/';
	if (refused(p, port->uri) || refused(p, &port->driver))
		return;
	if (port->driver == CONFIG_HYPERVISOR_SIM && !path)
		config_problem_at(p, port->uri,
		    "'uri' must be the absolute path of a directory with driver sim, not '%s'",
		    port->uri);
	if (port->driver == CONFIG_HYPERVISOR_LIBVIRT && path)
		config_problem_at(p, port->uri,
		    "'uri' must be a URI as qemu:///system with driver libvirt, not '%s'",
		    port->uri);
}

/* text is an address of the network, if both were given. */
static void check_inside(
    const char *key, const char *text, const char *network, struct config_problems *p)
{
	struct cidr net, address;
	if (cidr_parse(&net, network) < 0)
		return;
	if (cidr_parse(&address, text) < 0 && cidr_parse_address(&address, text) < 0)
		return;
	if (!cidr_is_host(&net, &address))
		config_problem_at(
		    p, text, "'%s' %s is no address in the network %s", key, text, network);
}

static void check_by_id(const char *node, const struct side *side, struct config_problems *p)
{
	struct cidr address;
	const char *text = side->interface->address;
	if (strcmp(text, "by-id") != 0 || refused(p, side->network->network))
		return;
	if (!side->network->network[0])
		config_problem_at(
		    p, text, "by-id needs 'network' of cluster.networks.%s", side->name);
	else if (!config_node_number(node))
		config_problem_at(p, text,
		    "by-id needs a node name that ends with a number: '%s' does not", node);
	else if (config_own_address(node, side->network, side->interface, &address) < 0)
		config_problem_at(p, text, "by-id: the network %s has no address number %u",
		    side->network->network, config_node_number(node));
}

static void check_side(const char *node, const struct side *side, struct config_problems *p)
{
	const struct config_network *network = side->network;
	check_inside("floating_ip", network->floating_ip, network->network, p);
	check_inside("gateway", network->gateway, network->network, p);
	check_inside("address", side->interface->address, network->network, p);
	check_by_id(node, side, p);
	if (network->floating_ip[0] && !side->interface->device[0] &&
	    !refused(p, side->interface->device))
		config_problem_at(p, network->floating_ip,
		    "'floating_ip' needs 'device' of system.configuration.networking.%s",
		    side->name);
}

/* A floating address moves: it must be neither this node's own nor a second
 * network's. */
static void check_apart(const struct config *c, const struct side *floats, const struct side *other,
    struct config_problems *p)
{
	struct cidr floating, address;
	const char *text = floats->network->floating_ip;
	if (cidr_parse(&floating, text) < 0)
		return;
	if (config_own_address(c->node, other->network, other->interface, &address) == 0 &&
	    cidr_same_address(&floating, &address))
		config_problem_at(p, text, "'floating_ip' %s is this node's own address on %s",
		    text, other->name);
	if (other < floats && cidr_parse(&address, other->network->floating_ip) == 0 &&
	    cidr_same_address(&floating, &address))
		config_problem_at(
		    p, text, "'floating_ip' %s is that of %s, too", text, other->name);
}

static void check_networks(const struct config *c, struct config_problems *p)
{
	const struct config_networks *networks = &c->cluster.networks;
	const struct config_networking *own = &c->system.configuration.networking;
	const struct side sides[SIDES] = {
	    {"upstream", &networks->upstream, &own->upstream},
	    {"cluster", &networks->cluster, &own->cluster},
	    {"storage", &networks->storage, &own->storage},
	};
	for (int i = 0; i < SIDES; i++)
		check_side(c->node, &sides[i], p);
	for (int i = 0; i < SIDES; i++)
		for (int k = 0; k < SIDES; k++)
			check_apart(c, &sides[i], &sides[k], p);
}

/* No two items of a list have the same name. name is that of the first item. */
static void check_unique(
    const char *name, size_t item_size, unsigned count, struct config_problems *p)
{
	for (unsigned i = 1; i < count; i++)
		for (unsigned k = 0; k < i; k++)
			if (name[i * item_size] &&
			    !strcmp(name + i * item_size, name + k * item_size)) {
				config_problem_at(p, name + i * item_size, "'%s' is listed twice",
				    name + i * item_size);
				break;
			}
}

static void check_mode(const struct config *c, struct config_problems *p)
{
	for (unsigned i = 0; i < c->cluster.coordinators_count && c->mode == MODE_WITNESS; i++)
		if (!strcmp(c->cluster.coordinators[i], c->node) && !refused(p, &c->mode))
			config_problem_at(p, &c->mode,
			    "%s cannot be a witness and one of 'cluster.coordinators'", c->node);
}

void config_rules_check(const struct config *c, struct config_problems *p)
{
	const struct config_networking *own = &c->system.configuration.networking;
	check_mode(c, p);
	check_raft(&c->raft, p);
	check_hypervisor(&c->hypervisor, p);
	check_networks(c, p);
	check_unique(c->cluster.coordinators[0], sizeof(c->cluster.coordinators[0]),
	    c->cluster.coordinators_count, p);
	check_unique(c->services[0].name, sizeof(c->services[0]), c->services_count, p);
	check_unique(
	    own->sriov_device[0].phy, sizeof(own->sriov_device[0]), own->sriov_device_count, p);
}
