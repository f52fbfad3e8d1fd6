/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <signal.h>
#include <string.h>

#include "daemon/supervisor/log_file.h"
#include "daemon/worker/tracked_region.h"

#define PAGES 100u
#define VRAM  0xf1000ull

struct fixture {
	struct log_file *file;
	struct tracked_region *region;
	struct region_log log;
	uint64_t cursor;
};

static int open_fixture(void **state)
{
	static struct fixture f;
	f.file = log_file_new(1, 7, PAGES, 1);
	f.region = tracked_region_new(1, (struct extent){VRAM, PAGES}, f.file->writable_fd);
	if (!f.region || region_log_map(&f.log, f.file->readable_fd) < 0)
		return -1;
	f.cursor = region_log_generation(&f.log);
	f.region->period_us = 1000;
	*state = &f;
	return 0;
}

static int close_fixture(void **state)
{
	struct fixture *f = *state;
	tracked_region_free(f->region);
	region_log_unmap(&f->log);
	log_file_free(f->file, REGION_LOG_GONE);
	return 0;
}

static void publish(struct fixture *f, uint64_t first, uint64_t nr_pages, const unsigned long *bitmap)
{
	tracked_region_publish(f->region, (struct extent){first, nr_pages}, bitmap, 5000, 100);
}

/* From here on bits are taken for what they are. */
static void begin_following(struct fixture *f)
{
	publish(f, VRAM, PAGES, NULL);
	f->cursor = region_log_generation(&f->log);
}

/* The dirty pages since the last look must be exactly [first, first + n). */
static void assert_dirty(struct fixture *f, unsigned int first, unsigned int n)
{
	uint64_t bitmap[2];
	uint64_t found = region_log_scan(&f->log, f->cursor, 0, PAGES, bitmap, &f->cursor);
	for (unsigned int i = 0; i < PAGES; i++) {
		bool dirty = bitmap[i / 64] >> (i % 64) & 1;
		if (dirty != (i >= first && i < first + n))
			fail_msg("page %u is %s", i, dirty ? "dirty" : "clean");
	}
	assert_int_equal(found, n);
}

static void test_new_needs_a_log(void **state)
{
	struct fixture *f = *state;
	assert_null_with(tracked_region_new(2, (struct extent){VRAM, PAGES}, -1), EBADF);
	assert_null_with(
		tracked_region_new(2, (struct extent){VRAM, PAGES - 1}, f->file->writable_fd), EPROTO);
}

static void test_first_bits_are_not_trusted(void **state)
{
	struct fixture *f = *state;
	const unsigned long clean[2] = {0};
	publish(f, VRAM, PAGES, clean);
	assert_dirty(f, 0, PAGES);
	publish(f, VRAM, PAGES, clean);
	assert_dirty(f, 0, 0);
	assert_int_equal(region_log_generation(&f->log), f->cursor);
}

static void test_idle_means_not_followed(void **state)
{
	struct fixture *f = *state;
	const unsigned long clean[2] = {0};
	begin_following(f);
	publish(f, VRAM, PAGES, clean);
	assert_int_equal(f->log.header->state, REGION_LOG_TRACKED);
	assert_int_equal(f->log.header->period_ns, 1000000);
	tracked_region_set_idle(f->region);
	assert_int_equal(f->log.header->state, REGION_LOG_IDLE);
	assert_int_equal(f->log.header->period_ns, 0);
	assert_dirty(f, 0, 0);
	publish(f, VRAM, PAGES, clean);
	assert_dirty(f, 0, PAGES);
}

static void test_unknown_bits(void **state)
{
	struct fixture *f = *state;
	const unsigned long clean[2] = {0};
	begin_following(f);
	publish(f, VRAM, PAGES, NULL);
	assert_dirty(f, 0, PAGES);
	assert_int_equal(f->log.header->dirty_guest, 0);
	publish(f, VRAM, PAGES, clean);
	assert_dirty(f, 0, 0);
}

