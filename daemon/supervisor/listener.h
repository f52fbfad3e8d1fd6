/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The listening sockets, from systemd or made here, and the directory that the journal is in. */
#ifndef XENVRAM_SUPERVISOR_LISTENER_H
#define XENVRAM_SUPERVISOR_LISTENER_H

#include "proto/limits.h"

struct listener {
	int fds[MAX_LISTENERS];
	unsigned int n_fds;
	int journal_fd;
	int lock_fd;
	int roles_lock_fd; /* every role has it */
	char *made_path;   /* the socket made here, to be removed at the end; NULL with systemd */
};

#define LISTENER_NONE                                                                                        \
	{                                                                                                    \
		.journal_fd = -1, .lock_fd = -1, .roles_lock_fd = -1                                         \
	}

/*
 * With socket_dir: makes DIR (mode 0755) if need be and DIR/xenvram.sock (mode 0666: who may use it
 * is decided when a client connects). Without: takes what
 * systemd passed; the directory is $RUNTIME_DIRECTORY. Locks it, waiting
 * for the roles of a dead supervisor to end, and opens the journal there, mode 0600. 0, or -1 with the
 * reason in the log.
 */
int listener_open(struct listener *listener, const char *socket_dir);
void listener_close(struct listener *listener);

#endif
