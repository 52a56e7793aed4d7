/* Floating addresses by rtnetlink; ARP and neighbour discovery by packet socket.
 *
 * An address is put on with the prefix it is configured with and a finite valid
 * lifetime. Measured on Linux 6.18 on a busy machine (24 times a lifetime of 2 s, at any
 * phase of the second): the kernel takes it off 2.02 to 2.10 s after the last
 * renewal for IPv4, 2.04 to 2.28 s for IPv6; never early.
 *
 * The node's own choice of a source address must not change. An IPv4 address
 * beside the node's own of the same subnet becomes a secondary one, which is
 * never chosen; an IPv6 address has a preferred lifetime of 0 (deprecated), so
 * that it answers but is not chosen while there is another. IPv6 goes without
 * duplicate address detection, which would take a second: the guard has asked.
 *
 * Everything is kept open once it was opened, and nothing here waits longer
 * than the kernel's own netlink lock. */
#include "node/primary/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "node/config/cidr.h"

#define LISTENERS_MAX	 16
#define ANSWER_WAIT_MS	 500
#define DUMP_TRIES	 5
#define SAME_ADDRESS_MAX 4 /* one address with several prefixes on one device */

#define ICMPV6		       58
#define NEIGHBOUR_SOLICITATION 135
#define NEIGHBOUR_ADVERTISMENT 136

struct target { /* an address and its device, understood */
	int family;
	unsigned size; /* bytes of the address: 4 or 16 */
	uint8_t bytes[16];
	uint8_t prefix;
	int ifindex;
	unsigned flags; /* IFF_… */
	uint16_t hardware; /* ARPHRD_… */
	uint8_t mac[6];
};

struct reply { /* what the kernel said to one request */
	bool done, found;
	int status;
	const struct target *target;
};

struct listener { /* hears who else claims one address */
	struct address address;
	int fd;
};

static struct nl_sock *route;
static int control = -1; /* for ioctl */
static int sender = -1; /* packet socket that hears nothing */
static struct listener listeners[LISTENERS_MAX];
static unsigned listener_count, listener_next;

/* The address and its device. */

static int target_parse(const char *text, struct target *t)
{
	struct cidr cidr;
	if (cidr_parse(&cidr, text) || cidr.prefix == 0)
		return -EINVAL;
	t->family = cidr.family;
	t->size = cidr.family == AF_INET6 ? 16 : 4;
	memcpy(t->bytes, cidr.address, t->size);
	t->prefix = (uint8_t)cidr.prefix;
	return 0;
}

static int device_ask(const struct address *a, struct target *t)
{
	if (control < 0)
		control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (control < 0)
		return -errno;
	struct ifreq request = {0};
	memcpy(request.ifr_name, a->device, sizeof(request.ifr_name));
	if (ioctl(control, SIOCGIFINDEX, &request))
		return -errno;
	t->ifindex = request.ifr_ifindex;
	if (ioctl(control, SIOCGIFFLAGS, &request))
		return -errno;
	t->flags = (unsigned short)request.ifr_flags;
	if (ioctl(control, SIOCGIFHWADDR, &request))
		return -errno;
	t->hardware = request.ifr_hwaddr.sa_family;
	memcpy(t->mac, request.ifr_hwaddr.sa_data, sizeof(t->mac));
	return 0;
}

static int target_find(const struct address *a, struct target *t, struct err *err)
{
	*t = (struct target){0};
	if (target_parse(a->cidr, t))
		return err_set(err, -EINVAL, "\"%s\" is not an address with a prefix", a->cidr);
	if (!memchr(a->device, 0, sizeof(a->device)) || !a->device[0])
		return err_set(err, -EINVAL, "the device of %s has no right name", a->cidr);
	int status = device_ask(a, t);
	if (status == -ENODEV)
		return err_set(err, status, "there is no device %s", a->device);
	if (status)
		return err_set(err, status, "device %s: %s", a->device, strerror(-status));
	return 0;
}

/* Does the device have neighbours that can be asked and told? */
static bool target_has_neighbours(const struct target *t)
{
	return t->hardware == ARPHRD_ETHER && !(t->flags & (IFF_LOOPBACK | IFF_NOARP));
}

