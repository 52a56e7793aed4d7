/* pvc: what it is is said by its name or its first words. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/operation.h"
#include "tools/applet.h"
#include "tools/cli.h"

static int has_option(const char *option, int argc, char **argv)
{
	size_t length = strlen(option);
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], option, length) &&
		    (!argv[i][length] || argv[i][length] == '='))
			return 1;
	return 0;
}

/* The applet that these words name, or NULL; *used gets how many are its name. */
static const struct applet *applet_find(int argc, char **argv, int *used)
{
	for (const struct applet *a = applets; a->words; a++) {
		*used = (int)operation_words(a->words, (const char *const *)argv, (unsigned)argc);
		if (*used && (!a->needs || has_option(a->needs, argc, argv)))
			return a;
	}
	return NULL;
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
	applet = argc > 1 ? applet_find(argc - 1, argv + 1, &used) : NULL;
	if (applet)
		return applet->run(argc - used, argv + used);
	return cli_main(argc, argv);
}

int main(int argc, char **argv)
{
	standard_files_hold();
	int status = run(argc, argv);
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fputs("pvc: not all of it could be written to standard output\n", stderr);
	return status ? status : CLI_REFUSED;
}
