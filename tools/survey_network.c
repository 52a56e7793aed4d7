/* The checks of a machine among others: its addresses, its port, the members it is to join. */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/config/cidr.h"
#include "raft/endpoint.h"
#include "raft/guest.h"
#include "tools/probe.h"
#include "tools/survey_check.h"

#define MEMBER_ANSWERS_MS 2000 /* each; all are asked at once */
#define OTHERS_ANSWER_MS  200 /* once one has: none is to be left standing */

/* The device that has this address: 0, or -ENOENT. */
static int device_of(const struct cidr *wanted, char device[IF_NAMESIZE])
{
	struct ifaddrs *all;
	int result = -ENOENT;
	if (getifaddrs(&all))
		return -errno;
	for (const struct ifaddrs *a = all; a && result; a = a->ifa_next) {
		struct cidr has = {0};
		if (!a->ifa_addr || a->ifa_addr->sa_family != wanted->family)
			continue;
		has.family = wanted->family;
		if (has.family == AF_INET)
			memcpy(has.address, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, 4);
		else
			memcpy(has.address, &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, 16);
		if (!cidr_same_address(&has, wanted))
			continue;
		snprintf(device, IF_NAMESIZE, "%s", a->ifa_name);
		result = 0;
	}
	freeifaddrs(all);
	return result;
}

static bool is_loopback(const struct cidr *c)
{
	static const uint8_t one[16] = {[15] = 1};
	return c->family == AF_INET ? c->address[0] == 127 : !memcmp(c->address, one, sizeof(one));
}

static bool is_unspecified(const struct cidr *c)
{
	static const uint8_t none[16];
	return !memcmp(c->address, none, c->family == AF_INET ? 4 : 16);
}

static bool here(const struct cidr *c)
{
	char device[IF_NAMESIZE];
	/* All of 127.0.0.0/8 is this machine's, whatever is configured. */
	return !device_of(c, device) || (c->family == AF_INET && c->address[0] == 127);
}

/* Where the other members reach this one. */

static void judge_number(const struct survey_report *report, const struct cidr *c, const char *host)
{
	char advice[SURVEY_TEXT_MAX];
	if (is_unspecified(c)) {
		survey_say(report, SURVEY_FAILED, "say which address of this machine they reach",
		    "%s is nobody's address: the other members cannot reach it", host);
	} else if (!here(c)) {
		snprintf(advice, sizeof(advice),
		    "set it (ip address add %s dev ...), or set pvc.raft.address", host);
		survey_say(report, SURVEY_FAILED, advice, "%s is no address of this machine", host);
	} else if (is_loopback(c)) {
		survey_say(report, SURVEY_WARNING, "for demonstrations only",
		    "%s: no other machine can reach it", host);
	} else {
		survey_say(report, SURVEY_OK, "", "%s", host);
	}
}

static void judge_name(const struct survey_report *report, const struct endpoint *at)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	struct endpoint_address address;
	char text[ENDPOINT_SIZE];
	int result = getaddrinfo(at->host, at->port, &hints, &found);
	if (result) {
		survey_say(report, SURVEY_FAILED, "set pvc.raft.address to an address",
		    "the other members would look for %s, which is no name: %s", at->host,
		    gai_strerror(result));
		return;
	}
	address.size = found->ai_addrlen;
	memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
	endpoint_print(&address, text);
	freeaddrinfo(found);
	struct endpoint number;
	struct cidr c;
	if (endpoint_parse(text, &number, NULL) || cidr_parse_address(&c, number.host))
		return;
	if (is_loopback(&c))
		survey_say(report, SURVEY_WARNING, "set pvc.raft.address to an address",
		    "%s is %s here: no other machine can reach that", at->host, number.host);
	else if (!here(&c))
		survey_say(report, SURVEY_WARNING, "set pvc.raft.address to an address",
		    "%s is %s, which is no address of this machine", at->host, number.host);
	else
		survey_say(report, SURVEY_OK, "", "%s, which is %s", at->host, number.host);
}

