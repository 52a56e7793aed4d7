/* Recovery of a group without a quorum: which log is chosen, what is refused, and that those who
 * are left go on together whatever state they were in. */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "raft/recover.h"
#include "raft/wal.h"
#include "raft/writer.h"
#include "tests/unit/group.h"

/* Directories. */

struct place { /* a member's directory, and how it is seen */
	char directory[64], name[16];
	struct survivor survivor;
};

static const struct writer_options *writing(int fd)
{
	static struct writer_options options;
	options = (struct writer_options){
	    .fd = fd, .segment_bytes = 4096, .reserve_bytes = 4096, .files = &wal_system_files};
	return &options;
}

static void place_begin(struct place *p, uint64_t id)
{
	*p = (struct place){.survivor.id = id};
	snprintf(p->directory, sizeof(p->directory), "/tmp/recover-test-XXXXXX");
	snprintf(p->name, sizeof(p->name), "n%u", (unsigned)id);
	assert_non_null(mkdtemp(p->directory));
	p->survivor.name = p->name;
}

static void place_write(struct place *p, const struct store *s)
{
	struct directory d;
	struct writer *w;
	struct err err;
	int fd = open(p->directory, O_RDONLY | O_DIRECTORY);
	assert_int_equal(directory_read(&d, fd, &err), 0);
	assert_int_equal(writer_open(&w, writing(fd), &d, &err), 0);
	assert_int_equal(writer_vote(w, s->term, s->vote), 0);
	struct disk_request snapshot = {
	    .type = DISK_SNAPSHOT, .snapshot = {.snapshot = s->snapshot, .installed = true}};
	/* Entries that the snapshot holds too are left out. */
	uint64_t from = s->has_snapshot ? s->snapshot.index + 1 : 1;
	unsigned skip = s->n && s->first < from ? (unsigned)(from - s->first) : 0;
	struct disk_request append = {.type = DISK_APPEND,
	    .append = {.index = from, .entries = s->entries + skip, .n = s->n - skip}};
	const struct disk_request *requests[] = {&append};
	if (s->has_snapshot)
		assert_int_equal(writer_snapshot(w, &snapshot), 0);
	if (append.append.n)
		assert_int_equal(writer_append(w, requests, 1), 0);
	writer_close(w);
	directory_close(&d);
	close(fd);
}

static void place_read(struct place *p)
{
	struct err err;
	struct inspect *in;
	if (p->survivor.in)
		inspect_close((struct inspect *)p->survivor.in);
	assert_int_equal(inspect_open(&in, p->directory, &err), 0);
	p->survivor.in = in;
}

static void place_end(struct place *p)
{
	DIR *dir = opendir(p->directory);
	const struct dirent *at;
	while ((at = readdir(dir)))
		unlinkat(dirfd(dir), at->d_name, 0);
	closedir(dir);
	rmdir(p->directory);
	inspect_close((struct inspect *)p->survivor.in);
}

/* Logs of so many terms, one entry each; the first one names voters 1 to 3 and stand-by 4. */

static void store_add(struct store *s, uint64_t index, uint64_t term, const char *text)
{
	struct disk_entry e = {term, DISK_COMMAND, (uint32_t)strlen(text), (const uint8_t *)text};
	store_append(s, index, &e, 1);
	s->term = term;
}

static void store_found(struct store *s)
{
	struct configuration c = {0};
	struct buffer bytes = {0};
	for (unsigned id = 1; id <= 4; id++) {
		char address[32];
		snprintf(address, sizeof(address), "10.0.0.%u:7000", id);
		configuration_set(&c, id, address, id < 4 ? MEMBER_VOTER : MEMBER_STANDBY);
	}
	configuration_encode(&c, &bytes);
	struct disk_entry e = {1, DISK_CHANGE, (uint32_t)bytes.size, bytes.data};
	store_append(s, 1, &e, 1);
	buffer_close(&bytes);
}

