#include "tools/raft/survivors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/operation/json.h"
#include "tools/replay.h"

/* Reading. */

static void problem_first(void *data, const struct inspect_finding *f)
{
	struct err *err = data;
	if (f->problem && !err->text[0])
		err_set(err, -EBADMSG, "%s: offset %" PRIu64 ": %s", f->file, f->offset, f->text);
}

/* Of its files, and of what they mean. */
static int check_damage(const struct inspect *in, struct err *err)
{
	struct err first = {{0}};
	unsigned problems = inspect_verify(in, problem_first, &first);
	if (!problems)
		problems = replay_verify(in, problem_first, &first);
	return problems ? err_set(err, -EBADMSG, "damaged: %s", first.text) : 0;
}

static int read_one(struct survivors *s, const char *path, struct err *err)
{
	struct survivor_directory *d = &s->directories[s->n];
	struct survivor *survivor = &s->list[s->n];
	*d = (struct survivor_directory){.path = path};
	int result = source_open_at(&d->source, path, err);
	if (result)
		return result;
	s->n++;
	inspect_status(d->source.in, &d->status);
	result = source_identity(&d->source, &d->who, err);
	*survivor = (struct survivor){.in = d->source.in, .name = path, .id = d->who.id};
	if (result)
		return result;
	survivor->committed = replay_committed(d->source.in);
	result = check_damage(d->source.in, err);
	if (!result)
		result = survivor_look(survivor, err);
	return result ? err_wrap(err, result, "%s", path) : 0;
}

static void leave_out(struct survivors *s, const char *path, const struct err *err)
{
	if (s->n && s->directories[s->n - 1].path == path)
		source_close(&s->directories[--s->n].source);
	json_array_append_new(s->damaged,
	    json_pack("{s:s, s:o}", "directory", path, "problem", json_text(err->text)));
}

static int check_cluster(const struct survivors *s, struct err *err)
{
	const struct survivor_directory *first = &s->directories[0];
	for (unsigned i = 1; i < s->n; i++) {
		const struct survivor_directory *d = &s->directories[i];
		if (strcmp(d->who.cluster, first->who.cluster) != 0)
			return err_set(err, -EINVAL, "%s is of the cluster %s, %s of %s",
			    first->path, first->who.cluster, d->path, d->who.cluster);
		for (unsigned k = 0; k < i; k++)
			if (s->directories[k].who.id == d->who.id)
				return err_set(err, -EINVAL, "%s and %s are both of the node %s",
				    s->directories[k].path, d->path, d->who.name);
	}
	return 0;
}

int survivors_open(
    struct survivors *s, const json_t *paths, enum survivors_damaged damaged, struct err *err)
{
	size_t i;
	const json_t *path;
	*s = (struct survivors){.damaged = json_array()};
	if (json_array_size(paths) > SURVIVORS_MAX)
		return err_set(err, -E2BIG, "more than %d directories", SURVIVORS_MAX);
	json_array_foreach(paths, i, path)
	{
		const char *text = json_string_value(path);
		int result = read_one(s, text, err);
		if (result == -EBADMSG && damaged == SURVIVORS_DAMAGED_LEFT_OUT)
			leave_out(s, text, err);
		else if (result)
			return result;
	}
	if (!s->n)
		return err_set(err, -ENOENT, "no directory is left that can be read");
	return check_cluster(s, err);
}

void survivors_close(struct survivors *s)
{
	for (unsigned i = 0; i < s->n; i++)
		source_close(&s->directories[i].source);
	json_decref(s->damaged);
}

/* Values. */

/* The hash of the value after an entry. Returns false when nothing leads there. */
static bool hash_at(const struct inspect *in, uint64_t index, uint64_t *hash)
{
	struct replay r;
	if (replay_run(&r, in, index, NULL))
		return false;
	*hash = r.cluster.hash;
	replay_close(&r);
	return true;
}

/* The entry after which they differ, between one where they do not (or the first that can be
 * compared) and one where they do. */
static uint64_t first_difference(const struct inspect *a, const struct inspect *b, uint64_t differs)
{
	uint64_t same = 0, hash_a, hash_b;
	while (differs - same > 1) {
		uint64_t middle = same + (differs - same) / 2;
		bool known = hash_at(a, middle, &hash_a) && hash_at(b, middle, &hash_b);
		if (known && hash_a != hash_b)
			differs = middle;
		else
			same = middle;
	}
	return differs;
}

static int compare_one(struct survivor_directory *d, const struct survivor *s,
    const struct survivor *newest, struct err *err)
{
	uint64_t hash;
	if (s->behind || !hash_at(newest->in, s->keep, &hash))
		return 0;
	if (!hash_at(s->in, s->keep, &d->hash))
		return 0;
	d->hash_index = s->keep;
	if (d->hash == hash)
		return 0;
	return err_set(err, -EUCLEAN,
	    "%s and %s have the same log up to entry %" PRIu64
	    ", but the values differ after entry %" PRIu64
	    ": one of the two nodes has computed or stored something wrong; leave one of them out",
	    newest->name, s->name, s->keep, first_difference(newest->in, s->in, s->keep));
}

int survivors_compare(struct survivors *s, unsigned newest, struct err *err)
{
	for (unsigned i = 0; i < s->n; i++) {
		int result = compare_one(&s->directories[i], &s->list[i], &s->list[newest], err);
		if (result)
			return result;
	}
	return 0;
}

json_t *survivors_json(const struct survivors *s, unsigned which)
{
	const struct survivor *one = &s->list[which];
	const struct survivor_directory *d = &s->directories[which];
	const char *role = one->member ? state_name(member_role_names, one->role) : "none";
	return json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "node", json_text(d->who.name), "id", json_u64(one->id), "directory", d->path, "role",
	    role, "last_index", json_u64(one->status.last), "last_term", json_u64(one->last_term),
	    "term", json_u64(one->status.term), "vote", json_u64(one->status.vote),
	    "committed_index", json_u64(one->committed), "same_index",
	    one->behind ? json_null() : json_u64(one->keep), "dropped",
	    json_u64(one->behind ? 0 : one->status.last - one->keep), "hash_index",
	    d->hash_index ? json_u64(d->hash_index) : json_null(), "hash",
	    d->hash_index ? json_sprintf("%016" PRIx64, d->hash) : json_null());
}