/* The hull begins before the region, at any distance: the region's bits are somewhere inside. */
static void test_inside_a_larger_hull(void **state)
{
	struct fixture *f = *state;
	begin_following(f);
	for (unsigned int before = 0; before <= 130; before++) {
		unsigned long bitmap[8] = {0};
		unsigned int neighbours[] = {before - 1, before + PAGES};
		bitmap[(before + 42) / 64] |= 1ul << (before + 42) % 64;
		for (unsigned int i = 0; i < 2; i++) {
			if (neighbours[i] < 8 * 64)
				bitmap[neighbours[i] / 64] |= 1ul << neighbours[i] % 64;
		}
		publish(f, VRAM - before, before + PAGES + 50, bitmap);
		assert_dirty(f, 42, 1);
	}
	assert_int_equal(f->log.header->untracked_pages, 0);
	assert_int_equal(f->log.header->state, REGION_LOG_TRACKED);
}

/* A hull that was cut covers the beginning of the region. */
static void test_end_is_outside(void **state)
{
	struct fixture *f = *state;
	const unsigned long bitmap[2] = {0};
	begin_following(f);
	publish(f, VRAM - 10, 70, bitmap);
	assert_dirty(f, 60, 40);
	assert_int_equal(f->log.header->state, REGION_LOG_PARTIAL);
	assert_int_equal(f->log.header->untracked_pages, 40);
	/* And again: nobody can tell. */
	publish(f, VRAM - 10, 70, bitmap);
	assert_dirty(f, 60, 40);
	publish(f, VRAM, PAGES, bitmap);
	assert_dirty(f, 0, 0);
	assert_int_equal(f->log.header->state, REGION_LOG_TRACKED);
	assert_int_equal(f->log.header->untracked_pages, 0);
}

static void test_beginning_is_outside(void **state)
{
	struct fixture *f = *state;
	unsigned long bitmap[2] = {1ul << 3};
	begin_following(f);
	publish(f, VRAM + 4, 200, bitmap);
	uint64_t found[2];
	assert_int_equal(region_log_scan(&f->log, f->cursor, 0, PAGES, found, &f->cursor), 5);
	assert_true(found[0] == 0x8f); /* 0 to 3, and 4 + 3 */
}

static void test_all_is_outside(void **state)
{
	struct fixture *f = *state;
	const unsigned long bitmap[4] = {~0ul, ~0ul, ~0ul, ~0ul};
	static const struct extent away[] = {{VRAM - 50, 50}, {VRAM + PAGES, 50}, {0, 0}, {VRAM, 0}};
	begin_following(f);
	for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
		uint64_t forced = f->log.header->dirty_forced;
		publish(f, away[i].first, away[i].nr_pages, bitmap);
		assert_dirty(f, 0, PAGES);
		assert_int_equal(f->log.header->dirty_forced - forced, PAGES);
		assert_int_equal(f->log.header->untracked_pages, PAGES);
	}
	assert_int_equal(f->log.header->dirty_guest, 0);
}

/* ---- what the hypervisor does not know ---- */

static void test_marking(void **state)
{
	struct fixture *f = *state;
	static const struct extent runs[] = {{40, 1}, {41, 2}, {42, 2}}; /* overlapping */
	const unsigned long clean[2] = {0};
	begin_following(f);
	uint64_t polls = f->log.header->polls, forced = f->log.header->dirty_forced;
	assert_int_equal(tracked_region_mark(f->region, runs, 3), 0);
	assert_dirty(f, 40, 4);
	assert_int_equal(f->log.header->dirty_device_model, 5);
	assert_int_equal(f->log.header->dirty_guest, 0);
	assert_int_equal(f->log.header->dirty_forced, forced);
	assert_int_equal(f->log.header->polls, polls);
	/* It changes nothing about what the hypervisor knows. */
	publish(f, VRAM, PAGES, clean);
	assert_dirty(f, 0, 0);
}

static void test_marking_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	static const struct extent beyond[] = {
		{0, PAGES + 1}, {PAGES, 1}, {PAGES - 1, 2}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
	begin_following(f);
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		const struct extent runs[] = {{3, 1}, beyond[i]};
		assert_fails(tracked_region_mark(f->region, runs, 2), ERANGE);
		assert_dirty(f, 0, 0);
	}
	const struct extent all = {0, PAGES};
	assert_int_equal(tracked_region_mark(f->region, &all, 1), 0);
	assert_dirty(f, 0, PAGES);
}

