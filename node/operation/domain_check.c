#include "node/operation/domain_check.h"

#include <errno.h>
#include <string.h>

#include "fsm/node.h"
#include "node/guess.h"

/* -ENOENT with "line 9: there is no pool vsm (did you mean 'vms'?)". */
static int missing(
    const struct guess *guess, const struct domain_name *name, const char *what, struct err *err)
{
	err_set(err, 0, "line %u: %s %.64s", name->line, what, name->text);
	if (err)
		guess_append(guess, err->text, sizeof(err->text));
	return -ENOENT;
}

static int check_pool(const struct cluster *c, const struct domain_name *name, struct err *err)
{
	struct guess guess = guess_of(name->text);
	cluster_each(c->pools, struct ceph_pool, pool)
	{
		if (!strcmp(pool->name, name->text))
			return 0;
		guess_offer(&guess, pool->name);
	}
	return missing(&guess, name, "there is no pool", err);
}

/* Any node's: the VM may come to all. Where nobody said what bridges there are, each is good. */
static int check_bridge(const struct cluster *c, const struct domain_name *name, struct err *err)
{
	struct guess guess = guess_of(name->text);
	bool known = false;
	cluster_each(c->nodes, struct node, node)
	{
		const struct keepalive *k = node_keepalive(node);
		for (uint32_t i = 0; k && i < k->bridges.count; i++) {
			if (!strcmp(k->bridges.items[i].name, name->text))
				return 0;
			guess_offer(&guess, k->bridges.items[i].name);
			known = true;
		}
	}
	return known ? missing(&guess, name, "no node has the bridge", err) : 0;
}

static int check_identity(
    const struct cluster *c, uint32_t self, const struct domain *domain, struct err *err)
{
	const struct vm *vm = cluster_vm_named(c, domain->name);
	if (vm && vm->id != self)
		return err_set(err, -EEXIST, "line %u: there is a VM %s already", domain->name_line,
		    domain->name);
	vm = cluster_vm_named(c, domain->uuid);
	if (vm && vm->id != self)
		return err_set(err, -EEXIST, "line %u: the VM %s has the UUID %s already",
		    domain->uuid_line, vm->name, domain->uuid);
	return 0;
}

/* The address of a <mac> that begins at text; false: it has none. */
static bool mac_at(const char *text, const char *end, uint8_t bytes[6])
{
	char address[18];
	const char *close = memchr(text, '>', (size_t)(end - text));
	const char *at = close ? memmem(text, (size_t)(close - text), "address", 7) : NULL;
	while (at && at < close && *at != '\'' && *at != '"')
		at++;
	if (!at || at == close)
		return false;
	const char *last = memchr(at + 1, *at, (size_t)(close - at - 1));
	size_t length = last ? (size_t)(last - at - 1) : sizeof(address);
	if (length >= sizeof(address))
		return false;
	memcpy(address, at + 1, length);
	address[length] = '\0';
	return !domain_mac_parse(address, bytes);
}

/* The first of the domain's that stands in this XML, too; NULL: none. The text is searched, for it
 * is that of all VMs, one after the other: what looks like an address may be a comment. */
static const struct domain_mac *find_mac(const struct blob *xml, const struct domain *domain)
{
	const char *at = (const char *)xml->data, *end = at + xml->size;
	while (at && at < end && (at = memmem(at, (size_t)(end - at), "<mac", 4))) {
		uint8_t bytes[6];
		bool there = mac_at(at, end, bytes);
		for (unsigned i = 0; there && i < domain->macs_count; i++)
			if (!memcmp(domain->macs[i].bytes, bytes, sizeof(bytes)))
				return &domain->macs[i];
		at += 4;
	}
	return NULL;
}

/* Of those that look alike the XML is read. */
static bool has_mac(const struct vm *vm, const struct domain_mac *mac)
{
	struct domain theirs;
	if (domain_read((const char *)vm->xml.data, vm->xml.size, &theirs, NULL))
		return false;
	for (unsigned i = 0; i < theirs.macs_count; i++)
		if (!memcmp(theirs.macs[i].bytes, mac->bytes, sizeof(mac->bytes)))
			return true;
	return false;
}

static int check_macs(
    const struct cluster *c, uint32_t self, const struct domain *domain, struct err *err)
{
	if (!domain->macs_count)
		return 0;
	cluster_each(c->vms, struct vm, vm)
	{
		const struct domain_mac *mac = vm->id == self ? NULL : find_mac(&vm->xml, domain);
		if (!mac || !has_mac(vm, mac))
			continue;
		const uint8_t *b = mac->bytes;
		return err_set(err, -EEXIST,
		    "line %u: the VM %s has the MAC address %02x:%02x:%02x:%02x:%02x:%02x already",
		    mac->line, vm->name, b[0], b[1], b[2], b[3], b[4], b[5]);
	}
	return 0;
}

int domain_check(
    const struct cluster *c, uint32_t self, const struct domain *domain, struct err *err)
{
	int result = check_identity(c, self, domain, err);
	/* Without Ceph, or before anybody has reported its pools, none is known. */
	for (unsigned i = 0; !result && c->pools.count && i < domain->pools.count; i++)
		result = check_pool(c, &domain->pools.items[i], err);
	for (unsigned i = 0; !result && i < domain->bridges.count; i++)
		result = check_bridge(c, &domain->bridges.items[i], err);
	return result ? result : check_macs(c, self, domain, err);
}
