/* pvc: what it is is said by its name or its first words. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/operation/operation.h"
#include "tools/answer.h"
#include "tools/applet.h"
#include "tools/cli.h"

/* The applet that these words name, or NULL; *used gets how many are its name. */
static const struct applet *applet_find(int argc, char **argv, int *used)
{
	const char *const *words = (const char *const *)argv;
	for (const struct applet *a = applets; a->words; a++) {
		unsigned n = operation_words(a->words, words, (unsigned)argc);
		*used = (int)n;
		if (n && applet_asked(a, words + n, (unsigned)argc - n))
			return a;
	}
	return NULL;
}

/* How many arguments name the daemon's socket, before the first word; applets look for it in
 * the environment. */
static int leading(int argc, char **argv, const char **path)
{
	*path = NULL;
	if (argc > 2 && (!strcmp(argv[1], "-s") || !strcmp(argv[1], "--socket")))
		*path = argv[2];
	else if (argc > 1 && !strncmp(argv[1], "--socket=", 9))
		*path = argv[1] + 9;
	else
		return 0;
	return *path == argv[2] ? 2 : 1;
}

/* Whoever starts us may have closed some: what we open must not take their place, where all
 * that we start would write into it. */
static void standard_files_hold(void)
{
	int fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = open("/dev/null", O_RDWR);
	if (fd >= 0)
		close(fd);
}

static int run(int argc, char **argv)
{
	int used = 0;
	char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	char *name[] = {slash ? slash + 1 : argv[0], NULL};
	const struct applet *applet = argc > 0 ? applet_find(1, name, &used) : NULL;
	if (applet)
		return applet->run(argc, argv);
	const char *socket;
	int before = leading(argc, argv, &socket);
	char **words = argv + before;
	applet = argc - before > 1 ? applet_find(argc - before - 1, words + 1, &used) : NULL;
	if (applet && socket)
		setenv("PVC_SOCKET", socket, 1);
	if (applet)
		return applet->run(argc - before - used, words + used);
	return cli_main(argc, argv);
}

int main(int argc, char **argv)
{
	standard_files_hold();
	int status = run(argc, argv);
	if (status && cli_wants_json(argc, argv))
		answer_end();
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fputs("pvc: not all of it could be written to standard output\n", stderr);
	return status ? status : CLI_REFUSED;
}