static int target_find_up(const struct address *a, struct target *t, struct err *err)
{
	int status = target_find(a, t, err);
	if (status)
		return status;
	if (!(t->flags & IFF_UP))
		return err_set(err, -ENETDOWN, "device %s is down", a->device);
	return 0;
}

/* rtnetlink. */

static int route_open(struct err *err)
{
	if (route)
		return 0;
	route = nl_socket_alloc();
	if (!route)
		return err_set(err, -ENOMEM, "no memory for a netlink socket");
	int status = nl_connect(route, NETLINK_ROUTE);
	if (status < 0) {
		nl_socket_free(route);
		route = NULL;
		return err_set(err, -EIO, "netlink: %s", nl_geterror(status));
	}
	struct timeval wait = {.tv_usec = ANSWER_WAIT_MS * 1000};
	setsockopt(nl_socket_get_fd(route), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return 0;
}

static int reply_error(struct sockaddr_nl *who, struct nlmsgerr *error, void *data)
{
	struct reply *reply = data;
	reply->done = true;
	reply->status = error->error;
	return NL_STOP;
}

static int reply_end(struct nl_msg *msg, void *data)
{
	struct reply *reply = data;
	reply->done = true;
	return NL_STOP;
}

static int reply_address(struct nl_msg *msg, void *data)
{
	struct reply *reply = data;
	const struct target *t = reply->target;
	struct nlmsghdr *header = nlmsg_hdr(msg);
	if (header->nlmsg_type != RTM_NEWADDR || !nlmsg_valid_hdr(header, sizeof(struct ifaddrmsg)))
		return NL_OK;
	struct ifaddrmsg *entry = nlmsg_data(header);
	/* IPv6 has IFA_LOCAL only when there is a peer. */
	struct nlattr *local = nlmsg_find_attr(header, sizeof(*entry), IFA_LOCAL);
	if (!local)
		local = nlmsg_find_attr(header, sizeof(*entry), IFA_ADDRESS);
	if (local && entry->ifa_family == t->family && (int)entry->ifa_index == t->ifindex &&
	    nla_len(local) == (int)t->size && !memcmp(nla_data(local), t->bytes, t->size))
		reply->found = true;
	return NL_OK;
}

/* Sends and takes the answer; frees msg. After a failure the socket is made
 * anew: an answer that comes late must not be taken for that of the next request. */
static int route_ask(struct nl_msg *msg, struct reply *reply)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int sent = -NLE_NOMEM, got = 0;
	if (cb) {
		nl_cb_err(cb, NL_CB_CUSTOM, reply_error, reply);
		nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, reply_end, reply);
		nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, reply_end, reply);
		nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, reply_address, reply);
		sent = nl_send_auto(route, msg);
		for (int i = 0; sent >= 0 && got >= 0 && !reply->done && i < 1000; i++)
			got = nl_recvmsgs(route, cb);
		nl_cb_put(cb);
	}
	nlmsg_free(msg);
	if (reply->done)
		return reply->status;
	nl_socket_free(route);
	route = NULL;
	return got == -NLE_DUMP_INTR ? -EAGAIN : -ETIMEDOUT;
}

static struct nl_msg *address_message(const struct target *t, int type, int flags)
{
	struct ifaddrmsg header = {
	    .ifa_family = (uint8_t)t->family,
	    .ifa_prefixlen = t->prefix,
	    .ifa_flags = t->family == AF_INET6 ? IFA_F_NODAD : 0,
	    .ifa_scope = RT_SCOPE_UNIVERSE,
	    .ifa_index = (uint32_t)t->ifindex,
	};
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
	if (msg && nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO) == 0 &&
	    nla_put(msg, IFA_LOCAL, (int)t->size, t->bytes) == 0)
		return msg;
	nlmsg_free(msg);
	return NULL;
}

/* When the floating address came before the node's own of the same subnet, the
 * node's own is the secondary one, and the kernel would remove it together with
 * the floating one. Where this cannot be written (a container), it is as set. */
static void secondaries_keep(const char *device)
{
	char path[80];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/promote_secondaries", device);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		errno = 0;
	close(fd);
}