static int own_endpoint(const struct survey_report *report, struct endpoint *at)
{
	char peer[CONFIG_PEER_MAX];
	config_peer(report->subject->config, peer);
	return endpoint_parse(peer, at, NULL);
}

void survey_address(const struct survey_report *report)
{
	struct endpoint at;
	struct cidr c;
	if (own_endpoint(report, &at))
		survey_say(report, SURVEY_FAILED, "set pvc.raft.address to an address",
		    "is longer than an address may be");
	else if (!cidr_parse_address(&c, at.host))
		judge_number(report, &c, at.host);
	else
		judge_name(report, &at);
}

/* Listens as the daemon will, for a moment. */
void survey_port(const struct survey_report *report)
{
	struct endpoint at;
	struct endpoint_address address;
	char advice[SURVEY_TEXT_MAX];
	if (own_endpoint(report, &at))
		return;
	/* A name is listened for everywhere. */
	if (endpoint_numeric(&at, &address)) {
		snprintf(at.host, sizeof(at.host), "::");
		endpoint_numeric(&at, &address);
	}
	int fd = endpoint_listen(&address);
	snprintf(advice, sizeof(advice), "find who does with: ss -ltnp sport = :%s", at.port);
	if (fd == -EADDRINUSE)
		survey_say(report, SURVEY_FAILED, advice, "somebody listens on %s port %s already",
		    at.host, at.port);
	else if (fd >= 0)
		survey_say(report, SURVEY_OK, "", "%s is free", at.port);
	else if (fd != -EADDRNOTAVAIL && fd != -EAFNOSUPPORT)
		survey_say(report, SURVEY_FAILED, "", "%s: %s", at.port, strerror(-fd));
	if (fd >= 0)
		close(fd);
}

/* The networks. */

struct side {
	const char *name;
	const struct config_network *network;
	const struct config_interface *interface;
};

static void judge_own_address(const struct survey_report *report, const struct side *side)
{
	struct cidr own;
	char device[IF_NAMESIZE], text[CIDR_TEXT_MAX], advice[SURVEY_TEXT_MAX];
	const char *wanted = side->interface->device;
	if (config_own_address(report->subject->config->node, side->network, side->interface, &own))
		return;
	cidr_print(&own, text);
	snprintf(advice, sizeof(advice), "ip address add %s dev %s (and make it last)", text,
	    *wanted ? wanted : "...");
	if (device_of(&own, device))
		survey_say(report, SURVEY_WARNING, advice, "%s: %s is not set on this machine",
		    side->name, text);
	else if (*wanted && strcmp(wanted, device) != 0)
		survey_say(report, SURVEY_WARNING, "correct the device, or move the address",
		    "%s: %s is on %s, not on %s", side->name, text, device, wanted);
	else
		survey_say(report, SURVEY_OK, "", "%s: %s on %s", side->name, text, device);
}

static void judge_side(const struct survey_report *report, const struct side *side)
{
	const char *wanted = side->interface->device;
	char device[IF_NAMESIZE];
	struct cidr floating;
	if (*wanted && !if_nametoindex(wanted))
		survey_say(report, SURVEY_WARNING, "ip link shows what there is",
		    "%s: there is no device %s", side->name, wanted);
	else
		judge_own_address(report, side);
	if (!cidr_parse(&floating, side->network->floating_ip) && !device_of(&floating, device))
		survey_say(report, SURVEY_WARNING, "take it off: it is for the primary alone",
		    "%s: the floating address %s is on %s already", side->name,
		    side->network->floating_ip, device);
}

void survey_networks(const struct survey_report *report)
{
	const struct config *c = report->subject->config;
	const struct config_networks *networks = &c->cluster.networks;
	const struct config_networking *own = &c->system.configuration.networking;
	const struct side sides[] = {
	    {"upstream", &networks->upstream, &own->upstream},
	    {"cluster", &networks->cluster, &own->cluster},
	    {"storage", &networks->storage, &own->storage},
	};
	if (c->mode == MODE_WITNESS || c->address.driver == CONFIG_ADDRESS_SIM)
		return;
	for (unsigned i = 0; i < sizeof(sides) / sizeof(*sides); i++)
		judge_side(report, &sides[i]);
}

