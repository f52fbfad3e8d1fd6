/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands in for libevent's timers and for CLOCK_MONOTONIC, so that a test decides what time it is and
 * waits for nothing. Link with --wrap=clock_gettime.
 */
#ifndef XENVRAM_TESTS_FAKE_LOOP_H
#define XENVRAM_TESTS_FAKE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* Long after the start of time, as on any machine. */
void fake_loop_reset(void);

/* Runs what is due, and what becomes due, until this much time has passed. */
void fake_loop_run_us(uint64_t us);

/* Time passes, and nothing is run: within a callback, what it does takes so long. */
void fake_loop_pass_us(uint64_t us);

uint64_t fake_loop_now_us(void);

/* Is a timer waiting? */
bool fake_loop_has_timer(void);

#endif
