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

/* ---- parts of a region ---- */

static void add_reader(struct region_bench *b, uint64_t subscription, struct extent pages)
{
	assert_int_equal(tracked_region_add_reader(b->region, subscription, pages, 1000, -1), 0);
}

static void assert_wanted(const struct region_bench *b, uint64_t first, uint64_t n)
{
	struct extent wanted = tracked_region_wanted(b->region, b->now_ns);
	assert_int_equal(wanted.nr_pages, n);
	if (n > 0)
		assert_int_equal(wanted.first, first);
}

static void test_wanted(void **state)
{
	struct region_bench *b = *state;
	assert_wanted(b, 0, 0);
	assert_int_equal(tracked_region_period_ns(b->region), 0);
	add_reader(b, 1, (struct extent){40, 10});
	assert_wanted(b, 40, 10);
	assert_int_equal(tracked_region_add_reader(b->region, 2, (struct extent){20, 5}, 3000, -1), 0);
	assert_wanted(b, 20, 30);
	assert_int_equal(tracked_region_period_ns(b->region), 1 * MS);
	/* What was asked for is wanted until it is answered, and lingers as what was followed does. */
	assert_int_equal(tracked_region_ask(b->region, (struct extent){98, 2}, b->now_ns), 0);
	assert_wanted(b, 20, 80);
	b->now_ns += LINGER_US * 1000 / 2;
	assert_true(tracked_region_drop_reader(b->region, 1, b->now_ns));
	assert_int_equal(tracked_region_period_ns(b->region), 3 * MS);
	assert_wanted(b, 20, 80);
	b->region->asked = (struct extent){0};
	b->now_ns += LINGER_US * 1000 - 1;
	assert_wanted(b, 20, 80);
	b->now_ns++;
	assert_wanted(b, 20, 5);
	assert_true(tracked_region_drop_reader(b->region, 2, b->now_ns));
	assert_int_equal(tracked_region_period_ns(b->region), 0);
	b->now_ns += LINGER_US * 1000;
	assert_wanted(b, 0, 0);
}

static void test_beyond_the_region(void **state)
{
	struct region_bench *b = *state;
	static const struct extent beyond[] = {
		{0, PAGES + 1}, {PAGES, 1}, {PAGES, 0}, {PAGES - 1, 2}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
	unsigned int n_open = count_open_fds();
	region_bench_follow(b);
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		const struct extent live[] = {{3, 1}, beyond[i]};
		int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
		assert_fails(tracked_region_add_reader(b->region, 1, beyond[i], 1000, fd), ERANGE);
		assert_int_equal(count_open_fds(), n_open);
		assert_fails(tracked_region_ask(b->region, beyond[i], b->now_ns), ERANGE);
		assert_fails(tracked_region_place(b->region, 5, false, live, 2), ERANGE);
	}
	const struct extent too_many[MAX_REGION_EXTENTS + 1] = {{0, 1}};
	assert_fails(tracked_region_place(b->region, 5, false, too_many, MAX_REGION_EXTENTS + 1), ERANGE);
	/* Nothing has changed: the reader of before is there, and the pages are where they were. */
	assert_wanted(b, 0, PAGES);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
}

/* What nobody follows is not published, however dirty it is. */
static void test_part_is_followed(void **state)
{
	struct region_bench *b = *state;
	const unsigned long all[WORDS] = {~0ul, ~0ul};
	add_reader(b, 1, (struct extent){10, 20});
	region_bench_poll(b, WHOLE, NULL);
	region_bench_assert_dirty(b, 10, 20);
	region_bench_poll(b, WHOLE, all);
	region_bench_assert_dirty(b, 10, 20);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
	assert_int_equal(b->log.header->untracked_pages, 0);
	/* Of a hull that has only some of these, the others are dirty, and the rest is none of it. */
	region_bench_poll(b, (struct extent){0, 25}, clean);
	region_bench_assert_dirty(b, 25, 5);
	assert_int_equal(b->log.header->untracked_pages, 5);
	assert_int_equal(b->log.header->state, REGION_LOG_PARTIAL);
}

/* Readers come and go: what is followed anew is dirty once, what others follow stays exact. */
static void test_overlapping_readers(void **state)
{
	struct region_bench *b = *state;
	add_reader(b, 1, (struct extent){10, 20});
	region_bench_poll(b, WHOLE, NULL);
	region_bench_assert_dirty(b, 10, 20);
	add_reader(b, 2, (struct extent){20, 30});
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 30, 20);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
	assert_true(tracked_region_drop_reader(b->region, 1, b->now_ns));
	b->now_ns += LINGER_US * 1000;
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
	/* 10 to 19 were read and thrown away; a poll of the reader's own pages gives no others away. */
	add_reader(b, 1, (struct extent){15, 10});
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 15, 5);
	add_reader(b, 1, (struct extent){0, 16});
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 15);
}

