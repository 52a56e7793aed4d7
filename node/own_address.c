#include "node/own_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>

static bool cidr_of(const struct sockaddr *from, struct cidr *to)
{
	*to = (struct cidr){0};
	if (from && from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;
		memcpy(to->address, &in->sin_addr, 4);
	} else if (from && from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)from;
		memcpy(to->address, &in->sin6_addr, 16);
	} else {
		return false;
	}
	to->family = from->sa_family;
	return true;
}

static bool is_loopback(const struct cidr *c)
{
	return c->family == AF_INET ? c->address[0] == 127
				    : !memcmp(c->address, &in6addr_loopback, 16);
}

static bool is_link_local(const struct cidr *c)
{
	if (c->family == AF_INET)
		return c->address[0] == 169 && c->address[1] == 254;
	return c->address[0] == 0xfe && (c->address[1] & 0xc0) == 0x80;
}

static bool is_floating(const struct config *config, const struct cidr *c)
{
	const struct config_networks *networks = &config->cluster.networks;
	const char *floating[] = {networks->upstream.floating_ip, networks->cluster.floating_ip,
	    networks->storage.floating_ip};
	for (unsigned i = 0; i < 3; i++) {
		struct cidr other;
		if (!cidr_parse(&other, floating[i]) && cidr_same_address(&other, c))
			return true;
	}
	return false;
}

static bool is_configured(const struct config *config, const struct cidr *c)
{
	const struct config_networks *networks = &config->cluster.networks;
	const struct config_networking *own = &config->system.configuration.networking;
	struct cidr other;
	if (!config_own_address(config->node, &networks->storage, &own->storage, &other) &&
	    cidr_same_address(&other, c))
		return true;
	return !config_own_address(config->node, &networks->cluster, &own->cluster, &other) &&
	       cidr_same_address(&other, c);
}

/* It may be on two interfaces; what there is no room for is left out. */
static void add(char text[OWN_ADDRESSES_MAX], const struct cidr *c)
{
	char address[CIDR_TEXT_MAX];
	size_t used = strlen(text);
	cidr_print_address(c, address);
	size_t size = strlen(address);
	for (const char *at = strstr(text, address); at; at = strstr(at + 1, address))
		if ((at == text || at[-1] == ' ') && (at[size] == ' ' || !at[size]))
			return;
	if (used + 1 + size < OWN_ADDRESSES_MAX)
		snprintf(text + used, OWN_ADDRESSES_MAX - used, "%s%s", used ? " " : "", address);
}

void own_addresses_of(
    const struct ifaddrs *interfaces, const struct config *config, char text[OWN_ADDRESSES_MAX])
{
	struct cidr c;
	text[0] = '\0';
	for (const struct ifaddrs *i = interfaces; i; i = i->ifa_next)
		if (cidr_of(i->ifa_addr, &c) && is_configured(config, &c) &&
		    !is_floating(config, &c))
			add(text, &c);
	for (const struct ifaddrs *i = interfaces; i; i = i->ifa_next)
		if (cidr_of(i->ifa_addr, &c) && !is_loopback(&c) && !is_link_local(&c) &&
		    !is_floating(config, &c))
			add(text, &c);
}

int own_addresses(const struct config *config, char text[OWN_ADDRESSES_MAX])
{
	struct ifaddrs *interfaces;
	text[0] = '\0';
	if (getifaddrs(&interfaces))
		return -errno;
	own_addresses_of(interfaces, config, text);
	freeifaddrs(interfaces);
	return 0;
}
