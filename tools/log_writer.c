#include "tools/log_writer.h"

static void ready(void *data)
{
	sem_post(&((struct log_writer *)data)->ready);
}

static void done(void *data, uint64_t ticket, int status)
{
	struct log_writer *w = data;
	w->left--;
	if (!w->status)
		w->status = status;
}

int log_writer_open(struct log_writer *w, const char *directory, struct err *err)
{
	struct wal_options options = {.directory = directory, .ready = ready, .data = w};
	*w = (struct log_writer){0};
	sem_init(&w->ready, 0, 0);
	int result = wal_open(&w->wal, &options, &w->state, err);
	if (result)
		sem_destroy(&w->ready);
	return result;
}

int log_writer_write(struct log_writer *w, struct disk_request *requests, unsigned n)
{
	struct disk disk = wal_disk(w->wal);
	wal_forget_state(w->wal);
	for (unsigned i = 0; i < n; i++) {
		requests[i].ticket = i + 1;
		w->left++;
		disk.submit(disk.data, &requests[i]);
	}
	while (w->left) {
		sem_wait(&w->ready);
		wal_collect(w->wal, done, w);
	}
	return w->status;
}

void log_writer_close(struct log_writer *w)
{
	wal_close(w->wal);
	sem_destroy(&w->ready);
}
