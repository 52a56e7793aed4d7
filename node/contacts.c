#include "node/contacts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/file.h"

#define CONTACTS_BYTES_MAX 65536

static void contacts_path(const char *directory, char path[1024])
{
	snprintf(path, 1024, "%s/contacts", directory);
}

int contacts_save(
    const char *directory, const struct peers_member *members, unsigned n, struct err *err)
{
	char path[1024];
	struct buffer text = {0};
	contacts_path(directory, path);
	for (unsigned i = 0; i < n; i++)
		buffer_print(&text, "%" PRIu64 " %s\n", members[i].id, members[i].address);
	int result = file_replace(path, text.data, text.size);
	buffer_close(&text);
	return result ? err_set(err, result, "%s: %s", path, strerror(-result)) : 0;
}

unsigned contacts_load(const char *directory, struct peers_member members[PEERS_MEMBERS_MAX])
{
	char path[1024], *rest, *line;
	struct buffer text = {0};
	unsigned n = 0;
	contacts_path(directory, path);
	if (file_read(path, CONTACTS_BYTES_MAX, &text))
		text.size = 0;
	buffer_append_u8(&text, 0);
	rest = (char *)text.data;
	while (n < PEERS_MEMBERS_MAX && (line = strsep(&rest, "\n"))) {
		members[n] = (struct peers_member){0};
		if (sscanf(line, "%" SCNu64 " %127s", &members[n].id, members[n].address) == 2)
			n++;
	}
	buffer_close(&text);
	return n;
}
