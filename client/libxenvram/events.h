/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The events that wait for dispatch: a bounded ring, in order of arrival, with one entry for each region.
 */
#ifndef XENVRAM_CLIENT_EVENTS_H
#define XENVRAM_CLIENT_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/libxenvram/xenvram.h"

#define MAX_EVENTS       64u
#define MAX_REASON_BYTES 256u

struct event {
	uint64_t cookie; /* 0: the service was restarted */
	enum xenvram_region_state state;
	char reason[MAX_REASON_BYTES];
};

struct events {
	struct event ring[MAX_EVENTS];
	unsigned int first;
	unsigned int n;
};

/*
 * Replaces what waits about the same cookie, and keeps its place. Otherwise appends; a full ring loses its
 * oldest entry. The reason is cut to fit.
 */
void events_put(struct events *events, uint64_t cookie, enum xenvram_region_state state, const char *reason);

bool events_wait(const struct events *events);

/* Takes the oldest; false when there is none. */
bool events_take(struct events *events, struct event *ret_event);

#endif
