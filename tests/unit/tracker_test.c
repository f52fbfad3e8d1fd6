/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tracker tells readers: regions, the hull, errors. */
#include "tests/unit/tracker_bench.h"

#include <signal.h>

#include "proto/limits.h"

#define PERIOD (10 * MS)

static const struct region_log_header *header(unsigned int i)
{
	return bench.logs[i].header;
}

/* ---- regions ---- */

static void test_add(void **state)
{
	(void)state;
	bench.cursors[0] = region_log_generation(&bench.logs[0]);
	assert_int_equal(
		tracker_add(bench.tracker, bench_cookie(0), bench_vram(0), bench.files[0]->writable_fd), 0);
	bench_assert_all(0);
	assert_int_equal(header(0)->state, REGION_LOG_IDLE);
	assert_int_equal(header(0)->dirty_forced, BENCH_PAGES);
	/* Again: it stays as it is, whatever comes with it. */
	assert_int_equal(tracker_add(bench.tracker, bench_cookie(0), bench_vram(1), -1), 0);
	bench_assert_none(0);
	/* Nobody watches: no call, no timer. */
	fake_loop_run_us(60000 * MS);
	assert_int_equal(xen.n_polls, 0);
	assert_false(fake_loop_has_timer());
}

/* Whoever adds it again does not know its readers: they are gone, and what they followed lingers. */
static void test_add_again(void **state)
{
	(void)state;
	int fds[2];
	char byte;
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	bench_follow(0, PERIOD);
	bench_add_reader(0, 5, (struct extent){3, 4}, PERIOD, fds[1]);
	fake_loop_run_us(0);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	uint64_t generation = region_log_generation(&bench.logs[0]);
	assert_int_equal(tracker_add(bench.tracker, bench_cookie(0), bench_vram(0), -1), 0);
	assert_int_equal(read(fds[0], &byte, 1), 0);
	xen.n_polls = 0;
	fake_loop_run_us(10 * PERIOD);
	assert_int_equal(xen.n_polls, 0);
	assert_int_equal(xen.n_stops, 0);
	assert_int_equal(header(0)->state, REGION_LOG_IDLE);
	assert_int_equal(region_log_generation(&bench.logs[0]), generation);
	fake_xen_write(bench_gfn(0, 7));
	bench_watch(0, PERIOD);
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, 7);
	close(fds[0]);
}

static void test_mark(void **state)
{
	(void)state;
	static const struct extent page = {7, 1}, beyond = {BENCH_PAGES, 1};
	assert_fails(tracker_mark(bench.tracker, bench_cookie(0), &page, 1), ENOENT);
	/* Also while nobody watches, and without a call to the hypervisor. */
	bench_add(0);
	assert_int_equal(tracker_mark(bench.tracker, bench_cookie(0), &page, 1), 0);
	bench_assert_only(0, 7);
	assert_fails(tracker_mark(bench.tracker, bench_cookie(0), &beyond, 1), ERANGE);
	bench_assert_none(0);
	assert_int_equal(tracker_mark(bench.tracker, bench_cookie(0), NULL, 0), 0);
	bench_assert_all(0);
	assert_int_equal(xen.n_polls, 0);
	assert_int_equal(header(0)->polls, 0);

	bench_follow(1, PERIOD);
	assert_int_equal(tracker_mark(bench.tracker, bench_cookie(1), &page, 1), 0);
	fake_xen_write(bench_gfn(1, 8));
	bench_assert_only(1, 7);
	fake_loop_run_us(PERIOD);
	bench_assert_only(1, 8);
}

static void test_add_needs_the_log(void **state)
{
	(void)state;
	assert_fails(tracker_add(bench.tracker, 1, bench_vram(0), -1), EBADF);
	assert_fails(
		tracker_add(bench.tracker, 1, (struct extent){5, 7}, bench.files[0]->writable_fd), EPROTO);
	assert_fails(tracker_add_reader(bench.tracker, 1, 1, (struct extent){0, 1}, PERIOD, -1), ENOENT);
}

static void test_unknown_region(void **state)
{
	(void)state;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	static const struct extent page = {0, 1};
	assert_fails(tracker_poll(bench.tracker, 99, page, 1), ENOENT);
	assert_fails(tracker_place(bench.tracker, 99, 0, false, &page, 1), ENOENT);
	assert_fails(tracker_add_reader(bench.tracker, 99, 1, page, PERIOD, fd), ENOENT);
	assert_false(fd_is_open(fd));
	tracker_remove(bench.tracker, 99);
	tracker_drop_reader(bench.tracker, 99);
	fake_loop_run_us(1000 * MS);
	assert_int_equal(bench.n_polled, 0);
}

/* ---- following ---- */

