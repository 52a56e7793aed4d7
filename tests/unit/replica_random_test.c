/* The replica under everything at once, from one seed: lost, late, doubled and reordered messages,
 * cut links one way and both, crashes at any moment with a torn write, disks that fail
 * or stop answering, members that come and go, transfers, snapshots.
 *
 * replica_random_test [first seed [how many]]. A failure prints its seed. */
#include "tests/unit/group.h"

#define WRITERS 8

struct writer {
	struct operation operation; /* the one under way */
	unsigned request;
	bool waits, tried;
};

struct world {
	struct group *g;
	struct writer writers[WRITERS];
	uint64_t back_ms[NODES]; /* when a node that is down comes back */
	unsigned acknowledged;
	unsigned elections, crashes, failures, installs, taken, changes, transfers, reads;
	struct operation *never; /* refused, not done */
	unsigned n_never;
};

static unsigned first_seed = 1, seeds = 300;
static unsigned seed_now;
static struct world total;

static void writer_answered(struct world *w, struct writer *x)
{
	struct request *q = &w->g->requests[x->request];
	x->waits = false;
	if (q->result >= 0) {
		w->acknowledged++;
		assert_memory_equal(&w->g->truth[q->result], &x->operation, sizeof(x->operation));
		x->operation.sequence++;
		x->tried = false;
		return;
	}
	bool refused = q->result == -ENOTCONN || q->result == -EAGAIN;
	if (refused && !x->tried) {
		w->never = must_realloc(w->never, (w->n_never + 1) * sizeof(*w->never));
		w->never[w->n_never++] = x->operation;
		x->operation.sequence++;
	}
	x->tried = !refused || x->tried;
}

static struct node *any_node(struct world *w)
{
	return &w->g->nodes[group_random(w->g, w->g->n)];
}

static void write_on(struct world *w)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		struct writer *x = &w->writers[i];
		struct node *n = any_node(w);
		if (x->waits && w->g->requests[x->request].answered)
			writer_answered(w, x);
		if (x->waits || !n->replica)
			continue;
		if (x->operation.sequence == 0)
			x->operation = (struct operation){i + 1, 1, 0};
		x->operation.value =
		    group_random(w->g, 1000000) * !x->tried + x->operation.value * x->tried;
		x->request = node_write(n, x->operation, 100 + group_random(w->g, 1500));
		x->waits = true;
	}
}

static void lose(struct world *w, const struct node *gone)
{
	for (unsigned i = 0; i < w->g->n; i++) {
		struct node *n = &w->g->nodes[i];
		if (n->replica && n != gone && !w->g->cut[gone->number][i])
			replica_lost(n->replica, gone->number + 1, clock_of(n));
	}
}

/* Its unanswered requests never are: for who asked, unknown. */
static void orphan(struct world *w, const struct node *n)
{
	for (unsigned i = 0; i < w->g->n_requests; i++) {
		struct request *q = &w->g->requests[i];
		if (q->answered || q->node != n->number)
			continue;
		q->answered = true;
		q->result = -ETIMEDOUT;
	}
}

static void crash(struct world *w, struct node *n)
{
	if (!n->replica)
		return;
	w->crashes++;
	w->installs += n->restores;
	n->restores = 0;
	node_crash(n);
	orphan(w, n);
	if (group_random(w->g, 2))
		lose(w, n);
	w->back_ms[n->number] = w->g->now_ms + 1 + group_random(w->g, 800);
}

static void watch(struct world *w, struct node *n)
{
	if (!n->replica) {
		if (w->g->now_ms >= w->back_ms[n->number])
			node_start(n);
		return;
	}
	if (status_of(n).role != REPLICA_FAILED)
		return;
	const char *why = replica_failure(n->replica);
	if (!strstr(why, "disk"))
		fail_msg("seed %u: node %u failed: %s", seed_now, n->number + 1, why);
	w->failures++;
	crash(w, n);
}

static void change_members(struct world *w)
{
	struct group *g = w->g;
	struct node *leader = group_leader(g);
	uint64_t id = 1 + group_random(g, g->n);
	static const enum member_role roles[] = {
	    MEMBER_VOTER, MEMBER_VOTER, MEMBER_STANDBY, MEMBER_SPARE};
	if (!leader)
		return;
	w->changes++;
	node_change(leader, id, roles[group_random(g, 4)]);
}

