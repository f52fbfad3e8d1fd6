/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readers keep copies of the guest's pages and refresh what the log calls dirty. Whatever happens in which
 * order, after an answered poll a copy must be the page.
 */
#include "tests/unit/tracker_bench.h"

#include "proto/limits.h"

#define ROUNDS 16u
#define STEPS  1500u

static uint32_t content[BENCH_REGIONS][BENCH_PAGES];
static uint32_t copy[BENCH_REGIONS][BENCH_PAGES];
static bool present[BENCH_REGIONS];
static uint64_t random_state;

static unsigned int below(unsigned int n)
{
	return next_random(&random_state) % n;
}

static void refresh(unsigned int i)
{
	bool dirty[BENCH_PAGES];
	bench_read(i, dirty);
	for (unsigned int page = 0; page < BENCH_PAGES; page++) {
		if (dirty[page])
			copy[i][page] = content[i][page];
	}
}

static void poll_and_compare(unsigned int i)
{
	bench.n_polled = 0;
	bench_poll(i, 1);
	fake_loop_run_us(MIN_PERIOD_US);
	assert_int_equal(bench.n_polled, 1);
	refresh(i);
	for (unsigned int page = 0; page < BENCH_PAGES; page++) {
		if (copy[i][page] != content[i][page])
			fail_msg("a write to page %u of region %u was lost", page, i);
	}
}

static void change_presence(unsigned int i)
{
	if (present[i]) {
		tracker_remove(bench.tracker, bench_cookie(i));
	} else {
		assert_int_equal(tracker_add(bench.tracker, bench_cookie(i), bench_vram(i),
					 bench.files[i]->writable_fd),
			0);
		refresh(i);
	}
	present[i] = !present[i];
}

static void write_page(unsigned int i)
{
	unsigned int page = below(BENCH_PAGES);
	content[i][page]++;
	fake_xen_write(bench_gfn(i, page));
}

static void fail_polls(void)
{
	static const int errors[] = {ENODATA, ENOMEM, EINVAL};
	xen.track_error = errors[below(3)];
	xen.track_failures = 1 + below(3);
	xen.track_error_loses_bits = below(2);
}

static void step(void)
{
	static const uint32_t periods_us[] = {0, 0, 5 * MS, 100 * MS};
	unsigned int i = below(BENCH_REGIONS);

	switch (below(20)) {
	case 0:
		if (below(4) == 0)
			change_presence(i);
		break;
	case 1:
	case 2:
	case 3:
		if (present[i])
			bench_watch(i, periods_us[below(4)]);
		break;
	case 4:
		if (below(4) == 0)
			tracker_suspend(bench.tracker);
		break;
	case 5:
		fake_loop_run_us(below(4) ? LINGER_US + MS : LINGER_US / 2);
		break;
	case 6:
		if (below(4) == 0)
			fail_polls();
		break;
	case 7:
	case 8:
		fake_loop_run_us(below(50 * MS));
		break;
	case 9:
	case 10:
		if (present[i])
			poll_and_compare(i);
		break;
	case 11:
		refresh(i);
		break;
	default:
		write_page(i);
	}
}

static void test_no_write_is_lost(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < BENCH_REGIONS; i++)
		present[i] = false;
	for (unsigned int n = 0; n < STEPS; n++)
		step();
	for (unsigned int i = 0; i < BENCH_REGIONS; i++) {
		if (!present[i])
			change_presence(i);
		poll_and_compare(i);
	}
}

static void test_rounds(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		assert_int_equal(bench_open(state), 0);
		random_state = 1 + round;
		xen.shadow = round % 2;
		if (round % 4 >= 2)
			bench.guest.max_tracked_pages = 250;
		test_no_write_is_lost(state);
		bench_close(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
