/* A node's judgement, whole: what it tells the log and what it does, from the
 * value, its standing, what it observes and the time.
 *
 * Pure but for the memory of what was begun. The daemon and the simulator run
 * the very same agent: they feed it observations, call agent_turn() whenever
 * anything may have changed, and carry out what it says. */
#ifndef NODE_AGENT_H
#define NODE_AGENT_H

#include "fsm/cluster.h"
#include "node/member/agreement.h"
#include "node/primary/coordinator.h"
#include "node/vm/plan.h"
#include "node/member/standing.h"

#define AGENT_COMMANDS_MAX   64
#define AGENT_COLLECTORS_MAX 16
#define HOST_BRIDGES_MAX     512

struct agent_options {
	uint32_t node;
	uint64_t keepalive_interval_ms;
	uint64_t shutdown_timeout_ms;
	uint64_t lease_ms; /* as coordinator_options */
	bool hypervisor; /* this node runs VMs */
};

/* What the host says of itself: filled by whoever reads /proc. */
struct host {
	uint64_t memory_total_mib, memory_used_mib, memory_free_mib;
	uint32_t vcpus_total, load_milli;
	char kernel[64], arch[16], version[32];
	char addresses[512]; /* as own_address.h has them, with a blank between them */
	char boot_id[37]; /* another one after each boot of the machine */
	char migration_uri[160]; /* of its hypervisor, as the other nodes reach it */
	struct bridge bridges[HOST_BRIDGES_MAX]; /* VMs can be connected to them; by name */
	uint32_t bridge_count;
};

struct agent {
	struct agent_options options;
	struct host host;
	struct local local;
	struct collector collectors[AGENT_COLLECTORS_MAX]; /* age_ms: when it was last good */
	unsigned collector_count;
	struct ceph_id *osds; /* in this machine; owned */
	uint32_t osd_count;
	struct coordinator coordinator;
	struct plan plan;
	bool hello_done; /* the log knows that this daemon has started */
	/* How far an orderly end has come. DAEMON_INIT: it is not wanted; DAEMON_SHUTDOWN: nothing
	 * is started any more; DAEMON_STOP: nothing at all is done any more. */
	enum daemon_state leaving;
	uint64_t told_hello_ms, told_state_ms, told_interval_ms;
	enum daemon_state told_state;
	uint64_t keepalive_ms; /* when the next one is due */
	bool keepalive_waits; /* it is due, and there was no leader to hear it */
	uint32_t late_ms; /* the latest that one was sent after it was due */
	uint64_t tick_ms; /* the last tick proposed in tick_term */
	uint64_t tick_term;
	uint64_t left_ms; /* when it last tried to hand the lead on because it has diverged... */
	uint32_t left_to; /* ...and to whom */
	struct keepalive *heard; /* on the leader: the latest of each node, not yet in a tick */
	unsigned heard_count, heard_capacity;
	struct agreement agreement; /* on the leader */
	struct agreement_voice
	    agreed; /* on it as well: what the next tick may tell; hash 0: nothing */
	struct agreement_voice word; /* a leader's, to this follower */
	bool split; /* it has said that others' values differ from its own */
	uint64_t told_tick; /* the index of the last tick whose hash the leader was told */
};

struct agent_turn {
	struct command commands[AGENT_COMMANDS_MAX]; /* to be proposed; own their lists */
	unsigned count;
	const struct action *actions; /* to be begun now; the agent's, until its next turn */
	unsigned action_count;
	bool hold; /* addresses are to be held here */
	bool serve; /* and services */
	bool look; /* the VMs are to be looked at soon: something is not known */
	uint32_t transfer_to; /* hand leadership to this node; 0: stay */
	struct buffer keepalive; /* to be sent to the leader; empty: none is due */
	struct buffer hash; /* of the value after the last tick, to be sent; empty: not now */
	uint32_t hash_to;
};

void agent_init(struct agent *agent, const struct agent_options *options);
void agent_close(struct agent *agent);

/* Observations. */
/* The hypervisor is about to be asked for all its VMs: returns the number of this look. What
 * changes from here on it may not show yet (local.h). */
uint64_t agent_looks(struct agent *agent);
/* That look has shown these: what is not among them is off. */
void agent_saw_vms(struct agent *agent, uint64_t look, const struct seen_vm *vms, unsigned n);
void agent_saw_nothing(struct agent *agent); /* the hypervisor did not answer */
void agent_collected(struct agent *agent, const char *collector, enum collector_state state,
    const char *message, uint64_t now_ms);
/* How often the collector's worker had to be killed, since this daemon started. */
void agent_counted(struct agent *agent, const char *collector, uint64_t kills);
/* It is not measured here any more. */
void agent_forgets(struct agent *agent, const char *collector);
/* Ceph's disks that are in this machine, by rising ids; ids becomes the agent's. */
void agent_has_osds(struct agent *agent, struct ceph_id *ids, uint32_t n);
void agent_action_done(struct agent *agent, const struct action *action, int status,
    const char *reason, uint64_t now_ms);
/* A keepalive or a hash came from another node: bytes as agent_turn made them, or any. A node
 * speaks for itself alone. */
void agent_heard(struct agent *agent, uint32_t from, const uint8_t *bytes, size_t size);

/* Judge. The caller then begins actions, proposes commands (agent_turn_close frees
 * them), holds or lets go, and sends the keepalive. */
void agent_turn(struct agent *agent, struct cluster *c, const struct standing *standing,
    const struct holding *holding, uint64_t now_ms, struct agent_turn *turn);
void agent_turn_close(struct agent_turn *turn);

/* On a new leader: when it may next hold more than now; UINT64_MAX: it may hold all. */
uint64_t agent_free_ms(const struct agent *agent, const struct standing *standing, uint64_t now_ms);

/* When agent_turn() is due at the latest, if nothing happens before. */
uint64_t agent_next_ms(const struct agent *agent, uint64_t now_ms);

/* An orderly end comes so far (struct agent): the log is told. With DAEMON_STOP a last keepalive is
 * due at once. */
void agent_leave(struct agent *agent, enum daemon_state state);
/* Something is being done to a VM, for which the hypervisor has not answered yet. Of those that
 * come or go the value says whether they still do (stopping.h). */
bool agent_busy(const struct agent *agent);

/* The first bytes of what goes between agents: a keepalive, the hash of a value, and a leader's
 * word that its hash counts (agreement.h). A replica's frames never begin with them. */
#define AGENT_KEEPALIVE_MARK 0x4b
#define AGENT_HASH_MARK	     0x48
#define AGENT_WORD_MARK	     0x57
bool agent_hears(uint8_t mark);

#endif
