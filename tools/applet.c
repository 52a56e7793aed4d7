#include "tools/applet.h"

#include <stddef.h>

#define APPLET(words, needs, function, help) {words, needs, function, help},
const struct applet applets[] = {
#include "tools/applet.def"
    {0}};
#undef APPLET
