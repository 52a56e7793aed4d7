#include <stdio.h>
#include <stdlib.h>

#include "node/primary/guard.h"
#include "tools/applet.h"

int applet_guard(int argc, char **argv)
{
	char *end_fd, *end_memfd;
	long fd = argc == 3 ? strtol(argv[1], &end_fd, 10) : -1;
	long memfd = argc == 3 ? strtol(argv[2], &end_memfd, 10) : -1;
	if (fd < 3 || memfd < 3 || fd > 1024 || memfd > 1024 || *end_fd || *end_memfd) {
		fprintf(stderr, "guard: started by pvcnoded, not by hand\n");
		return 2;
	}
	return guard_main((int)fd, (int)memfd);
}
