#include "node/member/found.h"

#include <stdio.h>

#include "fsm/schema.h"

#define FOUND_TIMEOUT_MS 5000

void found_propose(const struct config *config, const struct identity_files *files,
    const struct identity *identity, struct ledger *ledger)
{
	struct command command = {.number = COMMAND_found, .found = {.schema = SCHEMA_MAX}};
	struct command_found *found = &command.found;
	struct err err;
	char peer[CONFIG_PEER_MAX];
	config_peer(config, peer);
	snprintf(found->name, sizeof(found->name), "%s", config->cluster.name);
	snprintf(found->uuid, sizeof(found->uuid), "%s", identity->cluster);
	snprintf(found->node, sizeof(found->node), "%s", identity->name);
	snprintf(found->address, sizeof(found->address), "%.127s", peer);
	if (!identity_incarnation((const char *)files->certificate.data, files->certificate.size,
		found->incarnation, &err))
		ledger_propose(ledger, &command, FOUND_TIMEOUT_MS, NULL, NULL);
}
