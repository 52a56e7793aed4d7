#include "node/contacts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void contacts_path(const char *directory, char path[1024])
{
	snprintf(path, 1024, "%s/contacts", directory);
}

int contacts_save(
    const char *directory, const struct peers_member *members, unsigned n, struct err *err)
{
	char path[1024];
	contacts_path(directory, path);
	FILE *file = fopen(path, "we");
	if (!file)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	for (unsigned i = 0; i < n; i++)
		fprintf(file, "%" PRIu64 " %s\n", members[i].id, members[i].address);
	int result = fflush(file) || fsync(fileno(file)) ? -errno : 0;
	fclose(file);
	return result ? err_set(err, result, "%s: %s", path, strerror(-result)) : 0;
}

unsigned contacts_load(const char *directory, struct peers_member members[PEERS_MEMBERS_MAX])
{
	char path[1024], line[256];
	unsigned n = 0;
	contacts_path(directory, path);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	while (n < PEERS_MEMBERS_MAX && fgets(line, sizeof(line), file)) {
		members[n] = (struct peers_member){0};
		if (sscanf(line, "%" SCNu64 " %127s", &members[n].id, members[n].address) == 2)
			n++;
	}
	fclose(file);
	return n;
}
