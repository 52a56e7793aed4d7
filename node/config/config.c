#include "node/config/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/config/config_idle.h"
#include "node/config/config_key.h"
#include "node/config/config_problem.h"

const char *config_path(const char *path)
{
	if (path)
		return path;
	path = getenv("PVC_CONFIG_FILE");
	return path && *path ? path : CONFIG_PATH;
}

uint32_t config_node_number(const char *name)
{
	size_t end = strcspn(name, ".");
	size_t start = end;
	while (start > 0 && isdigit((unsigned char)name[start - 1]))
		start--;
	if (end - start > 9)
		return 0;
	return (uint32_t)strtoul(name + start, NULL, 10);
}

int config_own_address(const char *node, const struct config_network *network,
    const struct config_interface *interface, struct cidr *address)
{
	struct cidr net;
	if (!interface->address[0])
		return -ENOENT;
	if (strcmp(interface->address, "by-id") != 0)
		return cidr_parse(address, interface->address);
	if (cidr_parse(&net, network->network) < 0)
		return -ERANGE;
	return cidr_host(&net, config_node_number(node), address);
}

/* Where others reach this node: "HOST", and an IPv6 address in brackets. */
static void host_print(const struct config *c, char *text, size_t size)
{
	char own[CIDR_TEXT_MAX];
	struct cidr address;
	const char *host = c->node;
	if (c->raft.address[0]) {
		host = c->raft.address;
	} else if (config_own_address(c->node, &c->cluster.networks.cluster,
		       &c->system.configuration.networking.cluster, &address) == 0) {
		cidr_print_address(&address, own);
		host = own;
	}
	bool bare_ipv6 = strchr(host, ':') != NULL;
	snprintf(text, size, bare_ipv6 ? "[%s]" : "%s", host);
}

void config_peer(const struct config *c, char peer[CONFIG_PEER_MAX])
{
	char host[CONFIG_PEER_MAX - sizeof(":65535") + 1];
	host_print(c, host, sizeof(host));
	snprintf(peer, CONFIG_PEER_MAX, "%s:%u", host, c->raft.port);
}

void config_migration_uri(const struct config *c, char uri[CONFIG_MIGRATION_URI_MAX])
{
	char host[CONFIG_PEER_MAX];
	const char *given = c->system.migration.uri;
	bool sim = c->hypervisor.driver == CONFIG_HYPERVISOR_SIM;
	int size = 0;
	uri[0] = '\0';
	host_print(c, host, sizeof(host));
	if (given[0])
		size = snprintf(uri, CONFIG_MIGRATION_URI_MAX, "%s", given);
	else if (sim)
		size = snprintf(uri, CONFIG_MIGRATION_URI_MAX, "%s", c->hypervisor.uri);
	else if (strstr(c->hypervisor.uri, ":///system"))
		size = snprintf(uri, CONFIG_MIGRATION_URI_MAX, "qemu+tls://%s/system", host);
	/* Half of one would lead elsewhere. */
	if (size >= CONFIG_MIGRATION_URI_MAX)
		uri[0] = '\0';
}

uint32_t config_lease_ms(const struct config_raft *raft)
{
	return raft->lease_ms ? raft->lease_ms : raft->election_ms * 4 / 5;
}

bool config_secret_known(const char *secret)
{
	return *secret && strcmp(secret, CONFIG_SECRET_MASK) != 0;
}

/* node, when the file does not say: the host's name up to its first dot. */
static void node_default(struct config *c, struct config_problems *p)
{
	const struct config_key *key = config_file_keys()->keys();
	assert(!strcmp(key->name, "node"));
	const struct config_place *place = config_place_find(p, c->node, key);
	if (c->node[0] || (place && place->refused))
		return;
	char host[256] = "", expected[128];
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	const char *wanted = config_value_set(key, c->node, host, strlen(host), expected);
	if (wanted)
		config_problem(p, 1, 1, "'pvc.node' is missing, and the host's name '%s' is not %s",
		    host, wanted);
}

/* Simulated VMs, when the file does not say where, are gone after a reboot like
 * real ones. */
static void uri_default(struct config *c, struct config_problems *p)
{
	if (c->hypervisor.driver == CONFIG_HYPERVISOR_SIM &&
	    !config_place_find(p, c->hypervisor.uri, NULL))
		snprintf(c->hypervisor.uri, sizeof(c->hypervisor.uri), "%s/hypervisor_sim",
		    c->system.configuration.directories.dynamic_directory);
}

/* A witness has a vote and nothing else, whatever the file says. */
static void mode_settle(struct config *c)
{
	if (c->mode == MODE_WITNESS)
		c->functions = (struct config_functions){0};
}

/* Where each group around a key is, outermost first. */
struct trail {
	struct config_step groups[CONFIG_DEPTH_MAX];
	unsigned depth;
};

static void missing_problem(
    const struct trail *trail, const struct config_step *step, struct config_problems *p)
{
	struct buffer path = {0};
	const struct config_place *place = NULL;
	for (unsigned i = 0; i < step->depth; i++) {
		const struct config_step *group = &trail->groups[i];
		const struct config_step *inner = i + 1 < step->depth ? group + 1 : step;
		size_t skip = group->key->kind == CONFIG_LIST ? inner->item * group->key->size : 0;
		const struct config_place *here =
		    config_place_find(p, (char *)group->value + skip, group->key);
		place = here ? here : place;
		buffer_print(&path, "%s", group->key->name);
		if (group->key->kind == CONFIG_LIST)
			buffer_print(&path, "[%u]", inner->item);
		buffer_print(&path, ".");
	}
	buffer_print(&path, "%s", step->key->name);
	config_problem(p, place ? place->line : 1, place ? place->column : 1, "'%.*s' is missing",
	    (int)path.size, (const char *)path.data);
	buffer_close(&path);
}