static void store_close(struct store *s)
{
	store_truncate(s, 0);
	free(s->entries);
	if (s->has_snapshot) {
		free((void *)s->snapshot.configuration);
		free((void *)s->snapshot.data);
	}
	*s = (struct store){0};
}

/* terms: of the entries from 2 on, a digit each. */
static void place_make(struct place *p, uint64_t id, const char *terms)
{
	struct store s = {0};
	place_begin(p, id);
	store_found(&s);
	s.term = 1;
	for (unsigned i = 0; terms[i]; i++)
		store_add(&s, i + 2, (uint64_t)(terms[i] - '0'), "same");
	place_write(p, &s);
	place_read(p);
	store_close(&s);
}

static void survivors_of(struct place *places, unsigned n, struct survivor *list)
{
	for (unsigned i = 0; i < n; i++) {
		struct err err = {{0}};
		if (survivor_look(&places[i].survivor, &err))
			fail_msg("%s", err.text);
		list[i] = places[i].survivor;
	}
}

static struct recover_step step_of(
    const struct recovery *r, const struct survivor *list, const struct survivor *s)
{
	return (struct recover_step){.id = s->id,
	    .chosen = list[r->chosen].id,
	    .term = r->term,
	    .last = s->status.last,
	    .seen_term = s->status.term,
	    .seen_vote = s->status.vote,
	    .members = &r->members,
	    .before = s->before,
	    .after = s->after};
}

static void place_apply(struct place *p, const struct recover_step *step)
{
	struct err err = {{0}};
	int fd, lock_fd;
	assert_int_equal(wal_lock(p->directory, &fd, &lock_fd, &err), 0);
	if (recover_apply(fd, step, &err))
		fail_msg("%s", err.text);
	close(lock_fd);
	close(fd);
	place_read(p);
}

/* Rules. */

static void the_newest_log_is_chosen_as_votes_are_given(void **state)
{
	static const struct {
		struct {
			uint64_t term, last;
			enum member_role role;
		} logs[3];
		unsigned n, chosen;
	} cases[] = {
	    {{{1, 1, MEMBER_VOTER}}, 1, 0},
	    {{{3, 10, MEMBER_VOTER}, {3, 11, MEMBER_VOTER}}, 2, 1},
	    {{{3, 11, MEMBER_VOTER}, {3, 10, MEMBER_VOTER}}, 2, 0},
	    /* A longer log of an older term is no newer. */
	    {{{3, 900, MEMBER_VOTER}, {4, 7, MEMBER_VOTER}}, 2, 1},
	    {{{4, 7, MEMBER_VOTER}, {3, 900, MEMBER_VOTER}, {4, 6, MEMBER_VOTER}}, 3, 0},
	    /* A stand-by's log is as good as a voter's... */
	    {{{3, 10, MEMBER_VOTER}, {3, 11, MEMBER_STANDBY}}, 2, 1},
	    /* ... and no better. */
	    {{{3, 10, MEMBER_STANDBY}, {3, 10, MEMBER_VOTER}}, 2, 1},
	    {{{3, 10, MEMBER_VOTER}, {3, 10, MEMBER_VOTER}, {3, 10, MEMBER_VOTER}}, 3, 0},
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct survivor list[3] = {0};
		for (unsigned k = 0; k < cases[i].n; k++) {
			list[k].last_term = cases[i].logs[k].term;
			list[k].status.last = cases[i].logs[k].last;
			list[k].role = cases[i].logs[k].role;
		}
		if (survivors_newest(list, cases[i].n) != cases[i].chosen)
			fail_msg("case %u: %u", i, survivors_newest(list, cases[i].n));
	}
}

