/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who follows a region, and when they are woken. */
#include "tests/unit/region_bench.h"

#include <signal.h>

static const unsigned long clean[WORDS];
static const unsigned long dirty[WORDS] = {1};

/* Time for every reader to be woken again; returns what tracked_region_wake says. */
static uint64_t wake_later(struct region_bench *b)
{
	b->now_ns += 1 * MS;
	return tracked_region_wake(b->region, b->now_ns);
}

static unsigned int count_readers(const struct tracked_region *region)
{
	const struct reader *reader;
	unsigned int n = 0;
	LIST_FOREACH(reader, &region->readers, link)
		n++;
	return n;
}

/* Nobody holds the other end of the pipe any more, and nothing is left in it. */
static void assert_ended(int fd)
{
	char byte;
	assert_int_equal(read(fd, &byte, 1), 0);
}

static void test_wakes(void **state)
{
	struct region_bench *b = *state;
	static const struct extent a_page = {5, 1};
	region_bench_follow(b);
	int first = region_bench_add_reader(b, 2, WHOLE), second = region_bench_add_reader(b, 3, WHOLE);
	/* Whoever subscribed may have looked too early: it looks once more. */
	wake_later(b);
	assert_int_equal(drain(first), 1);
	assert_int_equal(drain(second), 1);

	region_bench_poll(b, WHOLE, clean);
	assert_int_equal(wake_later(b), UINT64_MAX);
	assert_int_equal(drain(first), 0);
	region_bench_poll(b, WHOLE, dirty);
	wake_later(b);
	assert_int_equal(drain(first), 1);
	assert_int_equal(drain(second), 1);

	assert_int_equal(tracked_region_mark(b->region, &a_page, 1), 0);
	wake_later(b);
	tracked_region_refresh(b->region);
	wake_later(b);
	assert_int_equal(drain(first), 2);
	assert_int_equal(drain(second), 2);
	close(first);
	close(second);
}

/* A reader that does not read costs nothing, and keeps its wake-up. */
static void test_full_pipe(void **state)
{
	struct region_bench *b = *state;
	static const struct extent a_page = {5, 1};
	int fd = region_bench_add_reader(b, 2, WHOLE);
	int other = region_bench_add_reader(b, 3, WHOLE);
	for (unsigned int i = 0; i < 70000; i++) {
		assert_int_equal(tracked_region_mark(b->region, &a_page, 1), 0);
		wake_later(b);
		assert_int_equal(drain(other), 1);
	}
	assert_in_range(drain(fd), 1, 69999);
	assert_int_equal(drain(fd), 0);
	assert_int_equal(tracked_region_mark(b->region, &a_page, 1), 0);
	wake_later(b);
	assert_int_equal(drain(fd), 1);
	close(fd);
	close(other);
}

/* One that went away is not woken any more, the other is. What it follows is followed until it is dropped. */
static void test_reader_goes_away(void **state)
{
	struct region_bench *b = *state;
	unsigned int n_open = count_open_fds();
	int gone = region_bench_add_reader(b, 2, WHOLE), fd = region_bench_add_reader(b, 3, WHOLE);
	wake_later(b);
	assert_int_equal(drain(fd), 1);
	close(gone);
	assert_int_equal(count_open_fds(), n_open + 3);
	for (unsigned int i = 0; i < 3; i++) {
		tracked_region_refresh(b->region);
		assert_int_equal(wake_later(b), UINT64_MAX);
		assert_int_equal(drain(fd), 1);
		assert_int_equal(count_open_fds(), n_open + 2);
	}
	assert_int_equal(count_readers(b->region), 2);
	assert_true(tracked_region_drop_reader(b->region, 3, b->now_ns));
	assert_false(tracked_region_drop_reader(b->region, 3, b->now_ns));
	assert_ended(fd);
	assert_int_equal(count_readers(b->region), 1);
	assert_true(tracked_region_drop_reader(b->region, 2, b->now_ns));
	assert_int_equal(count_readers(b->region), 0);
	close(fd);
}

static void test_reader_is_replaced(void **state)
{
	struct region_bench *b = *state;
	unsigned int n_open = count_open_fds();
	int before = region_bench_add_reader(b, 1, WHOLE), after = region_bench_add_reader(b, 1, WHOLE);
	assert_int_equal(count_open_fds(), n_open + 3);
	assert_ended(before);
	assert_int_equal(count_readers(b->region), 1);
	wake_later(b);
	assert_int_equal(drain(after), 1);
	tracked_region_refresh(b->region);
	wake_later(b);
	assert_int_equal(drain(after), 1);
	assert_true(tracked_region_drop_reader(b->region, 1, b->now_ns));
	close(before);
	close(after);
	assert_int_equal(count_open_fds(), n_open);
}

static void test_readers_end_with_the_region(void **state)
{
	struct region_bench *b = *state;
	int fds[2];
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	struct tracked_region *region = tracked_region_new(2, VRAM, PAGES, b->file->writable_fd);
	assert_int_equal(tracked_region_add_reader(region, 1, WHOLE, 1000, fds[1]), 0);
	assert_null(tracked_region_free(region));
	assert_false(fd_is_open(fds[1]));
	assert_true(fd_is_open(b->file->writable_fd));
	assert_int_equal(drain(fds[0]), 0);
	close(fds[0]);
}

/* ---- for whom, and how often ---- */

