/* An IP address with the length of its network's prefix: "10.0.0.1/24".
 *
 * Pure arithmetic on numeric addresses: nothing is ever looked up by name. */
#ifndef NODE_CONFIG_CIDR_H
#define NODE_CONFIG_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#define CIDR_TEXT_MAX 64

struct cidr {
	int family; /* AF_INET or AF_INET6 */
	uint8_t address[16]; /* network byte order; 4 or 16 bytes of it are used */
	unsigned prefix; /* bits */
};

/* "ADDRESS/BITS". Returns 0 or -EINVAL. */
int cidr_parse(struct cidr *c, const char *text);

/* "ADDRESS" alone; its prefix is all of it. Returns 0 or -EINVAL. */
int cidr_parse_address(struct cidr *c, const char *text);

/* "ADDRESS/BITS", and "ADDRESS" alone, into text of CIDR_TEXT_MAX. */
void cidr_print(const struct cidr *c, char *text);
void cidr_print_address(const struct cidr *c, char *text);

/* Has no bit set behind its prefix, as the name of a network must. */
bool cidr_is_network(const struct cidr *c);

/* Can be given to a machine in the network: inside, and neither the network
 * itself nor its broadcast address. */
bool cidr_is_host(const struct cidr *network, const struct cidr *c);

/* The same address, whatever the prefixes. */
bool cidr_same_address(const struct cidr *a, const struct cidr *b);

/* The number-th address of a network, counted from 1, with its prefix.
 * Returns 0, or -ERANGE when the network is not that large. */
int cidr_host(const struct cidr *network, uint32_t number, struct cidr *host);

#endif