static int netlink_add(const struct address *a, uint32_t lifetime_s, struct err *err)
{
	struct target t;
	int status = target_find_up(a, &t, err);
	if (!status)
		status = route_open(err);
	if (status)
		return status;
	struct ifa_cacheinfo life = {
	    .ifa_valid = lifetime_s,
	    .ifa_prefered = t.family == AF_INET ? lifetime_s : 0,
	};
	struct nl_msg *msg =
	    address_message(&t, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
	if (!msg || nla_put(msg, IFA_ADDRESS, (int)t.size, t.bytes) ||
	    nla_put(msg, IFA_CACHEINFO, sizeof(life), &life)) {
		nlmsg_free(msg);
		return err_set(err, -ENOMEM, "no memory to add %s", a->cidr);
	}
	if (t.family == AF_INET)
		secondaries_keep(a->device);
	struct reply reply = {.target = &t};
	status = route_ask(msg, &reply);
	if (status)
		return err_set(
		    err, status, "add %s to %s: %s", a->cidr, a->device, strerror(-status));
	return 0;
}

static int netlink_remove(const struct address *a, struct err *err)
{
	struct target t;
	int status = target_find(a, &t, err);
	if (status == -ENODEV || status == -EINVAL)
		return 0; /* it cannot be on */
	/* Again until the kernel says that it has none: the prefix may have been another. */
	for (int i = 0; i < SAME_ADDRESS_MAX && !status; i++) {
		status = route_open(err);
		if (status)
			return status;
		struct nl_msg *msg = address_message(&t, RTM_DELADDR, NLM_F_ACK);
		if (!msg)
			return err_set(err, -ENOMEM, "no memory to remove %s", a->cidr);
		struct reply reply = {.target = &t};
		status = route_ask(msg, &reply);
		if (status == -EADDRNOTAVAIL || status == -ENODEV)
			return 0;
		if (status)
			return err_set(err, status, "remove %s from %s: %s", a->cidr, a->device,
			    strerror(-status));
	}
	return status;
}

static int netlink_present(const struct address *a, struct err *err)
{
	struct target t;
	int status = target_find(a, &t, err);
	if (status == -ENODEV)
		return 0;
	if (status)
		return status;
	for (int i = 0; i < DUMP_TRIES; i++) {
		status = route_open(err);
		if (status)
			return status;
		struct ifaddrmsg header = {.ifa_family = (uint8_t)t.family};
		struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETADDR, NLM_F_DUMP);
		if (!msg || nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO)) {
			nlmsg_free(msg);
			return err_set(err, -ENOMEM, "no memory to look for %s", a->cidr);
		}
		struct reply reply = {.target = &t};
		status = route_ask(msg, &reply);
		if (!status)
			return reply.found;
		if (status != -EAGAIN)
			break;
	}
	return err_set(err, status, "look for %s on %s: %s", a->cidr, a->device, strerror(-status));
}

/* Packets. */

static int packet_send(
    const struct target *t, uint16_t protocol, const uint8_t mac[6], const void *bytes, size_t size)
{
	if (sender < 0)
		sender = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sender < 0)
		return -errno;
	struct sockaddr_ll to = {
	    .sll_family = AF_PACKET,
	    .sll_protocol = htons(protocol),
	    .sll_ifindex = t->ifindex,
	    .sll_halen = 6,
	};
	memcpy(to.sll_addr, mac, 6);
	if (sendto(sender, bytes, size, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}

/* sender_ip NULL: a probe, which says nothing about us. */
static int arp_send(const struct target *t, uint8_t operation, const uint8_t *sender_ip)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t p[28] = {0, 1, 8, 0, 6, 4, 0, operation};
	memcpy(p + 8, t->mac, 6);
	if (sender_ip)
		memcpy(p + 14, sender_ip, 4);
	if (operation == ARPOP_REPLY)
		memcpy(p + 18, t->mac, 6);
	memcpy(p + 24, t->bytes, 4);
	return packet_send(t, ETH_P_ARP, broadcast, p, sizeof(p));
}

