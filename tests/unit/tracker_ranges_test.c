/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which range the tracker sets in the hypervisor, when, and what readers are told until it may. */
#include "tests/unit/tracker_bench.h"

#include "proto/limits.h"

#define PERIOD (10 * MS)

static const struct region_log_header *header(unsigned int i)
{
	return bench.logs[i].header;
}

static void assert_range(uint64_t first, uint64_t end)
{
	assert_int_equal(xen.track_first, first);
	assert_int_equal(xen.track_pages, end - first);
}

/* ---- parts of regions ---- */

static void test_parts(void **state)
{
	(void)state;
	bench_add(0);
	bench_add(1);
	bench_add_reader(0, 1, (struct extent){40, 10}, PERIOD, -1);
	fake_loop_run_us(0);
	assert_range(bench_gfn(0, 40), bench_gfn(0, 50));
	bench_assert_pages(0, (struct extent){40, 10});
	fake_xen_write(bench_gfn(0, 45));
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, 45);

	fake_loop_run_us(RANGE_CHANGE_US);
	bench_add_reader(1, 2, (struct extent){5, 2}, PERIOD, -1);
	fake_loop_run_us(PERIOD);
	assert_range(bench_gfn(0, 40), bench_gfn(1, 7));
	bench_assert_pages(0, (struct extent){40, 10});
	bench_assert_pages(1, (struct extent){5, 2});
	/* What lies between is in the range, and nobody's. */
	fake_xen_write(bench_gfn(0, 50));
	fake_xen_write(bench_gfn(1, 4));
	fake_xen_write(bench_gfn(1, 6));
	fake_loop_run_us(PERIOD);
	bench_assert_none(0);
	bench_assert_only(1, 6);
	assert_int_equal(header(0)->state, REGION_LOG_TRACKED);
	assert_int_equal(header(1)->state, REGION_LOG_TRACKED);
}

/* A request is for its pages; what else is followed is answered as ever. */
static void test_asked_part(void **state)
{
	(void)state;
	static const struct extent pages = {90, 10}, beyond = {90, 11};
	bench_add(0);
	assert_fails(tracker_poll(bench.tracker, bench_cookie(0), beyond, 1), ERANGE);
	assert_int_equal(tracker_poll(bench.tracker, bench_cookie(0), pages, 2), 0);
	fake_loop_run_us(0);
	assert_int_equal(bench.n_polled, 1);
	assert_int_equal(bench.polled[0], 2);
	assert_range(bench_gfn(0, 90), bench_gfn(0, 100));
	bench_assert_pages(0, pages);
	fake_xen_write(bench_gfn(0, 99));
	assert_int_equal(tracker_poll(bench.tracker, bench_cookie(0), pages, 3), 0);
	fake_loop_run_us(MIN_PERIOD_US);
	bench_assert_only(0, 99);
}

/* ---- a change of range waits ---- */

static void test_new_reader_waits(void **state)
{
	(void)state;
	bench_add(0);
	bench_add(2);
	bench_watch(0, PERIOD);
	fake_loop_run_us(PERIOD);
	bench_assert_all(0);
	bench_watch(2, PERIOD);
	/* Region 2 is dirty with each poll until the range may grow; region 0 does not suffer. */
	for (unsigned int i = 0; i < RANGE_CHANGE_US / PERIOD - 2; i++) {
		fake_xen_write(bench_gfn(0, i));
		fake_loop_run_us(PERIOD);
		bench_assert_only(0, i);
		bench_assert_all(2);
		assert_int_equal(header(0)->state, REGION_LOG_TRACKED);
		assert_int_equal(header(2)->state, REGION_LOG_PARTIAL);
		assert_int_equal(header(2)->untracked_pages, BENCH_PAGES);
	}
	assert_int_equal(xen.n_starts, 1);
	fake_loop_run_us(PERIOD);
	assert_int_equal(xen.n_starts, 2);
	assert_range(bench_gfn(0, 0), bench_gfn(2, BENCH_PAGES));
	bench_assert_all(0);
	bench_assert_all(2);
	fake_xen_write(bench_gfn(2, 3));
	fake_loop_run_us(PERIOD);
	bench_assert_none(0);
	bench_assert_only(2, 3);
	assert_int_equal(header(2)->state, REGION_LOG_TRACKED);
}

/* Followers are told nothing while tracking is off, which is worth no poll; then all is dirty. */
static void test_suspended_followers_wait(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	tracker_suspend(bench.tracker);
	fake_loop_run_us(PERIOD); /* on again at once: the last change is long ago */
	assert_int_equal(xen.n_starts, 2);
	bench_assert_all(0);
	for (unsigned int i = 3; i < 6; i++) {
		fake_loop_run_us(2 * PERIOD);
		tracker_suspend(bench.tracker);
		assert_int_equal(xen.track_pages, 0);
		unsigned int n_polls = xen.n_polls;
		fake_loop_run_us(RANGE_CHANGE_US - 3 * PERIOD - MS);
		assert_int_equal(xen.n_polls, n_polls);
		bench_assert_none(0);
		while (xen.n_starts < i && fake_loop_has_timer())
			fake_loop_run_us(MS);
		assert_int_equal(xen.n_polls, n_polls + 1);
		bench_assert_all(0);
		fake_xen_write(bench_gfn(0, 1));
		fake_loop_run_us(PERIOD);
		bench_assert_only(0, 1);
	}
}

