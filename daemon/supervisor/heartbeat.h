/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Does the broker go on? It is asked a while after it had something to do, and ended when it does not answer; the
 * next one takes its place. When there is nothing to do nobody is asked, and nothing wakes up.
 */
#ifndef XENVRAM_SUPERVISOR_HEARTBEAT_H
#define XENVRAM_SUPERVISOR_HEARTBEAT_H

#include <event2/event.h>
#include <stdbool.h>

#include "proto/limits.h"

struct supervisor;

struct heartbeat {
	struct event *beat;                      /* while there may be something to do */
	struct event *connecting[MAX_LISTENERS]; /* else: somebody whom the broker should accept */
	unsigned int n_connecting;
	bool asked;
	bool again; /* something to do came after the question */
	unsigned int n_missed;
};

/* Once the listening sockets are there. 0, or -1 with ENOMEM. */
int heartbeat_init(struct supervisor *supervisor);
void heartbeat_deinit(struct supervisor *supervisor);

/* The broker has something to do: before long it is asked. */
void heartbeat_expect(struct supervisor *supervisor);
void heartbeat_answered(struct supervisor *supervisor);
/* There is no broker to be asked, until something is expected of the next one. */
void heartbeat_stop(struct supervisor *supervisor);

/* False when a broker that was killed for its silence does not end. */
bool heartbeat_is_well(const struct supervisor *supervisor);

#endif