static void fault(struct world *w)
{
	struct group *g = w->g;
	struct node *n = any_node(w), *m = any_node(w);
	switch (group_random(g, 16)) {
	case 0:
	case 1:
		g->cut[n->number][m->number] = true;
		break;
	case 2:
		group_cut(g, n->number, m->number, true);
		break;
	case 3:
		group_isolate(g, n, true);
		break;
	case 4:
	case 5:
	case 6:
		group_isolate(g, n, false);
		break;
	case 7:
	case 8:
		crash(w, n);
		break;
	case 9:
		n->fail_next = n->replica != NULL;
		break;
	case 10:
		n->stuck = n->replica != NULL;
		break;
	case 11:
		n->stuck = false;
		break;
	case 12:
	case 13:
		change_members(w);
		break;
	case 14:
		if (group_leader(g) &&
		    replica_transfer(group_leader(g)->replica,
			group_random(g, 2) ? n->number + 1 : 0, clock_of(group_leader(g))) == 0)
			w->transfers++;
		break;
	case 15:
		if (n->replica) {
			w->reads++;
			node_read(n, group_random(g, 2), 1000);
		}
		break;
	}
}

static void settle(struct world *w)
{
	struct group *g = w->g;
	memset(g->cut, 0, sizeof(g->cut));
	g->drop_percent = g->double_percent = 0;
	for (unsigned i = 0; i < g->n; i++) {
		g->nodes[i].stuck = false;
		if (g->nodes[i].fail_next)
			crash(w, &g->nodes[i]);
		w->back_ms[i] = 0;
	}
	for (unsigned ms = 0; ms < 4000; ms += 10) {
		for (unsigned i = 0; i < g->n; i++)
			watch(w, &g->nodes[i]);
		group_run(g, 10);
	}
	struct node *leader = group_elect(g);
	struct operation last = {50, 1, 0};
	assert_true(group_wait(g, node_write(leader, last, 3000))->result >= 0);
	group_run(g, 200);
}

/* Everybody who gets the log has all of it; nothing that was refused is in it. */
static void check(struct world *w)
{
	struct group *g = w->g;
	struct replica_member members[NODES];
	unsigned n = replica_members(group_leader(g)->replica, members, NODES);
	for (unsigned i = 0; i < n; i++) {
		const struct node *x = &g->nodes[members[i].id - 1];
		if (members[i].role != MEMBER_SPARE && x->length != g->truth_length)
			fail_msg("seed %u: node %u has %u of %u", seed_now, x->number + 1,
			    x->length, g->truth_length);
	}
	for (unsigned i = 0; i < w->n_never; i++)
		for (unsigned j = 0; j < g->truth_length; j++)
			assert_memory_not_equal(
			    &w->never[i], &g->truth[j], sizeof(struct operation));
}

static void account(struct world *w)
{
	total.acknowledged += w->acknowledged;
	total.crashes += w->crashes;
	total.failures += w->failures;
	total.changes += w->changes;
	total.transfers += w->transfers;
	total.reads += w->reads;
	total.n_never += w->n_never;
	total.elections += (unsigned)status_of(group_leader(w->g)).term;
	for (unsigned i = 0; i < w->g->n; i++) {
		total.taken += w->g->nodes[i].snapshots;
		w->installs += w->g->nodes[i].restores;
	}
	total.installs += w->installs;
}

static void run_seed(unsigned seed)
{
	struct world w = {0};
	static const unsigned pace[] = {8, 12, 20, 40, 120};
	unsigned calm = pace[seed % 5]; /* turns between two faults */
	seed_now = seed;
	w.g = group_new(3 + seed % 4, seed);
	struct group *g = w.g;
	g->jitter_ms = seed % 3 ? group_random(g, 40) : 0;
	g->drop_percent = seed % 5 ? group_random(g, 15) : 0;
	g->double_percent = group_random(g, 15);
	g->disk_ms = group_random(g, 12);
	g->snapshot_log_bytes = 2000 + group_random(g, 8000);
	g->snapshot_ms = seed % 4 ? group_random(g, 600) : 0;
	group_bootstrap(g, g->n < 5 ? g->n : 3 + seed % 2);
	group_start(g, g->n);
	for (unsigned ms = 0; ms < 5000; ms += 5) {
		write_on(&w);
		if (group_random(g, calm) == 0)
			fault(&w);
		for (unsigned i = 0; i < g->n; i++)
			watch(&w, &g->nodes[i]);
		group_run(g, 5);
	}
	settle(&w);
	check(&w);
	account(&w);
	free(w.never);
	group_free(g);
}

static void whatever_happens_members_agree_and_nothing_acknowledged_is_lost(void **state)
{
	(void)state;
	for (unsigned i = 0; i < seeds; i++) {
		seed_now = first_seed + i;
		fprintf(stderr, "\rseed %u ", seed_now);
		run_seed(first_seed + i);
	}
	fprintf(stderr,
	    "\n%u acknowledged, %u refused, %u terms, %u crashes, %u failed members, %u changes, "
	    "%u transfers, %u snapshots taken, %u restored, %u reads\n",
	    total.acknowledged, total.n_never, total.elections, total.crashes, total.failures,
	    total.changes, total.transfers, total.taken, total.installs, total.reads);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		first_seed = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seeds = (unsigned)strtoul(argv[2], NULL, 10);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whatever_happens_members_agree_and_nothing_acknowledged_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
