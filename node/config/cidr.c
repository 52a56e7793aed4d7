#include "node/config/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned family_bytes(int family)
{
	return family == AF_INET ? 4 : 16;
}

int cidr_parse_address(struct cidr *c, const char *text)
{
	*c = (struct cidr){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
	if (inet_pton(c->family, text, c->address) != 1)
		return -EINVAL;
	c->prefix = family_bytes(c->family) * 8;
	return 0;
}

int cidr_parse(struct cidr *c, const char *text)
{
	const char *slash = strchr(text, '/');
	char address[CIDR_TEXT_MAX];
	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	size_t digits = strlen(slash + 1);
	if (digits < 1 || digits > 3 || strspn(slash + 1, "0123456789") != digits)
		return -EINVAL;
	unsigned long prefix = strtoul(slash + 1, NULL, 10);
	if (cidr_parse_address(c, address) < 0 || prefix > c->prefix)
		return -EINVAL;
	c->prefix = (unsigned)prefix;
	return 0;
}

void cidr_print_address(const struct cidr *c, char *text)
{
	if (!inet_ntop(c->family, c->address, text, CIDR_TEXT_MAX))
		text[0] = '\0';
}

void cidr_print(const struct cidr *c, char *text)
{
	char address[CIDR_TEXT_MAX];
	cidr_print_address(c, address);
	snprintf(text, CIDR_TEXT_MAX, "%.50s/%u", address, c->prefix);
}

static bool bit_at(const struct cidr *c, unsigned bit)
{
	return c->address[bit / 8] >> (7 - bit % 8) & 1;
}

/* All bits behind the prefix have this value; true when there is none. */
static bool rest_is(const struct cidr *c, unsigned prefix, unsigned value)
{
	for (unsigned bit = prefix; bit < family_bytes(c->family) * 8; bit++)
		if (bit_at(c, bit) != value)
			return false;
	return true;
}

bool cidr_is_network(const struct cidr *c)
{
	return rest_is(c, c->prefix, 0);
}

static bool network_has(const struct cidr *network, const struct cidr *c)
{
	if (network->family != c->family)
		return false;
	for (unsigned bit = 0; bit < network->prefix; bit++)
		if (bit_at(network, bit) != bit_at(c, bit))
			return false;
	return true;
}

bool cidr_is_host(const struct cidr *network, const struct cidr *c)
{
	if (!network_has(network, c))
		return false;
	/* A network of one or two addresses has neither its own nor a broadcast
	 * address (RFC 3021, RFC 6164); IPv6 has no broadcast at all. */
	unsigned host_bits = family_bytes(c->family) * 8 - network->prefix;
	if (host_bits < 2)
		return true;
	if (rest_is(c, network->prefix, 0))
		return false;
	return c->family == AF_INET6 || !rest_is(c, network->prefix, 1);
}

bool cidr_same_address(const struct cidr *a, const struct cidr *b)
{
	return a->family == b->family && !memcmp(a->address, b->address, family_bytes(a->family));
}

int cidr_host(const struct cidr *network, uint32_t number, struct cidr *host)
{
	*host = *network;
	uint64_t carry = number;
	for (unsigned i = family_bytes(network->family); i-- > 0 && carry;) {
		carry += host->address[i];
		host->address[i] = (uint8_t)carry;
		carry >>= 8;
	}
	return number && !carry && cidr_is_host(network, host) ? 0 : -ERANGE;
}
