/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/log_store.h"

#include <errno.h>

#include "daemon/common/fd.h"
#include "daemon/common/list.h"

struct stored_log {
	LIST_ENTRY(stored_log) link; /* log_store::logs */
	uint64_t cookie;
	int fd;
};

void log_store_init(struct log_store *store)
{
	LIST_INIT(&store->logs);
}

static void stored_log_free(struct stored_log *log)
{
	LIST_REMOVE(log, link);
	fd_close(log->fd);
	free(log);
}

void log_store_deinit(struct log_store *store)
{
	while (!LIST_EMPTY(&store->logs))
		stored_log_free(LIST_FIRST(&store->logs));
}

void log_store_remove(struct log_store *store, uint64_t cookie)
{
	struct stored_log *log, *next;
	LIST_FOREACH_SAFE(log, &store->logs, link, next) {
		if (log->cookie == cookie)
			stored_log_free(log);
	}
}

int log_store_add(struct log_store *store, uint64_t cookie, int fd)
{
	struct stored_log *log = fd >= 0 ? malloc(sizeof(*log)) : NULL;
	if (!log) {
		fd_close(fd);
		return -1;
	}
	log_store_remove(store, cookie);
	*log = (struct stored_log){.cookie = cookie, .fd = fd};
	LIST_INSERT_HEAD(&store->logs, log, link);
	return 0;
}

int log_store_fd(const struct log_store *store, uint64_t cookie)
{
	const struct stored_log *log;
	LIST_FOREACH(log, &store->logs, link) {
		if (log->cookie == cookie)
			return log->fd;
	}
	errno = ENOENT;
	return -1;
}