/* ---- what is left of a region, and where ---- */

static void test_gfns(void **state)
{
	struct region_bench *b = *state;
	static const struct extent live[] = {{0, 10}, {20, 1}, {90, 10}};
	struct extent gfns[MAX_REGION_EXTENTS];
	assert_int_equal(tracked_region_gfns(b->region, (struct extent){3, 4}, gfns), 1);
	assert_int_equal(gfns[0].first, VRAM + 3);
	assert_int_equal(gfns[0].nr_pages, 4);
	assert_int_equal(tracked_region_place(b->region, 0x5000, false, live, 3), 0);
	assert_int_equal(tracked_region_gfns(b->region, (struct extent){5, 90}, gfns), 3);
	assert_int_equal(gfns[0].first, 0x5005);
	assert_int_equal(gfns[0].nr_pages, 5);
	assert_int_equal(gfns[1].first, 0x5014);
	assert_int_equal(gfns[1].nr_pages, 1);
	assert_int_equal(gfns[2].first, 0x505a);
	assert_int_equal(gfns[2].nr_pages, 5);
	assert_int_equal(tracked_region_gfns(b->region, (struct extent){10, 10}, gfns), 0);
	assert_int_equal(tracked_region_gfns(b->region, (struct extent){0, 0}, gfns), 0);
}

static void test_holes(void **state)
{
	struct region_bench *b = *state;
	static const struct extent live[] = {{0, 10}, {20, 40}}, hole = {10, 10};
	const unsigned long all[WORDS] = {~0ul, ~0ul};
	uint64_t expected[WORDS] = {0x0ffffffffff003ff};
	region_bench_follow(b);
	assert_int_equal(tracked_region_place(b->region, VRAM, false, live, 2), 0);
	/* All that is left is dirty at once, without a poll, and no bit of before counts. */
	region_bench_assert_bits(b, expected);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_bits(b, expected);
	region_bench_poll(b, WHOLE, clean);
	region_bench_assert_dirty(b, 0, 0);
	region_bench_poll(b, WHOLE, all);
	region_bench_assert_bits(b, expected);
	/* Nobody misses what is gone. */
	assert_int_equal(b->log.header->untracked_pages, 0);
	region_bench_poll(b, (struct extent){0, 50}, clean);
	assert_int_equal(b->log.header->untracked_pages, 10);
	region_bench_assert_dirty(b, 50, 10);
	assert_int_equal(tracked_region_mark(b->region, &hole, 1), 0);
	region_bench_assert_dirty(b, 0, 0);
	assert_int_equal(tracked_region_mark(b->region, &WHOLE, 1), 0);
	region_bench_assert_bits(b, expected);
	tracked_region_refresh(b->region);
	region_bench_assert_bits(b, expected);
	/* Nothing is left. */
	assert_int_equal(tracked_region_place(b->region, VRAM, false, live, 0), 0);
	region_bench_poll(b, WHOLE, NULL);
	tracked_region_refresh(b->region);
	region_bench_assert_dirty(b, 0, 0);
}

static void test_elsewhere(void **state)
{
	struct region_bench *b = *state;
	static const struct extent there = {0x20000, PAGES};
	unsigned long bitmap[WORDS] = {1ul << 17};
	region_bench_follow(b);
	assert_int_equal(tracked_region_place(b->region, there.first, false, &WHOLE, 1), 0);
	region_bench_assert_dirty(b, 0, PAGES);
	/* The bits of where it was are no longer its. */
	region_bench_poll(b, WHOLE, bitmap);
	region_bench_assert_dirty(b, 0, PAGES);
	assert_int_equal(b->log.header->untracked_pages, PAGES);
	region_bench_poll_gfns(b, there, clean);
	region_bench_assert_dirty(b, 0, PAGES);
	region_bench_poll_gfns(b, there, bitmap);
	region_bench_assert_dirty(b, 17, 1);
	assert_int_equal(b->log.header->untracked_pages, 0);
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
		TEST(test_wanted),
		TEST(test_beyond_the_region),
		TEST(test_part_is_followed),
		TEST(test_overlapping_readers),
		TEST(test_gfns),
		TEST(test_holes),
		TEST(test_elsewhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
