/* A node's duties, carried out: what the agent judges is done here, through the
 * hypervisor's worker, the guard and the log. */
#ifndef NODE_DUTIES_H
#define NODE_DUTIES_H

#include <uv.h>

#include "node/config/config.h"
#include "node/operation/context.h"
#include "node/member/ledger.h"
#include "node/stopping.h"

struct duties;
struct execute_flush;

struct duties_options {
	uv_loop_t *loop;
	const struct config *config;
	const struct context *context;
	struct ledger *ledger;
	/* Send to a member, as the ledger's. */
	void (*send)(void *data, uint64_t to, const uint8_t *bytes, size_t size);
	/* The round trip to the slowest voter that is connected; 0: not known. */
	uint32_t (*rtt_us)(void *data);
	/* Something changed: duties_turn is due. */
	void (*stirred)(void *data);
	void *data;
};

int duties_open(struct duties **d, const struct duties_options *options, struct err *err);
void duties_close(struct duties *d); /* freed once the loop has run on */

/* Judge and act; returns when it must be called again at the latest. */
uint64_t duties_turn(struct duties *d, uint64_t now_ms);

/* Once a turn of the loop: tell the guard how long our lease lasts by now, without judging
 * anything. Returns when it must be told again at the latest. */
uint64_t duties_renew(struct duties *d, uint64_t now_ms);

/* A keepalive from another node. */
void duties_heard(struct duties *d, uint64_t from, const uint8_t *bytes, size_t size);

/* What else this node knows of its own health, for everybody: as agent_collected(). */
void duties_collected(struct duties *d, const char *collector, enum collector_state state,
    const char *message, uint64_t now_ms);

/* As execute_flush(); -EOPNOTSUPP when this node runs no VMs. */
void duties_flush(struct duties *d, const struct execute_flush *flush);

/* As context.h has it. */
void duties_validate(struct duties *d, const char *xml, context_checked done, void *data);

/* An orderly end, step by step (stopping.h): VMs go on running. Asked a second time: in a hurry. */
void duties_stop(struct duties *d, uint64_t now_ms);
/* All of that is done. */
bool duties_stopped(const struct duties *d);
/* What is waited for; "" when nothing is. */
void duties_awaits(const struct duties *d, char text[STOPPING_TEXT_MAX]);

#endif
