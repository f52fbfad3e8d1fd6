/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often the tracker asks the hypervisor and wakes readers: idleness, cost, refreshing. */
#include "tests/unit/tracker_bench.h"

#include <signal.h>

#include "proto/limits.h"

#define PERIOD (10 * MS)

static const struct region_log_header *header(unsigned int i)
{
	return bench.logs[i].header;
}

static void assert_pace(unsigned int i, uint64_t wanted_us, uint64_t period_us, enum region_log_stretch why)
{
	assert_int_equal(header(i)->wanted_period_ns, wanted_us * 1000);
	assert_int_equal(header(i)->period_ns, period_us * 1000);
	assert_int_equal(header(i)->stretch, why);
}

static unsigned int polls_within_us(uint64_t us)
{
	unsigned int before = xen.n_polls;
	fake_loop_run_us(us);
	return xen.n_polls - before;
}

/* ---- idleness ---- */

static void test_idle(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	assert_pace(0, PERIOD, PERIOD, REGION_LOG_AS_WANTED);
	fake_loop_run_us(IDLE_AFTER_US + 8 * PERIOD);
	assert_pace(0, PERIOD, MAX_IDLE_FACTOR * PERIOD, REGION_LOG_STRETCHED_IDLE);
	assert_int_equal(polls_within_us(100 * MAX_IDLE_FACTOR * PERIOD), 100);
	/* The first change is found late by that much at most, and ends it. */
	fake_xen_write(bench_gfn(0, 7));
	fake_loop_run_us(MAX_IDLE_FACTOR * PERIOD);
	bench_assert_only(0, 7);
	assert_pace(0, PERIOD, PERIOD, REGION_LOG_AS_WANTED);
	assert_int_equal(polls_within_us(50 * PERIOD), 50);
}

/* So does whatever else happens, at once. */
static void test_stirred(void **state)
{
	(void)state;
	static const struct extent page = {3, 1}, all = {0, BENCH_PAGES};
	bench_follow(0, PERIOD);
	for (unsigned int i = 0; i < 4; i++) {
		fake_loop_run_us(2 * IDLE_AFTER_US);
		assert_pace(0, PERIOD, MAX_IDLE_FACTOR * PERIOD, REGION_LOG_STRETCHED_IDLE);
		if (i == 0)
			tracker_mark(bench.tracker, bench_cookie(0), &page, 1);
		else if (i == 1)
			tracker_mark(bench.tracker, bench_cookie(0), NULL, 0);
		else if (i == 2)
			bench_watch(0, PERIOD);
		else
			tracker_place(bench.tracker, bench_cookie(0), 5000, false, &all, 1);
		assert_in_range(polls_within_us(50 * PERIOD), 50, 51);
		assert_pace(0, PERIOD, PERIOD, REGION_LOG_AS_WANTED);
	}
}

/* Nobody who asks waits for an idle region. */
static void test_asking_while_idle(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	fake_loop_run_us(2 * IDLE_AFTER_US);
	fake_xen_write(bench_gfn(0, 1));
	bench_poll(0, 1);
	fake_loop_run_us(MIN_PERIOD_US);
	assert_int_equal(bench.n_polled, 1);
	bench_assert_only(0, 1);
}

/* ---- cost ---- */

static void write_and_run(unsigned int n_steps, uint64_t step_us)
{
	for (unsigned int i = 0; i < n_steps; i++) {
		fake_xen_write(bench_gfn(0, i % BENCH_PAGES));
		fake_loop_run_us(step_us);
	}
}

static void test_budget(void **state)
{
	(void)state;
	bench.poll_us = 2 * MS;
	tracker_limit(bench.tracker, 50000, 0);
	bench_follow(0, PERIOD);
	uint64_t poll_ns = header(0)->poll_ns, begun_us = fake_loop_now_us();
	write_and_run(1000, MS);
	assert_pace(0, PERIOD, 40 * MS, REGION_LOG_STRETCHED_BUDGET);
	double part = (header(0)->poll_ns - poll_ns) / 1000.0 / (fake_loop_now_us() - begun_us);
	assert_true(part > 0.045 && part <= 0.052);
	/* With next to none of it polling all but ends; with a larger share it goes on at once. */
	tracker_limit(bench.tracker, 100, 0);
	assert_in_range(polls_within_us(1000 * MS), 0, 1);
	tracker_limit(bench.tracker, 1000000, 0);
	assert_int_equal(polls_within_us(0), 1);
	write_and_run(100, MS);
	assert_pace(0, PERIOD, PERIOD, REGION_LOG_AS_WANTED);
	/* A slower guest than that is not stopped for longer than it runs, whatever is left of the budget. */
	bench.poll_us = 20 * MS;
	write_and_run(100, MS);
	assert_pace(0, PERIOD, 40 * MS, REGION_LOG_STRETCHED_GUEST);
	/* And recovers. */
	bench.poll_us = 0;
	write_and_run(100, MS);
	assert_pace(0, PERIOD, PERIOD, REGION_LOG_AS_WANTED);
}