/* The members to join. */

/* A connection on its way to a member, from this address or, with NULL, from any; or -errno. */
static int dial(const char *member, const struct endpoint *from)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	struct endpoint_address own;
	struct endpoint to;
	if (endpoint_parse(member, &to, NULL) || getaddrinfo(to.host, to.port, &hints, &found))
		return -EHOSTUNREACH;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int result = fd < 0 ? -errno : 0;
	if (!result && from) {
		struct endpoint port_0 = *from;
		snprintf(port_0.port, sizeof(port_0.port), "0");
		if (endpoint_numeric(&port_0, &own) ||
		    bind(fd, (struct sockaddr *)&own.storage, own.size))
			result = -EADDRNOTAVAIL;
	}
	if (!result && connect(fd, found->ai_addr, found->ai_addrlen) && errno != EINPROGRESS)
		result = -errno;
	freeaddrinfo(found);
	if (result && fd >= 0)
		close(fd);
	return result ? result : fd;
}

/* A connection that was just made, if it was: whether somebody is there. They are told that it was
 * only a visit; whether they are of that cluster is for the join to say. */
static bool visit(const struct token *token, int fd, uint64_t until_ms)
{
	int error = 0;
	uint64_t now_ms = probe_now_ms();
	socklen_t size = sizeof(error);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (!error && now_ms < until_ms)
		guest_visit(token, fd, (unsigned)(until_ms - now_ms), NULL);
	close(fd);
	return !error;
}

/* Did any of them answer? */
static bool any_answers(const struct token *token, const struct endpoint *from)
{
	struct pollfd fds[TOKEN_ADDRESSES_MAX];
	uint64_t until_ms = probe_now_ms() + MEMBER_ANSWERS_MS;
	unsigned left = 0;
	bool answered = false;
	for (unsigned i = 0; i < token->n_addresses; i++) {
		fds[i] = (struct pollfd){.fd = dial(token->addresses[i], from), .events = POLLOUT};
		left += fds[i].fd >= 0;
	}
	for (uint64_t now_ms = probe_now_ms(); left && now_ms < until_ms;) {
		if (poll(fds, token->n_addresses, (int)(until_ms - now_ms)) <= 0)
			break;
		for (unsigned i = 0; i < token->n_addresses; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			answered |= visit(token, fds[i].fd, until_ms);
			fds[i].fd = -1;
			left--;
		}
		now_ms = probe_now_ms();
		if (answered && until_ms > now_ms + OTHERS_ANSWER_MS)
			until_ms = now_ms + OTHERS_ANSWER_MS;
	}
	for (unsigned i = 0; i < token->n_addresses; i++)
		if (fds[i].fd >= 0)
			close(fds[i].fd);
	return answered;
}

/* An answer that comes back to raft.address shows that members can reach it. */
void survey_members(const struct survey_report *report)
{
	const struct token *token = report->subject->token;
	struct endpoint own;
	struct cidr c;
	char all[SURVEY_TEXT_MAX - 64] = "";
	if (!token || own_endpoint(report, &own))
		return;
	for (unsigned i = 0; i < token->n_addresses; i++) {
		size_t used = strlen(all);
		snprintf(
		    all + used, sizeof(all) - used, "%s%s", i ? ", " : "", token->addresses[i]);
	}
	bool numeric = !cidr_parse_address(&c, own.host);
	if (!any_answers(token, NULL))
		survey_say(report, SURVEY_FAILED,
		    "is pvcnoded running there? is a firewall between?", "none of them answers: %s",
		    all);
	else if (numeric && here(&c) && !any_answers(token, &own))
		survey_say(report, SURVEY_WARNING,
		    "set pvc.raft.address to an address on their network, or correct the routes",
		    "they answer, but not to %s: they cannot reach this node there", own.host);
	else
		survey_say(report, SURVEY_OK, "", "%s", all);
}
