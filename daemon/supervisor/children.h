/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting the other roles from this same binary, and starting them again with growing patience. */
#ifndef XENVRAM_SUPERVISOR_CHILDREN_H
#define XENVRAM_SUPERVISOR_CHILDREN_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/common/channel.h"
#include "daemon/common/role.h"

struct child {
	pid_t pid; /* 0: not running */
	struct channel *channel;
	struct event *respawn; /* runs when it is time to start it again */
	unsigned int failures; /* in a row */
	uint64_t started_ns;
	bool explained; /* why it ends with status 1, if it does: its owner knows */
};

/* `on_respawn(owner)` is called when it is time to start the child again. 0, or -1 with ENOMEM. */
int child_init(struct child *child, struct event_base *base,
	void (*on_respawn)(evutil_socket_t, short, void *), void *owner);
/* Ends the process if there is one, by SIGKILL. */
void child_deinit(struct child *child);

/*
 * Starts the role, which also gets a copy of lock_fd; its channel is ready to be sent to at once. 0, or -1
 * with errno and a line in the log.
 */
int child_start(struct child *child, struct event_base *base, const char *role,
	const struct role_options *options, int lock_fd, const struct channel_ops *ops, void *owner);

/* The process was reaped with this wait status: says so in the log, unless it was right or is explained, and
 * forgets it. */
void child_reaped(struct child *child, const char *what, int status);

/* Arranges for on_respawn, later the more often the child failed in a row. */
void child_respawn_later(struct child *child);

#endif
