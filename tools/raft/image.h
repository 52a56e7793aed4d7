/* A snapshot in a file of its own: what `snapshot save` writes, or one out of a data directory.
 *
 * A saved file is a snapshot file (raft/format.md) and behind it a seal: the SHA-256 of all that
 * comes before. One out of a data directory has no seal, only the checksums within. Either is
 * refused unless every check holds and its value is sound. */
#ifndef TOOLS_RAFT_IMAGE_H
#define TOOLS_RAFT_IMAGE_H

#include "fsm/cluster.h"
#include "raft/configuration.h"
#include "raft/identity.h"
#include "raft/snapshot_file.h"

struct image {
	struct buffer bytes; /* of the file; owned */
	struct snapshot_file file; /* points into bytes and data */
	struct buffer data; /* owned */
	struct configuration configuration;
	struct cluster cluster; /* its value; owned */
	char sha256[IDENTITY_HEX_SIZE]; /* of the seal; "": there is none */
};

/* 0, or -errno with err: file and offset. To be closed when 0. */
int image_read(struct image *image, const char *path, struct err *err);
/* The same of bytes that are in memory, which the image takes over in both cases. */
int image_decode(struct image *image, struct buffer *bytes, struct err *err);
void image_close(struct image *image);

/* Write a saved file: all of it appears at once, and is on the disk when this returns. sha256 gets
 * its seal. -EEXIST: something of that name is there, and was not touched. "-": to standard
 * output. */
int image_write(const char *path, const struct disk_snapshot *snapshot,
    char sha256[IDENTITY_HEX_SIZE], struct err *err);

#endif