/* Whoever asks all the time gets no more than the share allows. */
static void test_asking_obeys_the_budget(void **state)
{
	(void)state;
	bench.poll_us = 1 * MS;
	tracker_limit(bench.tracker, 100000, 0);
	bench_add(0);
	uint64_t begun_us = fake_loop_now_us();
	for (unsigned int i = 0; i < 200; i++) {
		bench_poll(0, i);
		fake_loop_run_us(5 * MS);
	}
	uint64_t passed_us = fake_loop_now_us() - begun_us;
	assert_in_range(xen.n_polls, passed_us / (10 * MS) - 2, passed_us / (10 * MS) + 1);
	fake_loop_run_us(10 * MS);
	assert_int_equal(bench.n_polled, 200);
}

/* Each region counts the polls that asked for its bits, and what they took. */
static void test_counting(void **state)
{
	(void)state;
	bench.poll_us = 100;
	bench_follow(0, PERIOD);
	bench_add(1);
	uint64_t polls = header(0)->polls, poll_ns = header(0)->poll_ns;
	unsigned int n = polls_within_us(100 * MS);
	assert_in_range(n, 9, 11);
	assert_int_equal(header(0)->polls - polls, n);
	assert_int_equal(header(0)->poll_ns - poll_ns, n * 100000);
	assert_in_range(header(0)->last_poll_ns / 1000, fake_loop_now_us() - PERIOD, fake_loop_now_us());
	assert_int_equal(header(1)->polls, 0);
	assert_int_equal(header(1)->last_poll_ns, 0);
}

/* ---- refreshing ---- */

static void test_refresh(void **state)
{
	(void)state;
	static const struct extent part = {20, 30};
	unsigned int n_all = 0;
	bench_add(0);
	bench_add_reader(0, 1, part, PERIOD, -1);
	fake_loop_run_us(5 * PERIOD);
	tracker_limit(bench.tracker, 1000000, 200 * MS * 1000ull);
	fake_loop_run_us(PERIOD);
	bench.cursors[0] = region_log_generation(&bench.logs[0]);
	for (unsigned int i = 0; i < 200; i++) {
		bool dirty[BENCH_PAGES];
		unsigned int page = 20 + i % 30;
		fake_xen_write(bench_gfn(0, page));
		fake_loop_run_us(PERIOD);
		unsigned int n = bench_read(0, dirty);
		assert_true(dirty[page] && (n == 1 || n == 30));
		n_all += n == 30;
	}
	assert_in_range(n_all, 9, 11);
	tracker_limit(bench.tracker, 1000000, 0);
	fake_loop_run_us(1000 * MS);
	bench_assert_none(0);
}

/* Nor does it keep a region from being idle: it says nothing about the guest. */
static void test_refresh_is_no_change(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	tracker_limit(bench.tracker, 1000000, 100 * MS * 1000ull);
	fake_loop_run_us(2 * IDLE_AFTER_US);
	assert_pace(0, PERIOD, MAX_IDLE_FACTOR * PERIOD, REGION_LOG_STRETCHED_IDLE);
	bench_assert_all(0);
}

/* ---- waking ---- */

static unsigned int drain(int fd)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));
	return n > 0 ? n : 0;
}

/* Each reader at its own pace, and only for its own pages. */
static void test_wakes(void **state)
{
	(void)state;
	static const uint32_t periods_us[] = {5 * MS, 12 * MS, 50 * MS, 5 * MS};
	static const struct extent pages[] = {{0, 10}, {5, 10}, {0, 100}, {50, 10}};
	static const unsigned int n_expected[] = {200, 83, 20, 0};
	int fds[4][2];

	bench_add(0);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(pipe2(fds[i], O_NONBLOCK | O_CLOEXEC), 0);
		bench_add_reader(0, i, pages[i], periods_us[i], fds[i][1]);
	}
	fake_loop_run_us(200 * MS);
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(drain(fds[i][0]), 1, 3);
	for (unsigned int i = 0; i < 1000; i++) {
		fake_xen_write(bench_gfn(0, 5 + i % 5));
		fake_loop_run_us(MS);
	}
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int n = n_expected[i], tolerance = n / 10;
		assert_in_range(drain(fds[i][0]), n - tolerance, n + (n > 0));
	}
	/* The last change is not kept from anybody. */
	fake_loop_run_us(100 * MS);
	for (unsigned int i = 0; i < 4; i++)
		drain(fds[i][0]);
	fake_xen_write(bench_gfn(0, 5));
	fake_loop_run_us(100 * MS);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(drain(fds[i][0]), i < 3);
		close(fds[i][0]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(test_idle),
		TEST(test_stirred),
		TEST(test_asking_while_idle),
		TEST(test_budget),
		TEST(test_asking_obeys_the_budget),
		TEST(test_counting),
		TEST(test_refresh),
		TEST(test_refresh_is_no_change),
		TEST(test_wakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
