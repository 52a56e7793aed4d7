/* Small files of ours: they appear whole or not at all, and only a regular one is read.
 *
 * Blocking, and without a pipe or a device in the place of a file that could hold a reader up. */
#ifndef NODE_FILE_H
#define NODE_FILE_H

#include "fsm/buffer.h"

/* Write bytes to a new file of mode 0600; durable on return. 0, or -errno: -EEXIST: something of
 * that name is there. Then nothing of that name was made or changed. */
int file_make(const char *path, const void *bytes, size_t size);

/* The same, in the place of the one that is there, if any. */
int file_replace(const char *path, const void *bytes, size_t size);

/* Write all of it to what is open. 0 or -errno. */
int file_pour(int fd, const void *bytes, size_t size);

/* Append what is in it to out. 0, or -errno: -EFBIG: more than size_max; -EISDIR; -EINVAL: a
 * pipe or the like. */
int file_read(const char *path, size_t size_max, struct buffer *out);

#endif
