/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writable region logs that the supervisor gave to this worker, by cookie. */
#ifndef XENVRAM_WORKER_LOG_STORE_H
#define XENVRAM_WORKER_LOG_STORE_H

#include <stdint.h>
#include <sys/queue.h>

struct stored_log;

struct log_store {
	LIST_HEAD(, stored_log) logs;
};

void log_store_init(struct log_store *store);
void log_store_deinit(struct log_store *store);

/* Takes fd over, also on failure: -1 with errno. The same cookie again replaces its descriptor. */
int log_store_add(struct log_store *store, uint64_t cookie, int fd);
void log_store_remove(struct log_store *store, uint64_t cookie);

/* The descriptor, which stays the store's; -1 with ENOENT. */
int log_store_fd(const struct log_store *store, uint64_t cookie);

#endif
