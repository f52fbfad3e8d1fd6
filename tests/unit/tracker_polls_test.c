/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When the tracker asks the hypervisor and when it stops: leaving, polls on request, wake-ups. */
#include "tests/unit/tracker_bench.h"

#include <signal.h>

#include "proto/limits.h"

#define PERIOD (10 * MS)

static const struct region_log_header *header(unsigned int i)
{
	return bench.logs[i].header;
}

/* As subscription 5. It is woken once at the beginning. */
static void add_woken_reader(unsigned int i, int fd)
{
	bench_add_reader(i, 5, (struct extent){0, BENCH_PAGES}, PERIOD, fd);
	fake_loop_run_us(0);
}

/* ---- leaving ---- */

static void test_linger(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	bench_watch(0, 0);
	xen.n_polls = 0;
	fake_loop_run_us(LINGER_US - MS);
	assert_int_equal(xen.n_stops, 0);
	assert_int_equal(xen.n_polls, 0); /* tracked, not polled */
	fake_xen_write(bench_gfn(0, 77));
	bench_watch(0, PERIOD);
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, 77);

	bench_watch(0, 0);
	fake_loop_run_us(LINGER_US + MS);
	assert_int_equal(xen.n_stops, 1);
	assert_int_equal(xen.track_pages, 0);
	assert_int_equal(header(0)->state, REGION_LOG_IDLE);
	assert_false(fake_loop_has_timer());
	bench_assert_none(0);
	bench_watch(0, PERIOD);
	fake_loop_run_us(PERIOD);
	bench_assert_all(0);
}

static void test_unwatching_what_nobody_watched(void **state)
{
	(void)state;
	bench_add(0);
	bench_watch(0, 0);
	fake_loop_run_us(PERIOD);
	assert_int_equal(xen.n_polls, 0);
	assert_false(fake_loop_has_timer());
}

static void test_suspend(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	tracker_suspend(bench.tracker);
	tracker_suspend(bench.tracker);
	assert_int_equal(xen.n_stops, 1);
	fake_loop_run_us(PERIOD);
	bench_assert_all(0);
	assert_int_equal(xen.track_pages, BENCH_PAGES);
}

static void test_free_stops(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	bench.tracker = tracker_free(bench.tracker);
	assert_int_equal(xen.n_stops, 1);
	assert_int_equal(xen.track_pages, 0);
	/* A worker that ends says nothing about its regions. */
	assert_int_equal(header(0)->state, REGION_LOG_TRACKED);
}

static void test_remove(void **state)
{
	(void)state;
	char byte;
	int fds[2];
	bench_follow(0, PERIOD);
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	add_woken_reader(0, fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	bench_poll(0, 1);
	tracker_remove(bench.tracker, bench_cookie(0));
	assert_int_equal(header(0)->state, REGION_LOG_GONE);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	assert_int_equal(read(fds[0], &byte, 1), 0);
	fake_loop_run_us(PERIOD);
	assert_int_equal(xen.track_pages, 0);
	assert_int_equal(bench.n_polled, 1); /* whoever asked is not left waiting */
	assert_false(fake_loop_has_timer());
	close(fds[0]);
}

/* ---- polling on request ---- */

static void test_poll(void **state)
{
	(void)state;
	bench_add(0);
	bench_poll(0, 11);
	fake_loop_run_us(0);
	assert_int_equal(bench.n_polled, 1);
	assert_int_equal(bench.polled[0], 11);
	bench_assert_all(0);
	fake_xen_write(bench_gfn(0, 4));
	fake_loop_run_us(LINGER_US - MS);
	assert_int_equal(xen.n_polls, 1);
	bench_poll(0, 12);
	fake_loop_run_us(0);
	assert_int_equal(bench.polled[1], 12);
	bench_assert_only(0, 4);
	/* The time starts anew with each. */
	fake_loop_run_us(LINGER_US - MS);
	assert_int_equal(xen.n_stops, 0);
	fake_loop_run_us(2 * MS);
	assert_int_equal(xen.n_stops, 1);
	bench_poll(0, 13);
	fake_loop_run_us(0);
	bench_assert_all(0);
}

static void test_polls_coalesce(void **state)
{
	(void)state;
	bench_add(0);
	bench_add(1);
	for (unsigned int i = 0; i < 50; i++)
		bench_poll(i % 2, i);
	fake_loop_run_us(0);
	assert_int_equal(xen.n_polls, 1);
	assert_int_equal(bench.n_polled, 50);
	for (unsigned int i = 0; i < 50; i++)
		assert_int_equal(bench.polled[i], i);
	/* At most one a millisecond, however often it is asked, whatever else the timer runs for. */
	for (unsigned int i = 50; i < 250; i++) {
		bench_poll(0, i);
		bench_watch(1, 0);
		fake_loop_run_us(MIN_PERIOD_US / 10);
	}
	fake_loop_run_us(MIN_PERIOD_US);
	assert_int_equal(bench.n_polled, 250);
	assert_in_range(xen.n_polls, 20, 22);
}

static void test_poll_of_a_watched_region(void **state)
{
	(void)state;
	bench_follow(0, 1000 * MS);
	fake_loop_run_us(10 * MS);
	xen.n_polls = 0;
	fake_xen_write(bench_gfn(0, 4));
	bench_poll(0, 1);
	fake_loop_run_us(0);
	assert_int_equal(bench.n_polled, 1);
	assert_int_equal(xen.n_polls, 1);
	bench_assert_only(0, 4);
	/* Which counts as the poll of the period. */
	fake_loop_run_us(995 * MS);
	assert_int_equal(xen.n_polls, 1);
	fake_loop_run_us(10 * MS);
	assert_int_equal(xen.n_polls, 2);
}

static void test_forgotten_polls(void **state)
{
	(void)state;
	bench_add(0);
	bench_poll(0, 1);
	tracker_forget_polls(bench.tracker);
	fake_loop_run_us(LINGER_US + MS);
	assert_int_equal(bench.n_polled, 0);
	assert_int_equal(xen.track_pages, 0);
	assert_false(fake_loop_has_timer());
	bench_poll(0, 2);
	fake_loop_run_us(0);
	assert_int_equal(bench.n_polled, 1);
	assert_int_equal(bench.polled[0], 2);
	bench_assert_all(0);
}

static void test_wakes(void **state)
{
	(void)state;
	char bytes[8];
	int fds[2];
	bench_follow(0, PERIOD);
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	add_woken_reader(0, fds[1]);
	assert_int_equal(read(fds[0], bytes, sizeof(bytes)), 1);
	fake_loop_run_us(5 * PERIOD);
	assert_fails(read(fds[0], bytes, sizeof(bytes)), EAGAIN);
	fake_xen_write(bench_gfn(0, 4));
	fake_loop_run_us(5 * PERIOD);
	assert_int_equal(read(fds[0], bytes, sizeof(bytes)), 1);
	tracker_drop_reader(bench.tracker, 5);
	assert_int_equal(read(fds[0], bytes, sizeof(bytes)), 0);
	close(fds[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(test_linger),
		TEST(test_unwatching_what_nobody_watched),
		TEST(test_suspend),
		TEST(test_free_stops),
		TEST(test_remove),
		TEST(test_poll),
		TEST(test_polls_coalesce),
		TEST(test_poll_of_a_watched_region),
		TEST(test_forgotten_polls),
		TEST(test_wakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
