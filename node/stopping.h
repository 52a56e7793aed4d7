/* The orderly end of a node, step by step: what it waits for, and what it says when.
 *
 * First the log says `shutdown`, so that everybody knows; then what is under way here ends, however
 * long that takes, while keepalives go on; then comes a last keepalive and `stop`. VMs go on
 * running. Nothing waits for ever for a log that cannot be told. Pure. */
#ifndef NODE_STOPPING_H
#define NODE_STOPPING_H

#include "fsm/cluster.h"

/* So long the log is waited for, and somebody who takes the lead. */
#define STOPPING_WORD_MS  10000
#define STOPPING_TEXT_MAX 160

enum stopping_step {
	STOPPING_NOT,
	STOPPING_SAYING, /* `shutdown` is on its way into the log */
	STOPPING_ENDING, /* migrations and whatever is being done to VMs end */
	STOPPING_HANDING, /* another node takes the lead, and nothing is held here any more */
	STOPPING_LEAVING, /* the last keepalive and `stop` are on their way */
	STOPPING_DONE,
};

struct stopping {
	enum stopping_step step;
	uint64_t since_ms; /* of this step */
	bool hurried; /* no VM is waited for */
};

struct stopping_view {
	const struct cluster *cluster;
	uint32_t node; /* this one */
	uint64_t now_ms;
	bool leads;
	bool follower; /* there is another voter, who may lead then */
	bool gone; /* no address is held here, and no service runs */
	bool busy; /* something is being done to a VM */
	bool lost; /* out of touch for too long to be told anything */
};

/* The first time: begin. After that: hurry. */
void stopping_ask(struct stopping *s, uint64_t now_ms);

/* One step further, if nothing is left to wait for. Returns whether it was gone. */
bool stopping_turn(struct stopping *s, const struct stopping_view *view);

/* What is waited for in this step, for people. */
void stopping_awaits(
    const struct stopping *s, const struct stopping_view *view, char text[STOPPING_TEXT_MAX]);

/* What this node is to say of itself, as agent_leave() takes it. DAEMON_INIT: it does not stop. */
enum daemon_state stopping_says(const struct stopping *s);

/* The lead is to go to another node. */
bool stopping_hands_on(const struct stopping *s);
/* What is held here is to be let go of although this node leads: nobody else can, or nobody did in
 * time. */
bool stopping_lets_go(const struct stopping *s, const struct stopping_view *view);

#endif
