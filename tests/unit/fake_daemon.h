/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection's worth of daemon, in a thread of the test: what it answers is the test's script. */
#ifndef XENVRAM_TESTS_FAKE_DAEMON_H
#define XENVRAM_TESTS_FAKE_DAEMON_H

#include <pthread.h>

#include "client/libxenvram/xenvram.h"
#include "proto/frame.h"
#include "proto/xenvram.pb-c.h"

struct fake_daemon {
	char directory[32];
	char path[64];
	int listening;
	int socket; /* of the one client */
	pthread_t thread;
	void (*script)(struct fake_daemon *daemon, void *data);
	void *data;
	struct frame frame;
	Xenvram__V1__Request *request; /* read last */
};

/* The script runs once a client has connected and said Hello, and been answered; NULL: not even that. */
void fake_daemon_start(
	struct fake_daemon *daemon, void (*script)(struct fake_daemon *daemon, void *data), void *data);

/* Waits for the end of the script, which also closes the connection. */
void fake_daemon_join(struct fake_daemon *daemon);

/* The same, and a client connected to it, which the second frees. */
struct xenvram *fake_daemon_connect(
	struct fake_daemon *daemon, void (*script)(struct fake_daemon *daemon, void *data), void *data);
void fake_daemon_disconnect(struct fake_daemon *daemon, struct xenvram *conn);

/* Waits for the next request; it is kept in daemon->request. NULL when the client is gone. */
const Xenvram__V1__Request *fake_daemon_next(struct fake_daemon *daemon);

/* Answer the request read last, unless the reply has a serial: OK without result, this reply, a failure. */
void fake_daemon_ok(struct fake_daemon *daemon);
void fake_daemon_reply(
	struct fake_daemon *daemon, Xenvram__V1__Reply *reply, const int *fds, unsigned int n_fds);
void fake_daemon_fail(
	struct fake_daemon *daemon, Xenvram__V1__Status status, int os_error, const char *message);

void fake_daemon_region_changed(struct fake_daemon *daemon, uint64_t cookie, Xenvram__V1__RegionState state);
void fake_daemon_restarted(struct fake_daemon *daemon);

#endif