static void test_follow(bool shadow)
{
	xen.shadow = shadow;
	bench_add(0);
	bench_watch(0, PERIOD);
	fake_loop_run_us(0);
	assert_int_equal(xen.n_polls, 1);
	bench_assert_all(0);
	assert_int_equal(header(0)->state, REGION_LOG_TRACKED);
	assert_int_equal(header(0)->period_ns, PERIOD * 1000ull);
	assert_int_equal(xen.track_first, bench_gfn(0, 0));
	assert_int_equal(xen.track_pages, BENCH_PAGES);

	fake_xen_write(bench_gfn(0, 42));
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, 42);
	fake_loop_run_us(PERIOD);
	bench_assert_none(0);
	assert_int_equal(header(0)->dirty_guest, 1);
	fake_xen_write(bench_gfn(0, 0));
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, 0);
	fake_xen_write(bench_gfn(0, BENCH_PAGES - 1));
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, BENCH_PAGES - 1);
}

static void test_follow_hap(void **state)
{
	(void)state;
	test_follow(false);
}

static void test_follow_shadow(void **state)
{
	(void)state;
	test_follow(true);
}

static void test_period(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	xen.n_polls = 0;
	fake_loop_run_us(500 * MS);
	assert_in_range(xen.n_polls, 49, 51);
	bench_watch(0, 50 * MS);
	xen.n_polls = 0;
	fake_loop_run_us(500 * MS);
	assert_in_range(xen.n_polls, 9, 11);
	/* The shortest counts, and one call serves all. */
	bench_follow(1, 5 * MS);
	xen.n_polls = 0;
	fake_loop_run_us(500 * MS);
	assert_in_range(xen.n_polls, 99, 101);
}

/* Asking often for the same period does not make polls come more often. */
static void test_watching_again_is_not_polling(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	xen.n_polls = 0;
	for (unsigned int i = 0; i < 100; i++) {
		bench_watch(0, PERIOD);
		fake_loop_run_us(MS / 10);
	}
	assert_in_range(xen.n_polls, 0, 1);
}

/* ---- the hull ---- */

static void test_hull_grows_and_shrinks(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	fake_xen_write(bench_gfn(0, 3));
	bench_add(2);
	bench_watch(2, PERIOD);
	fake_loop_run_us(PERIOD);
	assert_int_equal(xen.track_first, bench_gfn(0, 0));
	assert_int_equal(xen.track_pages, 5 * BENCH_PAGES);
	/* The bit that was there is lost with the change of range, so all is dirty. */
	bench_assert_all(0);
	bench_assert_all(2);

	fake_xen_write(bench_gfn(0, 3));
	fake_xen_write(bench_gfn(2, 99));
	fake_xen_write(bench_gfn(1, 50)); /* in the hull, in no region */
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, 3);
	bench_assert_only(2, 99);

	/* It shrinks only when the last change is long enough ago; until then bits are exact as before. */
	fake_xen_write(bench_gfn(2, 7));
	tracker_remove(bench.tracker, bench_cookie(0));
	fake_loop_run_us(PERIOD);
	assert_int_equal(xen.track_pages, 5 * BENCH_PAGES);
	bench_assert_only(2, 7);
	fake_xen_write(bench_gfn(2, 8));
	fake_loop_run_us(RANGE_CHANGE_US);
	assert_int_equal(xen.track_first, bench_gfn(2, 0));
	assert_int_equal(xen.track_pages, BENCH_PAGES);
	bench_assert_all(2);
}

static void test_hull_grows_downwards(void **state)
{
	(void)state;
	bench_follow(2, PERIOD);
	bench_follow(0, PERIOD);
	fake_xen_write(bench_gfn(2, 1));
	fake_loop_run_us(PERIOD);
	bench_assert_only(2, 1);
	bench_assert_none(0);
}

/* Region 1 lies within the hull of 0 and 2: while nobody watches it, its bits are read and lost. */
static void test_bits_thrown_away(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	bench_follow(2, PERIOD);
	bench_add(1);
	fake_loop_run_us(PERIOD);
	fake_xen_write(bench_gfn(1, 5));
	fake_loop_run_us(3 * PERIOD);
	bench_assert_none(1);

	bench_watch(1, PERIOD);
	fake_loop_run_us(PERIOD);
	assert_int_equal(xen.track_pages, 5 * BENCH_PAGES); /* no change of range gave it away */
	bench_assert_all(1);
	bench_assert_none(0);
	fake_xen_write(bench_gfn(1, 6));
	fake_loop_run_us(PERIOD);
	bench_assert_only(1, 6);

	/* And once more, after it was followed, left, and lost. */
	bench_watch(1, 0);
	fake_loop_run_us(LINGER_US + 1);
	fake_xen_write(bench_gfn(1, 8));
	fake_loop_run_us(PERIOD);
	bench_watch(1, PERIOD);
	fake_loop_run_us(PERIOD);
	bench_assert_all(1);
}

