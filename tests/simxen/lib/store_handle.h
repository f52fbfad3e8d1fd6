/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection to the simulated xenstore. */
#ifndef XENVRAM_SIMXEN_STORE_HANDLE_H
#define XENVRAM_SIMXEN_STORE_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "tests/simxen/lib/handle.h"

struct watch {
	LIST_ENTRY(watch) entry; /* xs_handle::watches */
	char *path;
	char *token;
};

/* An event that the user has not read yet. */
struct notice {
	STAILQ_ENTRY(notice) entry; /* xs_handle::notices */
	char *path;
	char *token;
};

struct xs_handle {
	struct handle handle;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t arrived;
	int event_fd; /* readable while there are notices */
	LIST_HEAD(, watch) watches;
	STAILQ_HEAD(, notice) notices;
	uint64_t next_event; /* of the host's store */
	pthread_t reader;    /* runs from the first watch on */
	bool has_reader;
	bool closing;
};

/* 0, or a negative errno. */
int store_watch_init(struct xs_handle *h);
void store_watch_deinit(struct xs_handle *h);

/* Is the handle still good for anything? 0, or -EBADF: confining turns the connection into /dev/null. */
int store_check(const struct xs_handle *h);

#endif
