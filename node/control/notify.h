/* What a service tells systemd: sd_notify(3), a datagram to $NOTIFY_SOCKET.
 *
 * Nothing happens when nobody listens, and no call ever waits: a message that
 * systemd has no room for is lost. */
#ifndef NODE_CONTROL_NOTIFY_H
#define NODE_CONTROL_NOTIFY_H

#include <stdint.h>

/* Started; systemd starts what waits for us. Returns 1 when it was told, 0
 * when nobody wants to know, or negative errno; the same for all below. */
int notify_ready(void);

/* Still alive: to be called every notify_watchdog_ms(). */
int notify_watchdog(void);

/* On the way out. */
int notify_stopping(void);

/* The way out takes so much longer, from now on, without anything being wrong. */
int notify_patience(unsigned ms);

/* What we do, for `systemctl status`: one line. */
int notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How often notify_watchdog() is to be called: half of what systemd waits. 0:
 * no watchdog for this process. */
uint64_t notify_watchdog_ms(void);

#endif
