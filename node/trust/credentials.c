#include "node/trust/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/log/log.h"
#include "node/trust/trust_keeper.h"

#define CLOCK_TEXT_SIZE 32

static void clock_print(int64_t seconds, char text[CLOCK_TEXT_SIZE])
{
	time_t at = (time_t)seconds;
	struct tm parts;
	gmtime_r(&at, &parts);
	strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%d %H:%M UTC", &parts);
}

void credentials_directory(const struct config *config, char path[CREDENTIALS_PATH_MAX])
{
	snprintf(path, CREDENTIALS_PATH_MAX, "%s/identity",
	    config->system.configuration.directories.data_directory);
}

/* Off for longer than its certificate held: who has the CA's key helps itself. Who has not is
 * for the others to judge, for it may be our clock that is wrong. */
static int revive(const struct config *config, const char *path, struct identity_files *files,
    struct identity *identity, struct err *err)
{
	struct err why;
	char now[CLOCK_TEXT_SIZE];
	clock_print((int64_t)time(NULL), now);
	if (keeper_revive(path, config->raft.certificate_days, &why)) {
		log_error(
		    "The certificate in %s has expired, if it is %s now (%s). If it is not, "
		    "set the clock (timedatectl set-time) and restart pvcnoded; if it is, run "
		    "`pvc cluster member remove %s` on another node, remove %s here and join "
		    "again: the others refuse it",
		    path, now, why.text, config->node,
		    config->system.configuration.directories.data_directory);
		return 0;
	}
	identity_files_close(files);
	log_warning("The certificate had expired; it was renewed with the CA's key that is here, "
		    "as of %s; if that is not the time, set the clock (timedatectl set-time)",
	    now);
	return identity_load(path, files, identity, err);
}

static void warn_of_clock(const struct identity_files *files)
{
	struct identity_clock clock;
	int64_t now_s = (int64_t)time(NULL);
	char now[CLOCK_TEXT_SIZE], counts[CLOCK_TEXT_SIZE];
	identity_clock_set(&clock, files);
	if (now_s >= clock.signed_s)
		return;
	clock_print(now_s, now);
	clock_print(identity_clock_now(&clock, now_s), counts);
	log_warning("The clock is wrong: it says %s, and this node's certificate is newer. Type "
		    "timedatectl set-time, or see to its NTP. Certificates are judged as of %s",
	    now, counts);
}

int credentials_load(const struct config *config, struct identity_files *files,
    struct identity *identity, struct err *err)
{
	char path[CREDENTIALS_PATH_MAX];
	credentials_directory(config, path);
	int result = identity_load(path, files, identity, err);
	if (result == -EKEYEXPIRED)
		result = revive(config, path, files, identity, err);
	if (!result)
		warn_of_clock(files);
	if (result == -ENOENT && access(path, F_OK) == 0)
		return err_set(err, -EUCLEAN, "%s: a file of it is missing", path);
	if (result == -ENOENT)
		return err_set(err, -EUCLEAN,
		    "%s: this machine is of no cluster yet: run `pvc cluster bootstrap` on the "
		    "first one, `pvc cluster join TOKEN` on the others",
		    path);
	if (!result && strcmp(identity->name, config->node) != 0)
		return err_set(err, -EUCLEAN,
		    "the configuration says node %s, the certificate in %s is of %s: one of them "
		    "is of another machine",
		    config->node, path, identity->name);
	return result;
}
