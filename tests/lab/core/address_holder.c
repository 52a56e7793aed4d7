/* What tests/lab/core/address drives in its namespaces: a daemon that does nothing but hold
 * addresses under a lease, and a watcher that sees them come and go.
 *
 *   address_holder hold LEASE_MS DEVICE CIDR [DEVICE CIDR]...   lines of "hold", "release" and
 *                                                               "close" come in by stdin
 *   address_holder watch ADDRESS
 *
 * Both print a line for each change, with the milliseconds of the monotonic clock first. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "node/primary/guard.h"
#include "raft/clock.h"

struct holder {
	uv_loop_t loop;
	uv_timer_t renewal;
	uv_poll_t input;
	struct guard *guard;
	uint64_t lease_ms;
	unsigned count;
	struct address addresses[GUARD_ADDRESSES_MAX];
};

static double now_ms(void)
{
	return (double)uv_hrtime() / 1e6;
}

static void renew(uv_timer_t *timer)
{
	struct holder *h = timer->data;
	guard_lease(h->guard, clock_ms() + h->lease_ms);
}

static void changed(void *data)
{
	struct holder *h = data;
	struct guard_status s;
	guard_status(h->guard, &s);
	printf("%.3f status guard=%d alive=%d released=%d held=%u lapses=%u restarts=%u", now_ms(),
	    s.pid, s.alive, s.released, s.held, s.lapses, s.restarts);
	for (unsigned i = 0; i < s.count; i++)
		printf(" | %s %s %s %s", s.addresses[i].address.cidr,
		    guard_address_state_name(s.addresses[i].state), s.addresses[i].holder,
		    s.addresses[i].text);
	printf("\n");
	fflush(stdout);
}

static void command(uv_poll_t *poll, int status, int events)
{
	struct holder *h = poll->data;
	char line[32];
	ssize_t size = read(0, line, sizeof(line) - 1);
	line[size > 0 ? size : 0] = 0;
	if (!strcmp(line, "hold\n")) {
		guard_hold(h->guard, h->addresses, h->count);
	} else if (!strcmp(line, "release\n")) {
		guard_release(h->guard);
	} else {
		guard_close(h->guard);
		uv_close((uv_handle_t *)&h->renewal, NULL);
		uv_close((uv_handle_t *)poll, NULL);
	}
}

static int hold(int argc, char **argv)
{
	static struct holder h;
	struct err err;
	struct guard_options options = {.port = &address_netlink, .changed = changed, .data = &h};
	h.lease_ms = strtoul(argv[2], NULL, 10);
	for (int i = 3; i + 1 < argc && h.count < GUARD_ADDRESSES_MAX; i += 2) {
		struct address *a = &h.addresses[h.count++];
		snprintf(a->device, sizeof(a->device), "%s", argv[i]);
		snprintf(a->cidr, sizeof(a->cidr), "%s", argv[i + 1]);
	}
	uv_loop_init(&h.loop);
	if (guard_open(&h.guard, &h.loop, &options, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	uv_timer_init(&h.loop, &h.renewal);
	uv_poll_init(&h.loop, &h.input, 0);
	h.renewal.data = h.input.data = &h;
	uv_timer_start(&h.renewal, renew, 0, 20);
	uv_poll_start(&h.input, UV_READABLE, command);
	return uv_run(&h.loop, UV_RUN_DEFAULT);
}

static bool is_on(const char *wanted)
{
	struct ifaddrs *all;
	bool on = false;
	if (getifaddrs(&all))
		return false;
	for (struct ifaddrs *i = all; i && !on; i = i->ifa_next) {
		char text[INET6_ADDRSTRLEN] = "";
		int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
		if (family == AF_INET)
			inet_ntop(family, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text,
			    sizeof(text));
		else if (family == AF_INET6)
			inet_ntop(family, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, text,
			    sizeof(text));
		on = !strcmp(text, wanted);
	}
	freeifaddrs(all);
	return on;
}

/* Of two times between which it changed, the one that makes two holders overlap. */
__attribute__((noreturn)) static void watch(const char *address)
{
	bool was = !is_on(address);
	double last_ms = now_ms();
	for (;;) {
		double before_ms = now_ms();
		bool on = is_on(address);
		if (on != was) {
			printf("%.3f %s\n", on ? last_ms : now_ms(), on ? "on" : "off");
			fflush(stdout);
		}
		was = on;
		last_ms = before_ms;
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "guard"))
		return guard_main((int)strtol(argv[2], NULL, 10), (int)strtol(argv[3], NULL, 10));
	if (argc >= 5 && !strcmp(argv[1], "hold"))
		return hold(argc, argv);
	if (argc == 3 && !strcmp(argv[1], "watch"))
		watch(argv[2]);
	fprintf(stderr, "usage: address_holder hold LEASE_MS DEVICE CIDR... | watch ADDRESS\n");
	return 2;
}