/* Region i has n pages outside of the hull: they are dirty always, and no others but this one. */
static void assert_outside(unsigned int i, unsigned int n, uint64_t written)
{
	bool dirty[BENCH_PAGES];
	bench_read(i, dirty);
	for (unsigned int page = 0; page < BENCH_PAGES; page++) {
		uint64_t gfn = bench_gfn(i, page);
		bool outside = gfn < xen.track_first || gfn >= xen.track_first + xen.track_pages;
		assert_int_equal(dirty[page], outside || gfn == written);
		n -= outside;
	}
	assert_int_equal(n, 0);
}

static void test_hull_larger_than_the_kernel_allows(void **state)
{
	(void)state;
	bench.guest.max_tracked_pages = 230; /* one region, and 30 pages of another */
	bench_follow(0, PERIOD);
	bench_follow(1, PERIOD);
	uint64_t first = xen.track_first;
	bench_follow(2, PERIOD);
	/* The third would be no better off. */
	assert_int_equal(xen.track_first, first);
	assert_int_equal(xen.track_pages, 230);
	unsigned int whole = first <= bench_gfn(0, 0) ? 0 : 1, part = 1 - whole;
	uint64_t written = bench_gfn(whole, 29);
	fake_xen_write(written);
	fake_loop_run_us(PERIOD);
	assert_outside(whole, 0, written);
	assert_outside(part, 70, written);
	assert_outside(2, BENCH_PAGES, written);
	assert_int_equal(header(whole)->state, REGION_LOG_TRACKED);
	assert_int_equal(header(part)->state, REGION_LOG_PARTIAL);
	assert_int_equal(header(part)->untracked_pages, 70);
	assert_int_equal(header(2)->untracked_pages, BENCH_PAGES);
	/* Of the part that is inside bits are exact. */
	written = bench_gfn(part, part == 0 ? 85 : 15);
	fake_xen_write(written);
	fake_loop_run_us(PERIOD);
	assert_outside(whole, 0, written);
	assert_outside(part, 70, written);
}

/* ---- errors ---- */

static void lose_bits(int error)
{
	bench_follow(0, PERIOD);
	xen.track_error = error;
	xen.track_failures = 3;
	xen.track_error_loses_bits = true;
	for (unsigned int i = 0; i < 3; i++) {
		fake_xen_write(bench_gfn(0, i));
		fake_loop_run_us(PERIOD);
		bench_assert_all(0);
		/* Who looks at the log sees that all of it is dirty only because nothing is known. */
		assert_int_equal(
			header(0)->state, error == ENODATA ? REGION_LOG_TRACKED : REGION_LOG_PARTIAL);
		assert_int_equal(header(0)->untracked_pages, error == ENODATA ? 0 : BENCH_PAGES);
	}
	if (error != ENODATA) {
		/* The first answer after an error may be short of what was lost with it. */
		fake_loop_run_us(PERIOD);
		bench_assert_all(0);
	}
	assert_int_equal(header(0)->state, REGION_LOG_TRACKED);
	assert_int_equal(header(0)->untracked_pages, 0);
	fake_xen_write(bench_gfn(0, 9));
	fake_loop_run_us(PERIOD);
	bench_assert_only(0, 9);
	assert_int_equal(bench.n_domain_gone, 0);
}

static void test_enodata(void **state)
{
	(void)state;
	lose_bits(ENODATA);
}

static void test_enomem(void **state)
{
	(void)state;
	lose_bits(ENOMEM);
}

static void test_einval(void **state)
{
	(void)state;
	lose_bits(EINVAL);
}

static void test_domain_gone(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	bench_poll(0, 1);
	xen.domain_error = ESRCH;
	fake_loop_run_us(PERIOD);
	assert_int_equal(bench.n_domain_gone, 1);
	assert_int_equal(bench.n_polled, 0);
	/* The worker ends now; until then nothing more is asked. */
	fake_loop_run_us(10 * PERIOD);
	assert_int_equal(bench.n_domain_gone, 1);
	tracker_remove_all(bench.tracker);
	assert_int_equal(header(0)->state, REGION_LOG_GONE);
}

static void test_stopping_fails(void **state)
{
	(void)state;
	bench_follow(0, PERIOD);
	xen.domain_error = EINVAL;
	tracker_suspend(bench.tracker);
	xen.domain_error = 0;
	fake_xen_write(bench_gfn(0, 1));
	fake_loop_run_us(PERIOD);
	bench_assert_all(0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(test_add),
		TEST(test_add_again),
		TEST(test_mark),
		TEST(test_add_needs_the_log),
		TEST(test_unknown_region),
		TEST(test_follow_hap),
		TEST(test_follow_shadow),
		TEST(test_period),
		TEST(test_watching_again_is_not_polling),
		TEST(test_hull_grows_and_shrinks),
		TEST(test_hull_grows_downwards),
		TEST(test_bits_thrown_away),
		TEST(test_hull_larger_than_the_kernel_allows),
		TEST(test_enodata),
		TEST(test_enomem),
		TEST(test_einval),
		TEST(test_domain_gone),
		TEST(test_stopping_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