static void test_refresh(void **state)
{
	struct fixture *f = *state;
	const unsigned long clean[2] = {0};
	begin_following(f);
	uint64_t polls = f->log.header->polls;
	tracked_region_refresh(f->region);
	assert_dirty(f, 0, PAGES);
	assert_int_equal(f->log.header->polls, polls);
	publish(f, VRAM, PAGES, clean);
	assert_dirty(f, 0, 0);
	assert_int_equal(f->log.header->polls, polls + 1);
}

/* ---- waking ---- */

static unsigned int drain(int fd)
{
	char bytes[4096];
	unsigned int n_bytes = 0;
	ssize_t n;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		n_bytes += n;
	return n_bytes;
}

static unsigned int count_wakes(const struct tracked_region *region)
{
	const struct wake *wake;
	unsigned int n = 0;
	LIST_FOREACH(wake, &region->wakes, link)
		n++;
	return n;
}

static void test_wakes(void **state)
{
	struct fixture *f = *state;
	const unsigned long clean[2] = {0}, dirty[2] = {1};
	int a[2], b[2];
	begin_following(f);
	assert_int_equal(pipe2(a, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(tracked_region_add_wake(f->region, 1, a[1]), 0);
	assert_int_equal(tracked_region_add_wake(f->region, 2, b[1]), 0);
	/* Whoever subscribed may have looked too early: it looks once more. */
	assert_int_equal(drain(a[0]), 1);
	assert_int_equal(drain(b[0]), 1);

	publish(f, VRAM, PAGES, clean);
	assert_int_equal(drain(a[0]), 0);
	publish(f, VRAM, PAGES, dirty);
	assert_int_equal(drain(a[0]), 1);
	assert_int_equal(drain(b[0]), 1);

	static const struct extent a_page = {5, 1};
	assert_int_equal(tracked_region_mark(f->region, &a_page, 1), 0);
	tracked_region_refresh(f->region);
	assert_int_equal(drain(a[0]), 2);
	assert_int_equal(drain(b[0]), 2);

	/* A reader that does not read costs nothing, and keeps its wake-up. */
	for (unsigned int i = 0; i < 70000; i++)
		tracked_region_wake(f->region);
	assert_int_equal(count_wakes(f->region), 2);
	assert_true(drain(b[0]) > 0);
	assert_int_equal(drain(b[0]), 0);
	publish(f, VRAM, PAGES, dirty);
	assert_int_equal(drain(b[0]), 1);

	/* One that went away is forgotten, the other is not. */
	close(a[0]);
	publish(f, VRAM, PAGES, dirty);
	assert_int_equal(count_wakes(f->region), 1);
	assert_false(fd_is_open(a[1]));
	assert_int_equal(drain(b[0]), 1);

	tracked_region_drop_wake(f->region, 1);
	tracked_region_drop_wake(f->region, 2);
	assert_false(fd_is_open(b[1]));
	assert_int_equal(read(b[0], a, 1), 0);
	publish(f, VRAM, PAGES, dirty);
	close(b[0]);
}

static void test_wake_is_replaced(void **state)
{
	struct fixture *f = *state;
	int a[2], b[2];
	unsigned int n_open = count_open_fds();
	assert_int_equal(pipe2(a, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(tracked_region_add_wake(f->region, 1, a[1]), 0);
	assert_int_equal(tracked_region_add_wake(f->region, 1, b[1]), 0);
	assert_false(fd_is_open(a[1]));
	assert_int_equal(drain(b[0]), 1);
	tracked_region_wake(f->region);
	assert_int_equal(drain(b[0]), 1);
	tracked_region_drop_wake(f->region, 1);
	close(a[0]);
	close(b[0]);
	assert_int_equal(count_open_fds(), n_open);
}

static void test_wakes_end_with_the_region(void **state)
{
	struct fixture *f = *state;
	int a[2];
	assert_int_equal(pipe2(a, O_NONBLOCK | O_CLOEXEC), 0);
	struct tracked_region *region =
		tracked_region_new(2, (struct extent){VRAM, PAGES}, f->file->writable_fd);
	assert_int_equal(tracked_region_add_wake(region, 1, a[1]), 0);
	assert_null(tracked_region_free(region));
	assert_false(fd_is_open(a[1]));
	assert_true(fd_is_open(f->file->writable_fd));
	close(a[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as the worker does */
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
		TEST(test_wakes),
		TEST(test_wake_is_replaced),
		TEST(test_wakes_end_with_the_region),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
