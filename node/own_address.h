/* The addresses that are this machine's own: where its programs, such as a QEMU
 * with a disk in the pool, may be seen to come from.
 *
 * Never a floating address, which goes to another machine, nor one that many
 * machines have: loopback, unless it is configured to be the node's address on
 * the cluster or storage network, and link-local ones. */
#ifndef NODE_OWN_ADDRESS_H
#define NODE_OWN_ADDRESS_H

#include "node/config/config.h"

#define OWN_ADDRESSES_MAX 512

struct ifaddrs;

/* Those of interfaces, with a blank between them; what is configured comes first, the rest as long
 * as there is room. */
void own_addresses_of(
    const struct ifaddrs *interfaces, const struct config *config, char text[OWN_ADDRESSES_MAX]);

/* The same of this machine, as it is now. Returns 0 or -errno, and then text is "". */
int own_addresses(const struct config *config, char text[OWN_ADDRESSES_MAX]);

#endif
