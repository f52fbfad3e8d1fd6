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
	assert_int_equal(read(fd, &n_open, 1), 0);
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
	assert_int_equal(read(before, &n_open, 1), 0);
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
