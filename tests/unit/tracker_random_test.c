/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readers keep copies of the guest's pages and refresh what the log calls dirty: some when they have asked
 * for a poll, some when they are woken, each of its own part of a region. Whatever happens in which order,
 * after that a copy must be the page.
 */
#include "tests/unit/tracker_bench.h"

#include <signal.h>
#include <string.h>

#include "proto/limits.h"

#define ROUNDS      16u
#define STEPS       1500u
#define FOLLOWERS   6u
#define MAX_POLL_US 500u

/* Regions move within a window of their own. */
#define WINDOW_GFNS 300u
#define FIRST_GFN   300u

struct region {
	bool present;
	uint64_t first_gfn;
	bool live[BENCH_PAGES];
	uint32_t content[BENCH_PAGES];
	uint32_t copy[BENCH_PAGES]; /* of whoever asks for polls */
};

/* It looks only when it was woken. */
struct follower {
	bool present;
	unsigned int region;
	struct extent pages;
	uint32_t period_us;
	int wake_fd;
	uint64_t cursor;
	uint32_t copy[BENCH_PAGES];
};

static struct region regions[BENCH_REGIONS];
static struct follower followers[FOLLOWERS];
static uint64_t random_state;

static unsigned int below(unsigned int n)
{
	return next_random(&random_state) % n;
}

static struct extent some_pages(void)
{
	unsigned int first = below(BENCH_PAGES), most = BENCH_PAGES - first;
	return (struct extent){first, 1 + below(below(2) && most > 8 ? 8 : most)};
}

/* ---- who looks ---- */

static void refresh(unsigned int i)
{
	bool dirty[BENCH_PAGES];
	bench_read(i, dirty);
	for (unsigned int page = 0; page < BENCH_PAGES; page++) {
		if (dirty[page])
			regions[i].copy[page] = regions[i].content[page];
	}
}

static void compare(unsigned int i, const uint32_t *copy, struct extent pages)
{
	for (uint64_t page = pages.first; page < extent_end(pages); page++) {
		if (regions[i].live[page] && copy[page] != regions[i].content[page])
			fail_msg("a write to page %u of region %u was lost", (unsigned int)page, i);
	}
}

static void poll_and_compare(unsigned int i)
{
	struct extent pages = some_pages();
	bench.n_polled = 0;
	assert_int_equal(tracker_poll(bench.tracker, bench_cookie(i), pages, 1), 0);
	fake_loop_run_us(MIN_PERIOD_US + 4 * bench.poll_us);
	assert_int_equal(bench.n_polled, 1);
	refresh(i);
	compare(i, regions[i].copy, pages);
}

static void look_if_woken(struct follower *follower)
{
	char bytes[64];
	uint64_t bitmap[(BENCH_PAGES + 63) / 64];
	struct region *region = &regions[follower->region];

	if (read(follower->wake_fd, bytes, sizeof(bytes)) <= 0)
		return;
	while (read(follower->wake_fd, bytes, sizeof(bytes)) > 0)
		;
	region_log_scan(&bench.logs[follower->region], follower->cursor, follower->pages.first,
		follower->pages.nr_pages, bitmap, &follower->cursor);
	for (uint64_t i = 0; i < follower->pages.nr_pages; i++) {
		if (bitmap[i / 64] >> (i % 64) & 1)
			follower->copy[follower->pages.first + i] =
				region->content[follower->pages.first + i];
	}
}

/* It was told of all, once it had the time to be polled for and woken. */
static void wait_and_compare(struct follower *follower)
{
	uint64_t period_us =
		follower->period_us > MAX_IDLE_PERIOD_US ? follower->period_us : MAX_IDLE_PERIOD_US;
	fake_loop_run_us(RANGE_CHANGE_US + 2 * (period_us + MAX_POLL_US));
	look_if_woken(follower);
	compare(follower->region, follower->copy, follower->pages);
}

/* ---- steps ---- */

static void leave(struct follower *follower)
{
	if (follower->present)
		close(follower->wake_fd);
	*follower = (struct follower){0};
}

static void change_follower(unsigned int n)
{
	static const uint32_t periods_us[] = {4 * MS, 10 * MS, 33 * MS, 400 * MS};
	struct follower *follower = &followers[n];
	unsigned int i = below(BENCH_REGIONS);
	int fds[2];

	if (follower->present && below(3) == 0) {
		tracker_drop_reader(bench.tracker, n);
		leave(follower);
		return;
	}
	/* Otherwise it is replaced, in its region. */
	if (follower->present)
		i = follower->region;
	leave(follower);
	if (!regions[i].present)
		return;
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	*follower = (struct follower){
		.present = true,
		.region = i,
		.pages = some_pages(),
		.period_us = periods_us[below(4)],
		.wake_fd = fds[0],
	};
	bench_add_reader(i, n, follower->pages, follower->period_us, fds[1]);
}

static void lose_followers(unsigned int i)
{
	for (unsigned int n = 0; n < FOLLOWERS; n++) {
		if (followers[n].region == i)
			leave(&followers[n]);
	}
}

