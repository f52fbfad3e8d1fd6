/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a poll's answer means for one region: which pages are published as dirty. */
#include "tests/unit/region_bench.h"

static const unsigned long clean[16];

static void test_new_needs_a_log(void **state)
{
	struct region_bench *b = *state;
	assert_null_with(tracked_region_new(2, VRAM, PAGES, -1), EBADF);
	assert_null_with(tracked_region_new(2, VRAM, PAGES - 1, b->file->writable_fd), EPROTO);
}

static void test_first_bits_are_not_trusted(void **state)
{
	struct region_bench *b = *state;
	assert_int_equal(tracked_region_add_reader(b->region, 1, WHOLE, 1000, -1), 0);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, PAGES);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
	assert_int_equal(region_log_generation(&b->log), b->cursor);
}

static void test_idle_means_not_followed(void **state)
{
	struct region_bench *b = *state;
	region_bench_follow(b);
	region_bench_poll(b, WHOLE, clean);
	assert_int_equal(b->log.header->state, REGION_LOG_TRACKED);
	assert_int_equal(b->log.header->period_ns, 1 * MS);
	assert_int_equal(b->log.header->wanted_period_ns, 1 * MS);
	assert_true(tracked_region_drop_reader(b->region, 1, b->now_ns));
	/* As long as it lingers, bits are published, although nobody watches. */
	b->now_ns += LINGER_US * 1000 - 1;
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
	assert_int_equal(b->log.header->state, REGION_LOG_IDLE);
	assert_int_equal(b->log.header->period_ns, 0);
	assert_int_equal(b->log.header->wanted_period_ns, 0);
	b->now_ns++;
	tracked_region_describe(b->region, &b->pace, (struct extent){VRAM, PAGES}, b->now_ns);
	assert_int_equal(b->log.header->state, REGION_LOG_IDLE);
	region_bench_assert_dirty(b, 0, 0);
	assert_int_equal(tracked_region_add_reader(b->region, 1, WHOLE, 1000, -1), 0);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, PAGES);
}

static void test_unknown_bits(void **state)
{
	struct region_bench *b = *state;
	region_bench_follow(b);
	region_bench_poll(b, WHOLE, NULL);
	region_bench_assert_dirty(b, 0, PAGES);
	assert_int_equal(b->log.header->dirty_guest, 0);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
}

/* ---- the hull ---- */

/* The hull begins before the region, at any distance: the region's bits are somewhere inside. */
static void test_inside_a_larger_hull(void **state)
{
	struct region_bench *b = *state;
	region_bench_follow(b);
	for (unsigned int before = 0; before <= 130; before++) {
		unsigned long bitmap[8] = {0};
		unsigned int neighbours[] = {before - 1, before + PAGES};
		bitmap[(before + 42) / 64] |= 1ul << (before + 42) % 64;
		for (unsigned int i = 0; i < 2; i++) {
			if (neighbours[i] < 8 * 64)
				bitmap[neighbours[i] / 64] |= 1ul << neighbours[i] % 64;
		}
		region_bench_poll_gfns(b, (struct extent){VRAM - before, before + PAGES + 50}, bitmap);
		region_bench_assert_dirty(b, 42, 1);
	}
	assert_int_equal(b->log.header->untracked_pages, 0);
	assert_int_equal(b->log.header->state, REGION_LOG_TRACKED);
}

/* A hull that was cut covers the beginning of the region. */
static void test_end_is_outside(void **state)
{
	struct region_bench *b = *state;
	static const struct extent hull = {VRAM - 10, 70};
	region_bench_follow(b);
	region_bench_poll_gfns(b, hull, clean);
	region_bench_assert_dirty(b, 60, 40);
	assert_int_equal(b->log.header->state, REGION_LOG_PARTIAL);
	assert_int_equal(b->log.header->untracked_pages, 40);
	/* And again: nobody can tell. */
	region_bench_poll_gfns(b, hull, clean);
	region_bench_assert_dirty(b, 60, 40);
	/* Once it is larger again, what has been outside was not followed until now. */
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 60, 40);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
	assert_int_equal(b->log.header->state, REGION_LOG_TRACKED);
	assert_int_equal(b->log.header->untracked_pages, 0);
}

static void test_beginning_is_outside(void **state)
{
	struct region_bench *b = *state;
	const unsigned long bitmap[4] = {1ul << 3};
	static const uint64_t expected[WORDS] = {0x8f}; /* 0 to 3, and 4 + 3 */
	region_bench_follow(b);
	region_bench_poll_gfns(b, (struct extent){VRAM + 4, 200}, bitmap);
	region_bench_assert_bits(b, expected);
}

static void test_all_is_outside(void **state)
{
	struct region_bench *b = *state;
	const unsigned long bitmap[4] = {~0ul, ~0ul, ~0ul, ~0ul};
	static const struct extent away[] = {{VRAM - 50, 50}, {VRAM + PAGES, 50}, {0, 0}, {VRAM, 0}};
	region_bench_follow(b);
	for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
		uint64_t forced = b->log.header->dirty_forced;
		region_bench_poll_gfns(b, away[i], bitmap);
		region_bench_assert_dirty(b, 0, PAGES);
		assert_int_equal(b->log.header->dirty_forced - forced, PAGES);
		assert_int_equal(b->log.header->untracked_pages, PAGES);
	}
	assert_int_equal(b->log.header->dirty_guest, 0);
}

/* ---- what the hypervisor does not know ---- */

static void test_marking(void **state)
{
	struct region_bench *b = *state;
	static const struct extent runs[] = {{40, 1}, {41, 2}, {42, 2}}; /* overlapping */
	region_bench_follow(b);
	uint64_t polls = b->log.header->polls, forced = b->log.header->dirty_forced;
	assert_int_equal(tracked_region_mark(b->region, runs, 3), 0);
	region_bench_assert_dirty(b, 40, 4);
	assert_int_equal(b->log.header->dirty_device_model, 5);
	assert_int_equal(b->log.header->dirty_guest, 0);
	assert_int_equal(b->log.header->dirty_forced, forced);
	assert_int_equal(b->log.header->polls, polls);
	/* It changes nothing about what the hypervisor knows. */
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
}

static void test_marking_is_all_or_nothing(void **state)
{
	struct region_bench *b = *state;
	static const struct extent beyond[] = {
		{0, PAGES + 1}, {PAGES, 1}, {PAGES - 1, 2}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
	region_bench_follow(b);
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		const struct extent runs[] = {{3, 1}, beyond[i]};
		assert_fails(tracked_region_mark(b->region, runs, 2), ERANGE);
		region_bench_assert_dirty(b, 0, 0);
	}
	assert_int_equal(tracked_region_mark(b->region, &WHOLE, 1), 0);
	region_bench_assert_dirty(b, 0, PAGES);
}

static void test_refresh(void **state)
{
	struct region_bench *b = *state;
	region_bench_follow(b);
	uint64_t polls = b->log.header->polls;
	tracked_region_refresh(b->region);
	region_bench_assert_dirty(b, 0, PAGES);
	assert_int_equal(b->log.header->polls, polls);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, region_bench_open, region_bench_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_new_needs_a_log),
		TEST(test_first_bits_are_not_trusted),
		TEST(test_idle_means_not_followed),
		TEST(test_unknown_bits),
		TEST(test_inside_a_larger_hull),
		TEST(test_end_is_outside),
		TEST(test_beginning_is_outside),
		TEST(test_all_is_outside),
		TEST(test_marking),
		TEST(test_marking_is_all_or_nothing),
		TEST(test_refresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