static void what_the_newest_log_does_not_have_is_dropped(void **state)
{
	static const struct {
		const char *chosen, *other;
		uint64_t keep;
	} cases[] = {
	    {"122", "122", 4}, {"1223", "122", 4}, {"1223", "1", 2},
	    {"1224", "1223", 4}, /* another's entry in the place of one */
	    {"13", "122222", 2}, /* longer, but older */
	    {"4", "22233333", 1}, /* nothing but how it began */
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct place places[2];
		struct survivor list[2];
		struct recovery r;
		struct err err;
		place_make(&places[0], 4, cases[i].chosen);
		place_make(&places[1], 2, cases[i].other);
		survivors_of(places, 2, list);
		assert_int_equal(recover_plan(&r, list, 2, &err), 0);
		assert_int_equal(list[1 - r.chosen].keep, strcmp(cases[i].chosen, cases[i].other)
							      ? cases[i].keep
							      : strlen(cases[i].other) + 1);
		assert_int_equal(list[r.chosen].keep, list[r.chosen].status.last);
		place_end(&places[0]);
		place_end(&places[1]);
	}
}

static void those_who_stay_are_the_survivors_and_stand_bys_and_one_votes(void **state)
{
	struct place places[1];
	struct survivor list[1];
	struct recovery r;
	struct err err;
	place_make(&places[0], 2, "12");
	survivors_of(places, 1, list);
	assert_int_equal(recover_plan(&r, list, 1, &err), 0);
	assert_int_equal(r.voters, 3);
	assert_int_equal(r.voters_left, 1);
	assert_int_equal(r.members.n, 2);
	assert_int_equal(configuration_find(&r.members, 2)->role, MEMBER_VOTER);
	assert_int_equal(configuration_find(&r.members, 4)->role, MEMBER_STANDBY);
	assert_int_equal(r.term, REPLICA_GENERATION);
	place_end(&places[0]);
}

static void a_majority_needs_no_recovery(void **state)
{
	struct place places[2];
	struct survivor list[2];
	struct recovery r;
	struct err err;
	place_make(&places[0], 1, "12");
	place_make(&places[1], 3, "12");
	survivors_of(places, 2, list);
	assert_int_equal(recover_plan(&r, list, 2, &err), -EALREADY);
	assert_string_equal(err.text,
	    "2 of the 3 voters are here, which is a majority: nothing is to be recovered, start "
	    "their daemons");
	/* A stand-by is none of them. */
	places[1].survivor.id = list[1].id = 4;
	assert_int_equal(recover_plan(&r, list, 2, &err), 0);
	for (unsigned i = 0; i < 2; i++)
		place_end(&places[i]);
}

static void what_cannot_be_one_group_is_refused(void **state)
{
	struct place places[2];
	struct survivor list[2];
	struct recovery r;
	struct err err;
	struct store s = {0};
	place_make(&places[0], 1, "1223");
	place_begin(&places[1], 4);
	store_found(&s);
	store_add(&s, 2, 1, "same");
	store_add(&s, 3, 2, "diff");
	place_write(&places[1], &s);
	place_read(&places[1]);
	survivors_of(places, 2, list);
	/* The same index and term, but not the same entry. */
	assert_int_equal(recover_plan(&r, list, 2, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "n1 and n4 part at entry 3"));
	list[1].id = 1;
	assert_int_equal(recover_plan(&r, list, 2, &err), -EINVAL);
	list[1].id = 4;
	list[0].member = false;
	assert_int_equal(recover_plan(&r, list, 2, &err), -EINVAL);
	store_close(&s);
	for (unsigned i = 0; i < 2; i++)
		place_end(&places[i]);
}

static void what_is_known_as_committed_is_never_dropped(void **state)
{
	struct place places[2];
	struct survivor list[2];
	struct recovery r;
	struct err err;
	place_make(&places[0], 1, "13");
	place_make(&places[1], 4, "12222");
	survivors_of(places, 2, list);
	list[1].committed = 2;
	assert_int_equal(recover_plan(&r, list, 2, &err), 0);
	assert_int_equal(list[1].keep, 2);
	list[1].committed = 3;
	assert_int_equal(recover_plan(&r, list, 2, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "part at entry 3"));
	list[1].committed = 5; /* more than the chosen one has */
	assert_int_equal(recover_plan(&r, list, 2, &err), -EUCLEAN);
	for (unsigned i = 0; i < 2; i++)
		place_end(&places[i]);
}