/* Whoever asked does not wait for that: all of it may have been written. */
static void test_suspended_asker_is_answered(void **state)
{
	(void)state;
	bench_add(0);
	bench_poll(0, 1);
	fake_loop_run_us(0);
	bench_assert_all(0);
	for (unsigned int i = 2; i < 20; i++) {
		tracker_suspend(bench.tracker);
		bench_poll(0, i);
		fake_loop_run_us(MIN_PERIOD_US);
		assert_int_equal(bench.n_polled, i);
		bench_assert_all(0);
	}
	assert_int_equal(xen.n_starts, 1);
	assert_int_equal(xen.n_polls, 1);
	/* A poll without a hypercall is none. */
	assert_int_equal(header(0)->polls, 1);
	fake_loop_run_us(RANGE_CHANGE_US);
	bench_poll(0, 20);
	fake_loop_run_us(0);
	bench_assert_all(0);
	bench_poll(0, 21);
	fake_loop_run_us(MIN_PERIOD_US);
	bench_assert_none(0);
	assert_int_equal(xen.n_starts, 2);
}

/* ---- regions that change ---- */

static void test_place(void **state)
{
	(void)state;
	static const struct extent live[] = {{10, 5}, {30, 20}}, beyond = {99, 2};
	bench_follow(0, PERIOD);
	fake_xen_write(bench_gfn(0, 0));
	assert_fails(tracker_place(bench.tracker, bench_cookie(0), 5, false, &beyond, 1), ERANGE);
	assert_int_equal(tracker_place(bench.tracker, bench_cookie(0), 5000, false, live, 2), 0);
	bool dirty[BENCH_PAGES];
	assert_int_equal(bench_read(0, dirty), 25);
	assert_true(dirty[10] && dirty[14] && dirty[30] && dirty[49]);
	fake_loop_run_us(PERIOD);
	assert_range(5010, 5050);
	assert_int_equal(bench_read(0, dirty), 25);
	fake_xen_write(5012);
	fake_xen_write(5020);
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, 12);
	/* Nothing is left to be tracked. */
	assert_int_equal(tracker_place(bench.tracker, bench_cookie(0), 5000, false, live, 0), 0);
	xen.n_polls = 0;
	fake_loop_run_us(10 * PERIOD);
	assert_int_equal(xen.n_polls, 0);
	assert_int_equal(xen.track_pages, 0);
	bench_poll(0, 1);
	fake_loop_run_us(0);
	assert_int_equal(bench.n_polled, 1);
	bench_assert_none(0);
}

/* ---- a storm ---- */

#define STEP_US  100u
#define STORM_US (20 * 1000 * MS)

static struct extent some_pages(uint64_t *random)
{
	unsigned int first = next_random(random) % BENCH_PAGES;
	return (struct extent){first, 1 + next_random(random) % (BENCH_PAGES - first)};
}

static void disturb(uint64_t *random)
{
	unsigned int i = next_random(random) % BENCH_REGIONS;
	uint64_t subscription = 1 + next_random(random) % 8;
	struct extent pages = some_pages(random);

	switch (next_random(random) % 16) {
	case 0:
		tracker_suspend(bench.tracker);
		break;
	case 1:
		assert_int_equal(
			tracker_place(bench.tracker, bench_cookie(i), bench_gfn(i, 0), false, &pages, 1), 0);
		break;
	case 2:
		bench.n_polled = 0;
		assert_int_equal(tracker_poll(bench.tracker, bench_cookie(i), pages, 1), 0);
		fake_loop_run_us(MIN_PERIOD_US);
		assert_int_equal(bench.n_polled, 1);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		tracker_drop_reader(bench.tracker, subscription);
		break;
	default:
		tracker_drop_reader(bench.tracker, subscription);
		bench_add_reader(i, subscription, pages, MS * (1 + next_random(random) % 40), -1);
	}
}

/* However often readers change their minds, the guest's superpages are not split more often than that. */
static void test_storm(void **state)
{
	(void)state;
	uint64_t random = 37, end_us = fake_loop_now_us() + STORM_US, changed_us = 0;
	unsigned int n_starts = 0;

	for (unsigned int i = 0; i < BENCH_REGIONS; i++)
		bench_add(i);
	while (fake_loop_now_us() < end_us) {
		if (next_random(&random) % 4 == 0)
			disturb(&random);
		fake_loop_run_us(STEP_US);
		if (xen.n_starts == n_starts)
			continue;
		assert_int_equal(xen.n_starts, ++n_starts);
		/* When in the step it was is not known. */
		assert_true(fake_loop_now_us() + MIN_PERIOD_US + STEP_US >= changed_us + RANGE_CHANGE_US);
		changed_us = fake_loop_now_us();
	}
	assert_in_range(n_starts, STORM_US / RANGE_CHANGE_US * 3 / 4, STORM_US / RANGE_CHANGE_US + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parts),
		TEST(test_asked_part),
		TEST(test_new_reader_waits),
		TEST(test_suspended_followers_wait),
		TEST(test_suspended_asker_is_answered),
		TEST(test_place),
		TEST(test_storm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