/* RFC 4443, 2.3: over source, destination, length, next header and message. */
static uint16_t icmpv6_checksum(const uint8_t *packet, size_t size)
{
	uint32_t sum = (uint32_t)(size - 40) + ICMPV6;
	for (size_t i = 8; i < size; i += 2)
		sum += (uint32_t)packet[i] << 8 | packet[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

struct discovery { /* one neighbour discovery message about a target */
	uint8_t type, flags;
	uint8_t source[16], destination[16];
	bool link_address; /* with the option that tells our MAC */
};

static int discovery_send(const struct target *t, const struct discovery *d)
{
	uint8_t p[72] = {0x60, 0, 0, 0, 0, 24, ICMPV6, 255};
	size_t size = 64;
	memcpy(p + 8, d->source, 16);
	memcpy(p + 24, d->destination, 16);
	p[40] = d->type;
	p[44] = d->flags;
	memcpy(p + 48, t->bytes, 16);
	if (d->link_address) {
		p[5] = 32;
		p[64] = 2; /* target link-layer address */
		p[65] = 1; /* in units of 8 bytes */
		memcpy(p + 66, t->mac, 6);
		size = 72;
	}
	uint16_t sum = icmpv6_checksum(p, size);
	p[42] = (uint8_t)(sum >> 8);
	p[43] = (uint8_t)sum;
	uint8_t mac[6] = {0x33, 0x33};
	memcpy(mac + 2, d->destination + 12, 4);
	return packet_send(t, ETH_P_IPV6, mac, p, size);
}

static int netlink_announce(const struct address *a, struct err *err)
{
	struct target t;
	int status = target_find_up(a, &t, err);
	if (status || !target_has_neighbours(&t))
		return status;
	if (t.family == AF_INET) {
		/* "ARP Announcements are identical to ARP Probes, except that the sender and
		 * target IP addresses are both set" (RFC 5227, 2.3). Some devices only learn
		 * from replies, so they get the same as a reply. */
		status = arp_send(&t, ARPOP_REQUEST, t.bytes);
		if (!status)
			status = arp_send(&t, ARPOP_REPLY, t.bytes);
	} else {
		struct discovery d = {.type = NEIGHBOUR_ADVERTISMENT,
		    .flags = 0x20 /* override */,
		    .destination = {0xff, 0x02, [15] = 1},
		    .link_address = true};
		memcpy(d.source, t.bytes, 16);
		status = discovery_send(&t, &d);
	}
	if (status)
		return err_set(
		    err, status, "announce %s on %s: %s", a->cidr, a->device, strerror(-status));
	return 0;
}

/* Listening. */

static int listener_filter(int fd, const struct target *t)
{
	struct sock_filter program[16];
	unsigned n = 0;
#define LOAD(size, at) program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | size | BPF_ABS, at)
/* The next instruction is the refusal; skip it when the value is right. */
#define NEED(value)                                                                                \
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);       \
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0)
	if (t->family == AF_INET6) {
		LOAD(BPF_W, 4); /* payload length, next header, hop limit */
		program[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff);
		NEED(ICMPV6 << 8 | 255);
		LOAD(BPF_B, 40);
		NEED(NEIGHBOUR_ADVERTISMENT);
	}
	/* The sender of an ARP packet, the last word of an advertisement's target: the rest of
	 * the packet is compared when it is read. */
	uint32_t word;
	memcpy(&word, t->bytes + t->size - 4, 4);
	LOAD(BPF_W, t->family == AF_INET6 ? 60 : 14);
	NEED(ntohl(word));
#undef NEED
#undef LOAD
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 128);
	struct sock_fprog filter = {.len = (unsigned short)n, .filter = program};
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)))
		return -errno;
	return 0;
}

/* On the device as it is now. The kernel does nothing when the socket is there
 * already; a device that went and came back takes its listeners off. */
static int listener_bind(int fd, const struct target *t)
{
	struct sockaddr_ll where = {
	    .sll_family = AF_PACKET,
	    .sll_protocol = htons(t->family == AF_INET6 ? ETH_P_IPV6 : ETH_P_ARP),
	    .sll_ifindex = t->ifindex,
	};
	return bind(fd, (struct sockaddr *)&where, sizeof(where)) ? -errno : 0;
}