static void last_segment(const struct place *p, char path[512])
{
	DIR *dir = opendir(p->directory);
	const struct dirent *at;
	path[0] = '\0';
	while ((at = readdir(dir)))
		if (!strncmp(at->d_name, "segment-", 8))
			snprintf(path, 512, "%s/%s", p->directory, at->d_name);
	closedir(dir);
	assert_true(path[0]);
}

/* Turn bytes over, from the end of what is used or from the beginning on. */
static void place_harm(struct place *p, uint64_t offset, size_t size)
{
	char path[512];
	static const uint8_t noise[] = {0xff, 0xfe, 0xfd, 0xfc};
	last_segment(p, path);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, noise, size, (off_t)offset), size);
	close(fd);
	place_read(p);
}

static void a_torn_tail_does_not_count_and_damage_is_refused(void **state)
{
	struct place p;
	struct err err = {{0}};
	struct inspect_segment segment;
	place_make(&p, 1, "1222");
	assert_int_equal(inspect_segment(p.survivor.in, 0, &segment), 0);
	place_harm(&p, segment.used, 4);
	assert_int_equal(survivor_look(&p.survivor, &err), 0);
	assert_int_equal(p.survivor.status.last, 5);
	assert_true(p.survivor.status.torn_bytes > 0);
	place_harm(&p, 80, 2);
	assert_int_equal(survivor_look(&p.survivor, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "offset 56: "));
	place_end(&p);
}

/* Carrying out. */