static void add_region(unsigned int i)
{
	struct region *region = &regions[i];
	struct extent vram = {region->first_gfn, BENCH_PAGES};
	assert_int_equal(tracker_add(bench.tracker, bench_cookie(i), vram, bench.files[i]->writable_fd), 0);
	if (!region->present)
		memset(region->live, true, sizeof(region->live));
	region->present = true;
	lose_followers(i);
}

static void remove_region(unsigned int i)
{
	tracker_remove(bench.tracker, bench_cookie(i));
	regions[i].present = false;
	lose_followers(i);
}

static void write_page(unsigned int i)
{
	unsigned int page = below(BENCH_PAGES);
	if (!regions[i].live[page])
		return;
	regions[i].content[page]++;
	fake_xen_write(regions[i].first_gfn + page);
}

static void place_region(unsigned int i)
{
	struct region *region = &regions[i];
	struct extent live[MAX_REGION_EXTENTS];
	size_t n = 0;

	for (unsigned int k = below(20); k > 0; k--) /* nobody has heard of these yet */
		write_page(i);
	memset(region->live, 0, sizeof(region->live));
	for (uint64_t page = below(5); page < BENCH_PAGES && n < MAX_REGION_EXTENTS; page += 1 + below(10)) {
		uint64_t most = BENCH_PAGES - page, nr_pages = 1 + below(BENCH_PAGES);
		live[n] = (struct extent){page, nr_pages < most ? nr_pages : most};
		memset(&region->live[page], true, live[n].nr_pages);
		page = extent_end(live[n++]);
	}
	if (below(2))
		region->first_gfn = FIRST_GFN + i * WINDOW_GFNS + below(WINDOW_GFNS - BENCH_PAGES);
	if (below(2))
		tracker_suspend(bench.tracker);
	assert_int_equal(tracker_place(bench.tracker, bench_cookie(i), region->first_gfn, false, live, n), 0);
}

static void write_as_device_model(unsigned int i)
{
	struct extent pages = some_pages();
	for (uint64_t page = pages.first; page < extent_end(pages); page++)
		regions[i].content[page] += regions[i].live[page];
	assert_int_equal(tracker_mark(bench.tracker, bench_cookie(i), &pages, 1), 0);
}

static void fail_polls(void)
{
	static const int errors[] = {ENODATA, ENOMEM, EINVAL};
	xen.track_error = errors[below(3)];
	xen.track_failures = 1 + below(3);
	xen.track_error_loses_bits = below(2);
}

/* What happens rarely. */
static void disturb(unsigned int i)
{
	switch (below(10)) {
	case 0:
		if (regions[i].present && below(3) == 0)
			remove_region(i);
		break;
	case 1: /* perhaps again, as when the broker is another one */
		if (!regions[i].present || below(3) == 0)
			add_region(i);
		break;
	case 2:
		tracker_suspend(bench.tracker);
		break;
	case 3:
		fail_polls();
		break;
	case 4:
		tracker_limit(bench.tracker, 250000, below(2) * (20 + below(500)) * MS * 1000ull);
		break;
	default:
		if (regions[i].present)
			place_region(i);
	}
}

static void step(void)
{
	unsigned int i = below(BENCH_REGIONS), n = below(FOLLOWERS);

	switch (below(25)) {
	case 24:
	case 0:
	case 1:
		disturb(i);
		break;
	case 2:
	case 3:
		change_follower(n);
		break;
	case 4:
		fake_loop_run_us(below(2) ? LINGER_US / 2 : LINGER_US + MS);
		break;
	case 5:
	case 6:
		fake_loop_run_us(below(50 * MS));
		break;
	case 7:
	case 8:
		if (regions[i].present)
			poll_and_compare(i);
		break;
	case 9:
		refresh(i);
		break;
	case 10:
		if (followers[n].present)
			wait_and_compare(&followers[n]);
		break;
	case 11:
	case 12:
		if (followers[n].present)
			look_if_woken(&followers[n]);
		break;
	case 13:
		if (regions[i].present)
			write_as_device_model(i);
		break;
	default:
		write_page(i);
	}
}

static void run_steps(void)
{
	memset(regions, 0, sizeof(regions));
	memset(followers, 0, sizeof(followers));
	for (unsigned int i = 0; i < BENCH_REGIONS; i++)
		regions[i].first_gfn = FIRST_GFN + i * WINDOW_GFNS;
	for (unsigned int n = 0; n < STEPS; n++)
		step();
	for (unsigned int n = 0; n < FOLLOWERS; n++) {
		if (followers[n].present)
			wait_and_compare(&followers[n]);
		leave(&followers[n]);
	}
	for (unsigned int i = 0; i < BENCH_REGIONS; i++) {
		add_region(i);
		poll_and_compare(i);
	}
}

static void test_no_write_is_lost(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		assert_int_equal(bench_open(state), 0);
		random_state = 1 + round;
		xen.shadow = round % 2;
		bench.poll_us = round % 3 * MAX_POLL_US / 2;
		if (round % 4 >= 2)
			bench.guest.max_tracked_pages = 250;
		run_steps();
		bench_close(state);
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as the worker does */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_write_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