/* Everything that must be given was given. */
static void missing_check(struct config *c, struct config_problems *p)
{
	struct config_walk w;
	struct config_step step;
	struct trail trail = {0};
	config_walk_begin(&w, config_file_keys(), c);
	while (config_walk_next(&w, &step)) {
		bool group = step.key->kind == CONFIG_PART || step.key->kind == CONFIG_LIST;
		if (group)
			trail.groups[step.depth] = step;
		bool text = step.key->kind == CONFIG_TEXT && !step.key->fallback;
		bool texts = step.key->kind == CONFIG_TEXTS && step.key->least;
		if (!text && !texts)
			continue;
		const struct config_place *place = config_place_find(p, step.value, step.key);
		bool empty = texts && *config_list_count(step.key, step.value) < step.key->least;
		if (!place)
			missing_problem(&trail, &step, p);
		else if (empty && !place->refused)
			config_problem(p, place->line, place->column,
			    "'%s' must have at least %u item", step.key->name, step.key->least);
	}
}

int config_parse(
    struct config *c, const char *file_name, const char *text, size_t size, struct buffer *problems)
{
	struct config_problems p = {0};
	memset(c, 0, sizeof(*c));
	config_record_init(config_file_keys(), c);
	if (size > CONFIG_BYTES_MAX)
		config_problem(&p, 1, 1, "larger than %u bytes", CONFIG_BYTES_MAX);
	else if (config_yaml_read(c, size ? text : "", size, &p))
		missing_check(c, &p);
	node_default(c, &p);
	uri_default(c, &p);
	config_rules_check(c, &p);
	mode_settle(c);
	int status = config_problems_print(&p, file_name, problems);
	config_problems_close(&p);
	return status;
}

static int file_read(const char *path, struct buffer *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	char part[16384];
	ssize_t got = 1;
	/* One byte too many is enough to see that there are too many. */
	while (got > 0 && text->size <= CONFIG_BYTES_MAX) {
		got = read(fd, part, sizeof(part));
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			buffer_append(text, part, (size_t)got);
	}
	int status = got < 0 ? -errno : 0;
	close(fd);
	return status;
}

int config_load(struct config *c, const char *path, struct buffer *problems)
{
	struct buffer text = {0};
	int status = file_read(path, &text);
	if (status < 0)
		buffer_print(problems, "%s: %s\n", path, strerror(-status));
	else
		status = config_parse(c, path, (const char *)text.data, text.size, problems);
	buffer_close(&text);
	return status;
}

static void indent_print(const struct config_step *step, struct buffer *out)
{
	unsigned indent = (step->depth + step->lists) * 2 - (step->item_first ? 2 : 0);
	buffer_print(out, "%*s%s", (int)indent, "", step->item_first ? "- " : "");
}

static void texts_print(const struct config_step *step, struct buffer *out)
{
	const char *text = step->value;
	unsigned count = *config_list_count(step->key, step->value);
	for (unsigned i = 0; i < count; i++, text += step->key->size) {
		buffer_print(out, "\n%*s- ", (int)(step->depth + step->lists + 1) * 2, "");
		config_value_print(step->key, text, out);
	}
}

static void step_print(const struct config_step *step, struct buffer *out)
{
	bool list = step->key->kind == CONFIG_LIST || step->key->kind == CONFIG_TEXTS;
	indent_print(step, out);
	buffer_print(out, "%s:", step->key->name);
	if (list && *config_list_count(step->key, step->value) == 0) {
		buffer_print(out, " []");
	} else if (step->key->kind == CONFIG_TEXTS) {
		texts_print(step, out);
	} else if (step->key->kind != CONFIG_PART && step->key->kind != CONFIG_LIST) {
		buffer_print(out, " ");
		config_value_print(step->key, step->value, out);
	}
	buffer_print(out, "\n");
}

void config_print(const struct config *c, struct buffer *out)
{
	struct config_walk w;
	struct config_step step;
	/* The walk serves writers, too; nothing is written here. */
	config_walk_begin(&w, config_file_keys(), (void *)c);
	while (config_walk_next(&w, &step))
		step_print(&step, out);
}

static void idle_print(void *data, const char *key)
{
	buffer_print(data, "# %s " CONFIG_IDLE_TEXT ".\n", key);
}

int config_check(const char *path)
{
	struct config *c = must_alloc(sizeof(*c));
	struct buffer problems = {0}, text = {0};
	int status = config_load(c, path, &problems);
	if (status == 0 && c->mode == MODE_WITNESS)
		buffer_print(&text,
		    "# %s is a witness: it votes, and runs no VMs, no networking, no storage,\n"
		    "# no API and no services; what is said of them here is not used there.\n",
		    c->node);
	if (status == 0) {
		config_idle_each(c, idle_print, &text);
		config_print(c, &text);
	}
	fwrite(problems.data, 1, problems.size, stderr);
	fwrite(text.data, 1, text.size, stdout);
	buffer_close(&problems);
	buffer_close(&text);
	free(c);
	return status == 0 && fflush(stdout) == 0 ? 0 : 2;
}