static void test_only_whose_pages_changed(void **state)
{
	struct region_bench *b = *state;
	static const struct extent marked[] = {{9, 1}, {10, 40}, {49, 2}, {60, 40}, {5, 50}};
	static const unsigned int expected[][2] = {{1, 0}, {0, 0}, {0, 1}, {0, 0}, {1, 1}};
	unsigned long bitmap[WORDS] = {0};
	int low = region_bench_add_reader(b, 1, (struct extent){0, 10});
	int high = region_bench_add_reader(b, 2, (struct extent){50, 10});

	region_bench_poll(b, WHOLE, NULL);
	wake_later(b);
	assert_int_equal(drain(low) + drain(high), 2);
	for (size_t i = 0; i < sizeof(marked) / sizeof(marked[0]); i++) {
		assert_int_equal(tracked_region_mark(b->region, &marked[i], 1), 0);
		wake_later(b);
		assert_int_equal(drain(low), expected[i][0]);
		assert_int_equal(drain(high), expected[i][1]);
	}
	for (unsigned int page = 0; page < PAGES; page++) {
		bitmap[page / 64] = 1ul << page % 64;
		region_bench_poll(b, WHOLE, bitmap);
		wake_later(b);
		assert_int_equal(drain(low), page < 10);
		assert_int_equal(drain(high), page >= 50 && page < 60);
		bitmap[page / 64] = 0;
	}
	close(low);
	close(high);
}

/* What changes before it may be woken again is not forgotten. */
static void test_woken_later(void **state)
{
	struct region_bench *b = *state;
	static const struct extent page = {5, 1};
	int fd = region_bench_add_reader(b, 1, WHOLE);
	int slow[2];
	assert_int_equal(pipe2(slow, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(tracked_region_add_reader(b->region, 2, WHOLE, 50000, slow[1]), 0);
	wake_later(b);
	uint64_t woken_ns = b->now_ns;
	assert_int_equal(drain(fd) + drain(slow[0]), 2);

	assert_int_equal(tracked_region_mark(b->region, &page, 1), 0);
	b->now_ns += MS / 2;
	uint64_t next_ns = tracked_region_wake(b->region, b->now_ns);
	assert_int_equal(drain(fd) + drain(slow[0]), 0);
	assert_in_range(next_ns, b->now_ns + 1, woken_ns + 1 * MS);
	region_bench_poll(b, WHOLE, clean); /* finds nothing more */
	b->now_ns = next_ns;
	next_ns = tracked_region_wake(b->region, b->now_ns);
	assert_int_equal(drain(fd), 1);
	assert_int_equal(drain(slow[0]), 0);
	assert_in_range(next_ns, woken_ns + 40 * MS, woken_ns + 50 * MS);
	b->now_ns = next_ns;
	assert_int_equal(tracked_region_wake(b->region, b->now_ns), UINT64_MAX);
	assert_int_equal(drain(slow[0]), 1);
	close(fd);
	close(slow[0]);
	close(slow[1]);
}

/* A region that changes all the time, looked at all the time. */
static void test_paced(void **state)
{
	struct region_bench *b = *state;
	static const struct extent page = {5, 1};
	static const uint32_t periods_us[] = {1000, 7000, 50000};
	int fds[3][2];
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(pipe2(fds[i], O_NONBLOCK | O_CLOEXEC), 0);
		assert_int_equal(tracked_region_add_reader(b->region, i, WHOLE, periods_us[i], fds[i][1]), 0);
	}
	for (unsigned int us = 0; us < 700000; us += 100, b->now_ns += MS / 10) {
		assert_int_equal(tracked_region_mark(b->region, &page, 1), 0);
		tracked_region_wake(b->region, b->now_ns);
	}
	for (unsigned int i = 0; i < 3; i++) {
		unsigned int n = 700000 / periods_us[i];
		assert_in_range(drain(fds[i][0]), n, n + 1);
		close(fds[i][0]);
	}
}

/* Timers are late by turns: that makes no reader miss every other poll. */
static void test_uneven_polls(void **state)
{
	struct region_bench *b = *state;
	int fd = region_bench_add_reader(b, 1, WHOLE);
	for (unsigned int i = 0; i < 100; i++) {
		region_bench_poll(b, WHOLE, NULL);
		tracked_region_wake(b->region, b->now_ns);
		assert_int_equal(drain(fd), 1);
		b->now_ns += i % 2 ? MS * 11 / 10 : MS * 9 / 10;
	}
	close(fd);
}

static void test_end(void **state)
{
	struct region_bench *b = *state;
	int first = region_bench_add_reader(b, 1, (struct extent){0, 10});
	int second = region_bench_add_reader(b, 2, (struct extent){50, 10});
	region_bench_poll(b, (struct extent){0, 10}, NULL);
	assert_int_equal(b->log.header->state, REGION_LOG_PARTIAL);
	wake_later(b);
	assert_int_equal(drain(first) + drain(second), 2);
	/* All hear of it, at once, although nothing of theirs has changed. */
	uint64_t generation = region_log_generation(&b->log);
	tracked_region_end(b->region, b->now_ns);
	assert_int_equal(drain(first), 1);
	assert_int_equal(drain(second), 1);
	assert_int_equal(region_log_generation(&b->log), generation);
	assert_int_equal(b->log.header->state, REGION_LOG_GONE);
	assert_int_equal(b->log.header->period_ns, 0);
	assert_int_equal(b->log.header->wanted_period_ns, 0);
	assert_int_equal(b->log.header->untracked_pages, 0);
	close(first);
	close(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, region_bench_open, region_bench_close)

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as the worker does */
	const struct CMUnitTest tests[] = {
		TEST(test_wakes),
		TEST(test_full_pipe),
		TEST(test_reader_goes_away),
		TEST(test_reader_is_replaced),
		TEST(test_readers_end_with_the_region),
		TEST(test_only_whose_pages_changed),
		TEST(test_woken_later),
		TEST(test_paced),
		TEST(test_uneven_polls),
		TEST(test_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
