/* Floating addresses as files, for clusters on one machine without privileges.
 *
 * PVC_ADDRESS_SIM is a directory that stands for the network. The file named
 * like an address holds "HOLDER EXPIRY\n": who has it, and until when on the
 * machine's monotonic clock (ms), as a kernel would keep a valid lifetime.
 * PVC_ADDRESS_SIM_HOLDER is the name of this node. Adding an address that
 * another node has is refused, and written down in the file "double".
 * PVC_ADDRESS_SIM_DELAY_MS, if it is there, is how long adding one takes. */
#include "node/primary/address.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "node/config/cidr.h"

#define HOLDER_MAX   64
#define LOCK_WAIT_MS 200

struct place { /* an address's file, locked */
	int directory, lock;
	const char *self;
	char file[CIDR_TEXT_MAX];
	char holder[HOLDER_MAX]; /* "": nobody */
};

static uint64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Other nodes hold the lock for microseconds; one that is frozen just then must not freeze us. */
static int place_lock(int directory)
{
	int fd = openat(directory, ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	for (int i = 0; i < LOCK_WAIT_MS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		struct timespec wait = {.tv_nsec = 1000000};
		nanosleep(&wait, NULL);
	}
	close(fd);
	return -EBUSY;
}

static void place_read(struct place *p)
{
	char text[HOLDER_MAX + 32] = "";
	int fd = openat(p->directory, p->file, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	if (fd >= 0)
		close(fd);
	text[size > 0 ? size : 0] = 0;
	uint64_t expiry_ms = 0;
	if (sscanf(text, "%63s %" SCNu64, p->holder, &expiry_ms) != 2 || expiry_ms <= clock_ms())
		p->holder[0] = 0;
}

static int place_open(struct place *p, const struct address *a, struct err *err)
{
	*p = (struct place){.directory = -1, .lock = -1};
	const char *directory = getenv("PVC_ADDRESS_SIM");
	p->self = getenv("PVC_ADDRESS_SIM_HOLDER");
	if (!directory || !p->self || !p->self[0] || strlen(p->self) >= HOLDER_MAX)
		return err_set(err, -EINVAL,
		    "PVC_ADDRESS_SIM must name a directory, PVC_ADDRESS_SIM_HOLDER this node");
	struct cidr cidr;
	if (cidr_parse(&cidr, a->cidr))
		return err_set(err, -EINVAL, "\"%s\" is not an address with a prefix", a->cidr);
	cidr_print_address(&cidr, p->file);
	p->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->directory < 0)
		return err_set(err, -errno, "%s: %s", directory, strerror(errno));
	p->lock = place_lock(p->directory);
	if (p->lock < 0) {
		close(p->directory);
		return err_set(err, p->lock, "%s/.lock: %s", directory, strerror(-p->lock));
	}
	place_read(p);
	return 0;
}

static void place_close(struct place *p)
{
	close(p->lock);
	close(p->directory);
}

static int place_write(const struct place *p, uint32_t lifetime_s)
{
	char text[HOLDER_MAX + 32];
	int size = snprintf(text, sizeof(text), "%s %" PRIu64 "\n", p->self,
	    clock_ms() + (uint64_t)lifetime_s * 1000);
	int fd = openat(p->directory, p->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	int status = write(fd, text, (size_t)size) == size ? 0 : -EIO;
	close(fd);
	return status;
}

static void double_note(const struct place *p)
{
	char text[2 * HOLDER_MAX + 80];
	int size = snprintf(text, sizeof(text), "%s %s %s\n", p->file, p->holder, p->self);
	int fd = openat(p->directory, "double", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)size) != size)
		errno = 0;
	close(fd);
}

static void delay(void)
{
	const char *text = getenv("PVC_ADDRESS_SIM_DELAY_MS");
	unsigned long ms = text ? strtoul(text, NULL, 10) : 0;
	struct timespec wait = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
	if (ms)
		nanosleep(&wait, NULL);
}

static int sim_add(const struct address *a, uint32_t lifetime_s, struct err *err)
{
	struct place p;
	delay();
	int status = place_open(&p, a, err);
	if (status)
		return status;
	if (p.holder[0] && strcmp(p.holder, p.self)) {
		double_note(&p);
		status = err_set(err, -EADDRINUSE, "%s is on %s", p.file, p.holder);
	} else {
		status = place_write(&p, lifetime_s);
		if (status)
			err_set(err, status, "%s: %s", p.file, strerror(-status));
	}
	place_close(&p);
	return status;
}

static int sim_remove(const struct address *a, struct err *err)
{
	struct place p;
	int status = place_open(&p, a, err);
	if (status == -EINVAL)
		return 0; /* it cannot be on */
	if (status)
		return status;
	if (!strcmp(p.holder, p.self) && unlinkat(p.directory, p.file, 0))
		status = err_set(err, -errno, "%s: %s", p.file, strerror(errno));
	place_close(&p);
	return status;
}

static int sim_present(const struct address *a, struct err *err)
{
	struct place p;
	int status = place_open(&p, a, err);
	if (status)
		return status;
	int present = !strcmp(p.holder, p.self);
	place_close(&p);
	return present;
}

static int sim_tell(const struct address *a, struct err *err)
{
	return 0;
}

static int sim_answered(const struct address *a, char holder[18], struct err *err)
{
	struct place p;
	int status = place_open(&p, a, err);
	if (status)
		return status;
	int claimed = p.holder[0] && strcmp(p.holder, p.self);
	if (claimed)
		snprintf(holder, 18, "%.17s", p.holder);
	place_close(&p);
	return claimed;
}

const struct address_port address_sim = {
    .name = "sim",
    .add = sim_add,
    .remove = sim_remove,
    .present = sim_present,
    .announce = sim_tell,
    .ask = sim_tell,
    .answered = sim_answered,
};
