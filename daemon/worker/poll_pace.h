/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When to ask the hypervisor next: as often as the most eager reader wants, but less often while nothing
 * changes, and never so often that the guest, which is paused meanwhile, or the host's budget suffers.
 * No I/O, no clock: all times are the caller's, CLOCK_MONOTONIC in nanoseconds.
 */
#ifndef XENVRAM_WORKER_POLL_PACE_H
#define XENVRAM_WORKER_POLL_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/region_log.h"

struct poll_pace {
	uint32_t share_ppm;   /* of one CPU's time that polls of this domain may take, from 1 */
	uint64_t begun_ns;    /* the last poll; 0: there was none */
	uint64_t pause_ns;    /* what its hypercall took */
	uint64_t cost_ns;     /* what all of it took */
	uint64_t changed_ns;  /* when a change was last seen */
	uint32_t idle_factor; /* by which the period is stretched because nothing changes, from 1 */
};

struct poll_period {
	uint64_t ns;
	enum region_log_stretch stretch; /* why it is longer than wanted */
};

void poll_pace_init(struct poll_pace *pace, uint32_t share_ppm);

/* The period in effect when readers want wanted_ns. */
struct poll_period poll_pace_period(const struct poll_pace *pace, uint64_t wanted_ns);

/*
 * When the next poll is due, for readers that want wanted_ns (0: there are none), and for somebody who waits
 * for one poll, if asked. UINT64_MAX: never.
 */
uint64_t poll_pace_due(const struct poll_pace *pace, uint64_t wanted_ns, bool asked);

/* A poll was made, answered by the hypervisor, published, and found a change or did not. */
void poll_pace_polled(
	struct poll_pace *pace, uint64_t begun_ns, uint64_t answered_ns, uint64_t ended_ns, bool changed);

/* Something happens without a poll's having found it: a reader came, a device model wrote. */
void poll_pace_stir(struct poll_pace *pace, uint64_t now_ns);

#endif
