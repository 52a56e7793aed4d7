/* pvcnoded: the node daemon's command line. */
#include <stdio.h>
#include <string.h>

#include "node/config/config.h"
#include "node/daemon.h"
#include "tools/applet.h"

static int usage(FILE *out, int code)
{
	fputs("usage: pvcnoded [-c FILE] [--check]\n"
	      "The node daemon. -c FILE, or PVC_CONFIG_FILE in the environment, or " CONFIG_PATH
	      ".\n"
	      "--check prints the configuration as it was understood, or what is wrong in it.\n",
	    out);
	return code;
}

int applet_pvcnoded(int argc, char **argv)
{
	const char *path = NULL;
	int check = 0;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return usage(stdout, 0);
		if (!strcmp(argv[i], "--version")) {
			puts("pvcnoded " PVC_VERSION);
			return 0;
		}
		if (!strcmp(argv[i], "--check"))
			check = 1;
		else if ((!strcmp(argv[i], "-c") || !strcmp(argv[i], "--config")) && argv[i + 1])
			path = argv[++i];
		else
			return usage(stderr, 2);
	}
	return check ? config_check(config_path(path)) : daemon_run(path);
}