static void a_step_is_done_once_and_only_where_it_was_planned(void **state)
{
	struct place places[2], stranger;
	struct survivor list[2];
	struct recovery r;
	struct err err;
	place_make(&places[0], 2, "13");
	place_make(&places[1], 4, "12222");
	survivors_of(places, 2, list);
	assert_int_equal(recover_plan(&r, list, 2, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct place *p = &places[i];
		struct recover_step step = step_of(&r, list, &list[i]);
		struct inspect_status s;
		struct disk_entry entry;
		struct configuration c;
		assert_int_equal(recover_look(p->survivor.in, &step, &err), RECOVER_DUE);
		place_apply(p, &step);
		assert_int_equal(recover_look(p->survivor.in, &step, &err), RECOVER_DONE);
		inspect_status(p->survivor.in, &s);
		assert_int_equal(s.problems, 0);
		assert_int_equal(s.term, REPLICA_GENERATION);
		assert_int_equal(s.vote, 2);
		/* The others' logs are the new leader's to change. */
		assert_int_equal(s.last, list[i].status.last + (i == 0));
		if (i > 0)
			continue;
		assert_int_equal(inspect_entry(p->survivor.in, s.last, &entry), 0);
		assert_int_equal(entry.term, REPLICA_GENERATION);
		assert_int_equal(configuration_decode(entry.data, entry.size, &c), 0);
		assert_int_equal(configuration_voters(&c), 1);
	}
	struct recover_step step = step_of(&r, list, &list[0]);
	place_make(&stranger, 2, "133");
	assert_int_equal(recover_look(stranger.survivor.in, &step, &err), -ESTALE);
	assert_non_null(strstr(err.text, "its last entry is 4 of term 3; make a new plan"));
	for (unsigned i = 0; i < 2; i++)
		place_end(&places[i]);
	place_end(&stranger);
}

/* A crash between the two writes of a step. */
static void a_step_that_was_cut_off_is_finished_by_the_next_one(void **state)
{
	struct place p;
	struct survivor list[1];
	struct recovery r;
	struct err err;
	struct directory d;
	struct writer *w;
	place_make(&p, 2, "13");
	survivors_of(&p, 1, list);
	assert_int_equal(recover_plan(&r, list, 1, &err), 0);
	struct recover_step step = step_of(&r, list, &list[0]);
	int fd = open(p.directory, O_RDONLY | O_DIRECTORY);
	assert_int_equal(directory_read(&d, fd, &err), 0);
	assert_int_equal(writer_open(&w, writing(fd), &d, &err), 0);
	assert_int_equal(writer_vote(w, step.term, step.chosen), 0);
	writer_close(w);
	directory_close(&d);
	close(fd);
	place_read(&p);
	assert_int_equal(recover_look(p.survivor.in, &step, &err), RECOVER_DUE);
	place_apply(&p, &step);
	assert_int_equal(recover_look(p.survivor.in, &step, &err), RECOVER_DONE);
	/* Once its member ran, it is known for what it is too. */
	fd = open(p.directory, O_RDONLY | O_DIRECTORY);
	assert_int_equal(directory_read(&d, fd, &err), 0);
	assert_int_equal(writer_open(&w, writing(fd), &d, &err), 0);
	assert_int_equal(writer_vote(w, step.term + 1, step.chosen), 0);
	writer_close(w);
	directory_close(&d);
	close(fd);
	place_read(&p);
	assert_int_equal(recover_look(p.survivor.in, &step, &err), RECOVER_PAST);
	place_end(&p);
}

/* A group, before and after. */

static void store_from(struct store *s, const struct place *p)
{
	struct inspect_status status;
	struct disk_entry entry;
	store_close(s);
	inspect_status(p->survivor.in, &status);
	s->term = status.term;
	s->vote = status.vote;
	s->first = status.first;
	if (status.snapshot) {
		const struct disk_snapshot *d = status.snapshot;
		s->has_snapshot = true;
		s->snapshot = *d;
		s->snapshot.configuration = bytes_copy(d->configuration, d->configuration_size);
		s->snapshot.data = bytes_copy(d->data, d->size);
	}
	for (uint64_t i = status.first; !inspect_entry(p->survivor.in, i, &entry); i++)
		store_append(s, i, &entry, 1);
}

/* All stop; those in the mask recover by way of files. With `skip`, one who is not chosen gets
 * nothing. Returns the chosen one. */
static struct node *group_recover(struct group *g, unsigned mask, bool skip)
{
	struct place places[NODES];
	struct survivor list[NODES];
	struct recovery r;
	struct err err = {{0}};
	unsigned n = 0;
	for (unsigned i = 0; i < g->n; i++) {
		node_crash(&g->nodes[i]);
		if (!(mask & 1u << i))
			continue;
		place_begin(&places[n], i + 1);
		place_write(&places[n], &g->nodes[i].store);
		place_read(&places[n++]);
	}
	survivors_of(places, n, list);
	if (recover_plan(&r, list, n, &err))
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < n; i++) {
		struct recover_step step = step_of(&r, list, &list[i]);
		if (skip && i != r.chosen)
			continue;
		place_apply(&places[i], &step);
		assert_int_equal(recover_look(places[i].survivor.in, &step, &err), RECOVER_DONE);
		store_from(&g->nodes[step.id - 1].store, &places[i]);
	}
	struct node *chosen = &g->nodes[list[r.chosen].id - 1];
	for (unsigned i = 0; i < n; i++)
		place_end(&places[i]);
	/* From here on the chosen one says what is true. */
	g->truth_length = 0;
	return chosen;
}

static void start_masked(struct group *g, unsigned mask)
{
	for (unsigned i = 0; i < g->n; i++)
		if (mask & 1u << i)
			node_start(&g->nodes[i]);
}

static void one_of_three_goes_on_with_all_that_it_had(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	write_some(leader, 1, 20);
	group_run(g, 300);
	struct node *left = another(g, leader);
	struct node *chosen = group_recover(g, 1u << left->number, false);
	assert_ptr_equal(chosen, left);
	node_start(left);
	assert_ptr_equal(group_elect(g), left);
	write_some(left, 2, 5);
	assert_int_equal(left->length, 25);
	struct replica_status s = status_of(left);
	assert_int_equal(s.voters, 1);
	group_free(g);
}

