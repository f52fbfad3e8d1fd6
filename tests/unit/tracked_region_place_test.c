/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A region that is moved, that loses parts, and that is stuck between two places. */
#include "tests/unit/region_bench.h"

#define NEW (VRAM + 0x10000)

static const struct extent pieces[] = {{0, 10}, {20, PAGES - 20}};
static const unsigned long clean[WORDS];

static int place(struct region_bench *b, uint64_t vram_first, bool scattered, size_t n_live)
{
	return n_live == 1 ? tracked_region_place(b->region, vram_first, scattered, &WHOLE, 1)
			   : tracked_region_place(b->region, vram_first, scattered, pieces, n_live);
}

static void poll_at(struct region_bench *b, uint64_t gfn, const unsigned long *bitmap)
{
	region_bench_poll_gfns(b, (struct extent){gfn, PAGES}, bitmap);
}

static void test_all_is_dirty_once_where_it_is_now(void **state)
{
	struct region_bench *b = *state;
	unsigned long bitmap[WORDS] = {1ul << 7};
	region_bench_follow(b);
	assert_int_equal(place(b, NEW, false, 1), 0);
	region_bench_assert_dirty(b, 0, PAGES);
	/* The first bits of another place are worth nothing. */
	poll_at(b, NEW, bitmap);
	region_bench_assert_dirty(b, 0, PAGES);
	poll_at(b, NEW, bitmap);
	region_bench_assert_dirty(b, 7, 1);
	/* At the old one is nothing any more. */
	poll_at(b, VRAM, bitmap);
	region_bench_assert_dirty(b, 0, PAGES);
}

static void test_where_it_was_nothing_happens(void **state)
{
	struct region_bench *b = *state;
	region_bench_follow(b);
	assert_int_equal(place(b, VRAM, false, 1), 0);
	region_bench_assert_dirty(b, 0, 0);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
}

static void test_what_was_destroyed_is_never_dirty(void **state)
{
	struct region_bench *b = *state;
	unsigned long bitmap[WORDS] = {1ul << 9 | 1ul << 10 | 1ul << 19 | 1ul << 20};
	uint64_t expected[WORDS] = {1ull << 9 | 1ull << 20};
	uint64_t left[WORDS];
	for (unsigned int i = 0; i < PAGES; i++) {
		left[i / 64] = i % 64 == 0 ? 0 : left[i / 64];
		if (i < 10 || i >= 20)
			left[i / 64] |= 1ull << (i % 64);
	}
	region_bench_follow(b);
	assert_int_equal(place(b, VRAM, false, 2), 0);
	region_bench_assert_bits(b, left);
	region_bench_poll(b, WHOLE, NULL);
	region_bench_assert_bits(b, left);
	region_bench_poll(b, WHOLE, bitmap);
	region_bench_assert_bits(b, expected);
}

/* Some of its pages are where nobody looks: so all are dirty at every poll, until they are together again. */
static void test_scattered(void **state)
{
	struct region_bench *b = *state;
	region_bench_follow(b);
	assert_int_equal(place(b, VRAM, true, 1), 0);
	region_bench_assert_dirty(b, 0, PAGES);
	for (unsigned int i = 0; i < 3; i++) {
		region_bench_poll(b, WHOLE, clean);
		region_bench_assert_dirty(b, 0, PAGES);
		assert_int_equal(b->log.header->state, REGION_LOG_PARTIAL);
		assert_int_equal(b->log.header->untracked_pages, PAGES);
	}
	assert_int_equal(place(b, VRAM, false, 1), 0);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, PAGES);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
	assert_int_equal(b->log.header->state, REGION_LOG_TRACKED);
}

static void test_pages_that_are_none(void **state)
{
	struct region_bench *b = *state;
	struct extent beyond = {1, PAGES};
	struct extent many[9] = {{0, 1}};
	region_bench_follow(b);
	assert_fails(tracked_region_place(b->region, NEW, false, &beyond, 1), ERANGE);
	assert_fails(tracked_region_place(b->region, NEW, false, many, 9), ERANGE);
	region_bench_assert_dirty(b, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, region_bench_open, region_bench_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_is_dirty_once_where_it_is_now),
		TEST(test_where_it_was_nothing_happens),
		TEST(test_what_was_destroyed_is_never_dirty),
		TEST(test_scattered),
		TEST(test_pages_that_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
