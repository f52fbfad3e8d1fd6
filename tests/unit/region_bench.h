/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One tracked region with its log, a reader of that log, and a clock that the test turns. */
#ifndef XENVRAM_TESTS_REGION_BENCH_H
#define XENVRAM_TESTS_REGION_BENCH_H

#include "daemon/supervisor/log_file.h"
#include "daemon/worker/tracked_region.h"
#include "proto/region_log.h"
#include "tests/unit/unit.h"

#define PAGES 100u
#define WORDS ((PAGES + 63) / 64)
#define VRAM  0xf1000ull
#define MS    1000000ull /* in nanoseconds */

static const struct extent WHOLE = {0, PAGES};

struct region_bench {
	struct log_file *file;
	struct tracked_region *region;
	struct region_log log;
	struct poll_pace pace; /* that stretches nothing */
	uint64_t cursor;
	uint64_t now_ns;
};

/* Setup and teardown of a test; *state becomes the bench. Nobody follows the region yet. */
int region_bench_open(void **state);
int region_bench_close(void **state);

/* A poll, at the bench's time, of these pages from VRAM on, and what it says; all dirty without a bitmap. */
void region_bench_poll(struct region_bench *b, struct extent pages, const unsigned long *bitmap);
/* The same for a hull of gfns. */
void region_bench_poll_gfns(struct region_bench *b, struct extent gfns, const unsigned long *bitmap);

/* Subscription 1 follows all of it every millisecond, and bits are exact from here on. */
void region_bench_follow(struct region_bench *b);

/* A reader of these pages, woken every millisecond by a new pipe, whose other end this is. */
int region_bench_add_reader(struct region_bench *b, uint64_t subscription, struct extent pages);

/* The pages dirty since the last look must be exactly these. */
void region_bench_assert_dirty(struct region_bench *b, uint64_t first, uint64_t n);
void region_bench_assert_bits(struct region_bench *b, const uint64_t bits[WORDS]);

/* Reads the pipe empty: how often it was written to. */
unsigned int drain(int fd);

#endif