/* What all have in their lists is what the chosen one has. */
static void all_follow(struct group *g, const struct node *chosen)
{
	group_run(g, 2000);
	assert_ptr_equal(group_leader(g), chosen);
	for (unsigned i = 0; i < g->n; i++) {
		const struct node *n = &g->nodes[i];
		assert_int_equal(n->length, chosen->length);
		assert_memory_equal(n->list, chosen->list, n->length * sizeof(*n->list));
	}
}

/* Known again, they follow, and lose what the others do not have. One that had gone on by itself
 * stops where that shows, and reads its disk again, as a daemon does. */
static void take_back(struct group *g, uint64_t id)
{
	struct node *n = &g->nodes[id - 1];
	change(g, id, MEMBER_STANDBY);
	group_run(g, 2000);
	if (status_of(n).role == REPLICA_FAILED) {
		node_crash(n);
		node_start(n);
	}
	change(g, id, MEMBER_VOTER);
}

/* One of them, or both, who are a majority by what they know. When apart, at first they hear
 * nobody but each other. */
static void lost_ones_come_back(unsigned mask, bool apart)
{
	struct group *g = started(3);
	while (group_elect(g) != &g->nodes[0]) {
		replica_transfer(group_leader(g)->replica, 1, clock_of(group_leader(g)));
		group_run(g, 100);
	}
	struct node *left = &g->nodes[2];
	write_some(&g->nodes[0], 1, 20);
	group_run(g, 300);
	group_isolate(g, left, true);
	write_some(&g->nodes[0], 2, 10); /* which are on the two lost ones alone */
	group_isolate(g, left, false);
	group_recover(g, 4, false);
	node_start(left);
	assert_ptr_equal(group_elect(g), left);
	write_some(left, 3, 30);
	uint64_t term = status_of(left).term;
	assert_int_equal(left->length, 50);
	g->many_truths = g->lenient = true;
	group_isolate(g, left, apart);
	start_masked(g, mask);
	group_run(g, 3000);
	group_isolate(g, left, false);
	group_run(g, 5000);
	assert_int_equal(status_of(left).term, term);
	assert_int_equal(status_of(left).role, REPLICA_LEADER);
	assert_int_equal(left->length, 50);
	for (unsigned i = 0; i < 2; i++)
		assert_int_not_equal(status_of(&g->nodes[i]).role, REPLICA_LEADER);
	start_masked(g, ~mask & 3);
	take_back(g, 1);
	take_back(g, 2);
	write_some(left, 4, 5);
	all_follow(g, left);
	group_free(g);
}

static void lost_members_that_come_back_disturb_nobody(void **state)
{
	for (unsigned mask = 1; mask <= 3; mask++) {
		lost_ones_come_back(mask, false);
		lost_ones_come_back(mask, true);
	}
}

/* The only voter needs nobody to lead, but for what it has heard. */
static void a_lost_only_voter_leads_nobody_once_it_has_heard(void **state)
{
	struct group *g = group_new(2, 1);
	group_bootstrap(g, 1);
	group_start(g, 2);
	change(g, 2, MEMBER_STANDBY);
	struct node *lost = &g->nodes[0], *left = &g->nodes[1];
	write_some(lost, 1, 10);
	group_run(g, 300);
	group_recover(g, 2, false);
	node_start(left);
	assert_ptr_equal(group_elect(g), left);
	write_some(left, 2, 10);
	g->many_truths = g->lenient = true;
	node_start(lost);
	group_run(g, 3000);
	assert_int_equal(status_of(left).role, REPLICA_LEADER);
	assert_int_not_equal(status_of(lost).role, REPLICA_LEADER);
	assert_int_equal(left->length, 20);
	write_some(left, 3, 5);
	/* Started again, it would be what it heard and what it has. */
	node_crash(lost);
	const struct store *s = &lost->store;
	struct disk_state disk = {
	    .term = s->term, .vote = s->vote, .first = s->first, .n = s->n, .entries = s->entries};
	struct replica_options options = {.id = 1,
	    .address = "10.0.0.1:7000",
	    .heartbeat_ms = HEARTBEAT_MS,
	    .election_ms = ELECTION_MS,
	    .lease_ms = LEASE_MS,
	    .seed = 1};
	struct err err = {{0}};
	assert_null(replica_new(&options, &(struct replica_ports){.data = lost}, &disk, 0, &err));
	assert_non_null(strstr(err.text, "have gone on without this member"));
	group_free(g);
}

