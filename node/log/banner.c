#include "node/log/banner.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "node/log/log.h"

#define NAME_MAX_BYTES 256

static const char *const art[] = {
    "  _ ____   _____",
    " | '_ \\ \\ / / __|",
    " | |_) \\ V / (__",
    " | .__/ \\_/ \\___|",
    " |_|",
};

/* The text behind NAME= on a line of a file of assignments, without quotes. */
static int assignment_value(const char *line, const char *name, char out[NAME_MAX_BYTES])
{
	size_t size = strlen(name);
	if (strncmp(line, name, size) != 0 || line[size] != '=')
		return 0;
	const char *value = line + size + 1;
	value += *value == '"' || *value == '\'';
	snprintf(out, NAME_MAX_BYTES, "%.*s", (int)strcspn(value, "\"'\n"), value);
	return 1;
}

static void system_name(char out[NAME_MAX_BYTES])
{
	char line[512];
	snprintf(out, NAME_MAX_BYTES, "unknown");
	FILE *file = fopen("/etc/os-release", "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		if (assignment_value(line, "PRETTY_NAME", out))
			break;
	fclose(file);
}

static void full_name(const char *domain, const struct utsname *host, char out[NAME_MAX_BYTES])
{
	const char *dot = strchr(host->nodename, '.') || !*domain ? "" : ".";
	snprintf(out, NAME_MAX_BYTES, "%s%s%s", host->nodename, dot, *dot ? domain : "");
}

static const char *or_none(const char *text)
{
	return text && *text ? text : "none";
}

void banner_print(const struct banner_facts *facts)
{
	struct utsname host = {0};
	char name[NAME_MAX_BYTES], system[NAME_MAX_BYTES], id[24] = "none yet";
	uname(&host);
	full_name(facts->domain, &host, name);
	system_name(system);
	if (facts->id)
		snprintf(id, sizeof(id), "%llu", (unsigned long long)facts->id);

	for (size_t i = 0; i < sizeof(art) / sizeof(art[0]); i++)
		log_system("%s", art[i]);
	log_system("| %s %s", facts->daemon, facts->version);
	log_system("| libraft:       %s", facts->raft_version);
	log_system("| node:          %s", facts->node);
	log_system("| id:            %s", id);
	log_system("| cluster:       %s", or_none(facts->cluster));
	log_system("| FQDN:          %s", name);
	log_system("| IPMI host:     %s", or_none(facts->ipmi_host));
	log_system("| CPUs:          %ld", sysconf(_SC_NPROCESSORS_ONLN));
	log_system("| architecture:  %s", host.machine);
	log_system("| OS:            %s", system);
	log_system("| kernel:        %s", host.release);
	log_system("| schema:        %u to %u", facts->schema_min, facts->schema_max);
}
