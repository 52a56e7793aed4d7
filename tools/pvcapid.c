/* pvcapid: the name under which the API daemon will run. This version has none:
 * it says so, and the unit that would start it is not shipped. */
#include <stdio.h>
#include <string.h>

#include "tools/applet.h"

int applet_pvcapid(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("pvcapid " PVC_VERSION);
		return 0;
	}
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		puts("usage: pvcapid [--help] [--version]");
		puts("The name under which the API daemon will run: this version serves no API "
		     "yet.");
		return 0;
	}
	fputs(
	    "pvcapid: this version serves no API yet: use the command line (pvc --help)\n", stderr);
	return 1;
}
