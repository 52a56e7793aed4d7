/* The checks of what a node works with: its BMC, its hypervisor, Ceph. None of them is needed to
 * start; each is missed later. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/worker/hypervisor.h"
#include "tools/probe.h"
#include "tools/survey_check.h"

/* The BMC. */

/* Its first line, for people. */
static void first_line(const struct buffer *said, char line[128])
{
	size_t size = said->size < 127 ? said->size : 127;
	memcpy(line, said->data ? (const char *)said->data : "", said->data ? size : 0);
	line[said->data ? size : 0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
}

/* What IPMI is for here is not there yet. */
#define TO_COME "fencing, which is to come, will need it"

static void judge_bmc(const struct survey_report *report, const struct config_ipmi *ipmi)
{
	char variable[160], line[128];
	/* By the environment: a command line is everybody's to read. */
	snprintf(variable, sizeof(variable), "IPMI_PASSWORD=%s", ipmi->pass);
	char *const argv[] = {"ipmitool", "-I", "lanplus", "-R", "1", "-N", "2", "-H",
	    (char *)(uintptr_t)ipmi->host, "-U", (char *)(uintptr_t)ipmi->user, "-E", "chassis",
	    "power", "status", NULL};
	char *const variables[] = {variable, NULL};
	struct buffer said = {0};
	int result = probe_program(argv, variables, &said);
	first_line(&said, line);
	explicit_bzero(variable, sizeof(variable));
	buffer_close(&said);
	if (result == -ENOENT)
		survey_say(report, SURVEY_WARNING, "apt install ipmitool: " TO_COME,
		    "ipmitool is not installed");
	else if (result)
		survey_say(report, SURVEY_WARNING, "see pvc.system.fencing.ipmi: " TO_COME,
		    "%s does not answer: %s", ipmi->host,
		    *line ? line : "ipmitool failed and does not say why");
	else
		survey_say(report, SURVEY_OK, "", "%s: %s", ipmi->host, line);
}

void survey_ipmi(const struct survey_report *report)
{
	const struct config_ipmi *ipmi = &report->subject->config->system.fencing.ipmi;
	if (report->subject->config->mode == MODE_WITNESS)
		return;
	if (!*ipmi->host)
		survey_say(report, SURVEY_WARNING,
		    "set pvc.system.fencing.ipmi if it has a BMC: " TO_COME,
		    "none is configured; when this node is lost, a person must vouch that it is "
		    "off");
	else if (!config_secret_known(ipmi->pass))
		survey_say(report, SURVEY_WARNING, "set pvc.system.fencing.ipmi.pass: " TO_COME,
		    "%s: its password is not known", ipmi->host);
	else
		judge_bmc(report, ipmi);
}

/* The hypervisor. */

static void judge_kvm(const struct survey_report *report)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		survey_say(report, SURVEY_WARNING,
		    "switch virtualization on in the firmware, load kvm_intel or kvm_amd",
		    "/dev/kvm: %s: VMs are emulated, and slow", strerror(errno));
	else
		close(fd);
}

static void judge_libvirt(const struct survey_report *report, const char *uri)
{
	struct hypervisor *h;
	struct err err;
	/* The embedded one would make its directories. */
	if (strstr(uri, ":///embed")) {
		if (dlopen("libvirt.so.0", RTLD_NOW | RTLD_LOCAL))
			survey_say(report, SURVEY_OK, "", "%.200s: libvirt is there", uri);
		else
			survey_say(report, SURVEY_WARNING,
			    "apt install libvirt-daemon-driver-qemu qemu-system-x86",
			    "libvirt is not installed");
		return;
	}
	int result = hypervisor_libvirt.open(&h, uri, &err);
	if (result)
		survey_say(report, SURVEY_WARNING,
		    result == -ENOSYS ? "apt install libvirt-daemon-system qemu-system-x86"
				      : "systemctl status libvirtd",
		    "%.256s", err.text);
	else
		survey_say(report, SURVEY_OK, "", "%.200s answers", uri);
}

void survey_hypervisor(const struct survey_report *report)
{
	const struct config *c = report->subject->config;
	if (c->mode == MODE_WITNESS || !c->functions.enable_hypervisor)
		return;
	if (c->hypervisor.driver == CONFIG_HYPERVISOR_SIM) {
		survey_say(report, SURVEY_OK, "", "simulated: no VM is real");
		return;
	}
	judge_kvm(report);
	judge_libvirt(report, c->hypervisor.uri);
}

/* Ceph. */

static bool readable(const struct survey_report *report, const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool can = fd >= 0 && read(fd, &byte, 1) >= 0;
	if (!can)
		survey_say(report, SURVEY_WARNING,
		    "copy it here from Ceph, or set pvc.functions.enable_storage to no",
		    "%.200s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return can;
}

void survey_ceph(const struct survey_report *report)
{
	const struct config *c = report->subject->config;
	const struct config_storage *storage = &c->system.configuration.storage;
	if (c->mode == MODE_WITNESS || !c->functions.enable_storage ||
	    c->pool.driver == CONFIG_POOL_SIM)
		return;
	bool config = readable(report, storage->ceph_config_file);
	bool keyring = readable(report, storage->ceph_admin_keyring);
	if (config && keyring)
		survey_say(report, SURVEY_OK, "", "%.120s and %.120s can be read",
		    storage->ceph_config_file, storage->ceph_admin_keyring);
}