static struct listener *listener_find(const struct address *a)
{
	for (unsigned i = 0; i < listener_count; i++)
		if (!strcmp(listeners[i].address.device, a->device) &&
		    !strcmp(listeners[i].address.cidr, a->cidr))
			return &listeners[i];
	return NULL;
}

static int listener_open(const struct address *a, const struct target *t)
{
	/* Protocol 0 hears nothing until it is bound, so nothing precedes the filter. */
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int status = listener_filter(fd, t);
	if (status) {
		close(fd);
		return status;
	}
	struct listener *l = &listeners[listener_next++ % LISTENERS_MAX];
	if (listener_count < LISTENERS_MAX)
		listener_count++;
	else
		close(l->fd); /* the oldest */
	*l = (struct listener){.address = *a, .fd = fd};
	return fd;
}

static int listener_get(const struct address *a, const struct target *t)
{
	struct listener *l = listener_find(a);
	int fd = l ? l->fd : listener_open(a, t);
	return fd < 0 ? fd : listener_bind(fd, t);
}

static int netlink_ask(const struct address *a, struct err *err)
{
	struct target t;
	int status = target_find_up(a, &t, err);
	if (status || !target_has_neighbours(&t))
		return status;
	status = listener_get(a, &t);
	if (!status && t.family == AF_INET) {
		status = arp_send(&t, ARPOP_REQUEST, NULL);
	} else if (!status) {
		/* From the unspecified address, as duplicate address detection does it: the
		 * answer goes to all nodes, and we need no address of our own. */
		struct discovery d = {.type = NEIGHBOUR_SOLICITATION,
		    .destination = {0xff, 0x02, [11] = 1, [12] = 0xff}};
		memcpy(d.destination + 13, t.bytes + 13, 3);
		status = discovery_send(&t, &d);
	}
	if (status)
		return err_set(
		    err, status, "ask for %s on %s: %s", a->cidr, a->device, strerror(-status));
	return 0;
}

/* Is it the MAC of one of our own devices? */
static bool mac_ours(const uint8_t mac[6])
{
	struct ifaddrs *all;
	if (getifaddrs(&all))
		return false;
	bool ours = false;
	for (struct ifaddrs *i = all; i && !ours; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_PACKET)
			continue;
		const struct sockaddr_ll *link = (const struct sockaddr_ll *)i->ifa_addr;
		ours = link->sll_halen == 6 && !memcmp(link->sll_addr, mac, 6);
	}
	freeifaddrs(all);
	return ours;
}

/* One packet that the filter let through: who claims the address in it? */
static bool packet_claims(const struct target *t, const uint8_t *p, size_t size, uint8_t mac[6])
{
	if (t->family == AF_INET6) /* mac is the frame's sender already */
		return size >= 64 && !memcmp(p + 48, t->bytes, 16);
	if (size < 28 || memcmp(p + 14, t->bytes, 4))
		return false;
	memcpy(mac, p + 8, 6);
	return true;
}

static int netlink_answered(const struct address *a, char holder[18], struct err *err)
{
	struct listener *l = listener_find(a);
	struct target t = {0};
	if (!l || target_parse(a->cidr, &t))
		return 0;
	int claims = 0;
	for (;;) {
		uint8_t packet[128];
		struct sockaddr_ll from;
		socklen_t from_size = sizeof(from);
		ssize_t size = recvfrom(l->fd, packet, sizeof(packet), MSG_DONTWAIT,
		    (struct sockaddr *)&from, &from_size);
		if (size < 0 && (errno == EINTR || errno == ENETDOWN))
			continue; /* ENETDOWN is told once */
		if (size < 0)
			return claims;
		uint8_t mac[6];
		memcpy(mac, from.sll_addr, 6);
		if (from.sll_pkttype == PACKET_OUTGOING ||
		    !packet_claims(&t, packet, (size_t)size, mac) || mac_ours(mac))
			continue;
		snprintf(holder, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		    mac[3], mac[4], mac[5]);
		claims = 1;
	}
}

const struct address_port address_netlink = {
    .name = "netlink",
    .add = netlink_add,
    .remove = netlink_remove,
    .present = netlink_present,
    .announce = netlink_announce,
    .ask = netlink_ask,
    .answered = netlink_answered,
};
