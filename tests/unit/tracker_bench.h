/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A tracker on the fake guest, with a few regions, their logs, and a reader of each. */
#ifndef XENVRAM_TESTS_TRACKER_BENCH_H
#define XENVRAM_TESTS_TRACKER_BENCH_H

#include "daemon/supervisor/log_file.h"
#include "daemon/worker/tracker.h"
#include "proto/region_log.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/fake_xen.h"
#include "tests/unit/unit.h"

#define BENCH_REGIONS 3u
#define BENCH_PAGES   100u
#define BENCH_POLLS   256u

#define MS 1000u /* in microseconds */

struct bench {
	struct guest guest;
	struct tracker *tracker;
	struct log_file *files[BENCH_REGIONS];
	struct region_log logs[BENCH_REGIONS];
	uint64_t cursors[BENCH_REGIONS];
	uint64_t polled[BENCH_POLLS]; /* serials, in the order of their answers */
	unsigned int n_polled;
	unsigned int n_domain_gone;
	uint64_t poll_us; /* what a hypercall takes */
};

extern struct bench bench;

int bench_open(void **state);
int bench_close(void **state);

/* Region i: cookie, extent, and the gfn of one of its pages. Gaps of 100 pages lie between regions. */
uint64_t bench_cookie(unsigned int i);
struct extent bench_vram(unsigned int i);
uint64_t bench_gfn(unsigned int i, unsigned int page);

/* Adds region i to the tracker; the reader of its log has seen all there was. */
void bench_add(unsigned int i);
/* A reader follows all of region i from now on; with another period it replaces the one before, 0 ends it. */
void bench_watch(unsigned int i, uint32_t period_us);
/* A reader of some pages of region i, with a wake pipe or -1. */
void bench_add_reader(
	unsigned int i, uint64_t subscription, struct extent pages, uint32_t period_us, int wake_fd);
/* Asks for a poll of all of region i. */
void bench_poll(unsigned int i, uint64_t serial);
/* Adds, watches, and lets the first polls pass until bits are exact. */
void bench_follow(unsigned int i, uint32_t period_us);

/* The pages that the reader of region i has not been told of yet; their number. */
unsigned int bench_read(unsigned int i, bool dirty[BENCH_PAGES]);

/* That reader must be told of exactly these pages, of this one, of none, or of all. */
void bench_assert_pages(unsigned int i, struct extent pages);
void bench_assert_only(unsigned int i, unsigned int page);
void bench_assert_none(unsigned int i);
void bench_assert_all(unsigned int i);

#endif
