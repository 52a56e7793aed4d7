/* pvcnoded: one loop that never calls anything that can block.
 *
 * Start order, each step logged: configuration, log and banner, data directory and
 * its lock, the log read and the value restored, schema check, sockets, guard and
 * workers, the loop. */
#ifndef NODE_DAEMON_H
#define NODE_DAEMON_H

/* Starting again would not help: a person is needed (the log is lost or of a newer version, this
 * machine is of no cluster, or was removed from it). */
#define DAEMON_EXIT_PERSON 3

/* Run with the configuration in path (NULL: config_path()) until SIGTERM. Returns
 * the exit status: 0 after an orderly end, 1 when it could not start, 2 when the
 * configuration is not right, DAEMON_EXIT_PERSON. */
int daemon_run(const char *path);

#endif