static unsigned most_applied(const struct group *g, unsigned mask)
{
	unsigned most = 0;
	for (unsigned i = 0; i < g->n; i++)
		if ((mask & 1u << i) && g->nodes[i].length > most)
			most = g->nodes[i].length;
	return most;
}

/* Members that lost messages and each other, in the middle of writing. */
static struct group *shaken(unsigned n, uint32_t seed)
{
	struct group *g = group_new(n, seed);
	g->jitter_ms = 5;
	g->drop_percent = 5;
	g->snapshot_log_bytes = seed % 3 ? 0 : 2000;
	group_bootstrap(g, n);
	group_start(g, n);
	for (unsigned round = 0; round < 6; round++) {
		struct node *leader = group_elect(g);
		write_some(leader, 1, group_random(g, 15));
		struct node *cut = &g->nodes[group_random(g, n)];
		group_isolate(g, cut, true);
		for (unsigned i = 0; i < 10; i++)
			node_write(leader, next_operation(2 + round), 1000);
		group_run(g, group_random(g, 1500));
		group_isolate(g, cut, false);
	}
	return g;
}

static unsigned random_minority(struct group *g)
{
	unsigned mask = 0, most = (g->n - 1) / 2;
	unsigned wanted = 1 + group_random(g, most);
	while ((unsigned)__builtin_popcount(mask) < wanted)
		mask |= 1u << group_random(g, g->n);
	return mask;
}

static void survivors_of_any_state_go_on_together(void **state)
{
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct group *g = shaken(seed % 2 ? 5 : 3, seed);
		unsigned mask = random_minority(g), applied = most_applied(g, mask);
		struct operation *truth = must_alloc((applied + 1) * sizeof(*truth));
		if (applied)
			memcpy(truth, g->truth, applied * sizeof(*truth));
		struct node *chosen = group_recover(g, mask, seed % 5 == 0);
		start_masked(g, 1u << chosen->number);
		assert_ptr_equal(group_elect(g), chosen);
		write_some(chosen, 40, 3);
		/* What any survivor knew to be committed is there. */
		assert_true(chosen->length >= applied);
		assert_memory_equal(chosen->list, truth, applied * sizeof(*truth));
		start_masked(g, mask & ~(1u << chosen->number));
		for (unsigned i = 0; i < g->n; i++)
			if (mask & 1u << i && i != chosen->number)
				change(g, i + 1, MEMBER_VOTER);
		write_some(chosen, 41, 3);
		g->drop_percent = 0;
		group_run(g, 2000);
		everyone_has(g, chosen->length);
		free(truth);
		group_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_newest_log_is_chosen_as_votes_are_given),
	    cmocka_unit_test(what_the_newest_log_does_not_have_is_dropped),
	    cmocka_unit_test(those_who_stay_are_the_survivors_and_stand_bys_and_one_votes),
	    cmocka_unit_test(a_majority_needs_no_recovery),
	    cmocka_unit_test(what_cannot_be_one_group_is_refused),
	    cmocka_unit_test(what_is_known_as_committed_is_never_dropped),
	    cmocka_unit_test(a_torn_tail_does_not_count_and_damage_is_refused),
	    cmocka_unit_test(a_step_is_done_once_and_only_where_it_was_planned),
	    cmocka_unit_test(a_step_that_was_cut_off_is_finished_by_the_next_one),
	    cmocka_unit_test(one_of_three_goes_on_with_all_that_it_had),
	    cmocka_unit_test(lost_members_that_come_back_disturb_nobody),
	    cmocka_unit_test(a_lost_only_voter_leads_nobody_once_it_has_heard),
	    cmocka_unit_test(survivors_of_any_state_go_on_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
