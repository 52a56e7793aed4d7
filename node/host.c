#include "node/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static int read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, size - 1);
	int result = n < 0 ? -errno : 0;
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return result;
}

static uint64_t meminfo_mib(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) / 1024 : 0;
}

static int compare_bridges(const void *a, const void *b)
{
	return strcmp(((const struct bridge *)a)->name, ((const struct bridge *)b)->name);
}

/* By name, so that what is the same is told the same. */
static void read_bridges(struct host *host)
{
	DIR *devices = opendir("/sys/class/net");
	if (!devices)
		return;
	host->bridge_count = 0;
	for (struct dirent *entry; (entry = readdir(devices));) {
		char path[sizeof("/bridge") + sizeof(entry->d_name)];
		struct bridge *bridge = &host->bridges[host->bridge_count];
		if (*entry->d_name == '.' || host->bridge_count == HOST_BRIDGES_MAX ||
		    strlen(entry->d_name) >= sizeof(bridge->name))
			continue;
		snprintf(path, sizeof(path), "%s/bridge", entry->d_name);
		if (faccessat(dirfd(devices), path, F_OK, 0))
			continue;
		snprintf(bridge->name, sizeof(bridge->name), "%s", entry->d_name);
		host->bridge_count++;
	}
	closedir(devices);
	qsort(host->bridges, host->bridge_count, sizeof(*host->bridges), compare_bridges);
}

int host_read(struct host *host)
{
	char text[4096];
	struct utsname name;
	int result = read_file("/proc/meminfo", text, sizeof(text));
	if (!result) {
		host->memory_total_mib = meminfo_mib(text, "MemTotal:");
		host->memory_free_mib = meminfo_mib(text, "MemAvailable:");
		host->memory_used_mib = host->memory_total_mib - host->memory_free_mib;
	}
	if (!read_file("/proc/loadavg", text, sizeof(text)))
		host->load_milli = (uint32_t)(strtod(text, NULL) * 1000);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	host->vcpus_total = cpus > 0 ? (uint32_t)cpus : 0;
	if (!uname(&name)) {
		snprintf(host->kernel, sizeof(host->kernel), "%.63s", name.release);
		snprintf(host->arch, sizeof(host->arch), "%.15s", name.machine);
	}
	if (!read_file("/proc/sys/kernel/random/boot_id", text, sizeof(text)))
		snprintf(host->boot_id, sizeof(host->boot_id), "%.36s", text);
	read_bridges(host);
	snprintf(host->version, sizeof(host->version), "%s", PVC_VERSION);
	return result;
}

void host_raise_files(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= HOST_FILES_MAX)
		return;
	files.rlim_cur = files.rlim_max < HOST_FILES_MAX ? files.rlim_max : HOST_FILES_MAX;
	setrlimit(RLIMIT_NOFILE, &files);
}
