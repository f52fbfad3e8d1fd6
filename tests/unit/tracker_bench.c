/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/tracker_bench.h"

#include "proto/limits.h"

struct bench bench;

static void on_polled(void *owner, uint64_t serial)
{
	assert_ptr_equal(owner, &bench);
	assert_true(bench.n_polled < BENCH_POLLS);
	bench.polled[bench.n_polled++] = serial;
}

static void on_domain_gone(void *owner)
{
	assert_ptr_equal(owner, &bench);
	bench.n_domain_gone++;
}

static void on_poll(void)
{
	fake_loop_pass_us(bench.poll_us);
}

uint64_t bench_cookie(unsigned int i)
{
	return 0xc0 + i;
}

struct extent bench_vram(unsigned int i)
{
	return (struct extent){1000 + 2 * BENCH_PAGES * i, BENCH_PAGES};
}

uint64_t bench_gfn(unsigned int i, unsigned int page)
{
	return bench_vram(i).first + page;
}

int bench_open(void **state)
{
	static const struct tracker_ops ops = {on_polled, on_domain_gone};
	struct failure failure;
	(void)state;

	fake_loop_reset();
	fake_xen_reset();
	fake_xen_populate(0, 16, 1);
	xen.on_poll = on_poll;
	bench = (struct bench){0};
	if (guest_open(&bench.guest, FAKE_DOMID, &failure) < 0)
		return -1;
	bench.guest.max_tracked_pages = MAX_REGION_PAGES;
	for (unsigned int i = 0; i < BENCH_REGIONS; i++) {
		bench.files[i] = log_file_new(bench_cookie(i), FAKE_DOMID, BENCH_PAGES, 1);
		if (!bench.files[i] || region_log_map(&bench.logs[i], bench.files[i]->readable_fd) < 0)
			return -1;
	}
	bench.tracker = tracker_new(NULL, &bench.guest, &ops, &bench);
	return bench.tracker ? 0 : -1;
}

int bench_close(void **state)
{
	(void)state;
	tracker_free(bench.tracker);
	for (unsigned int i = 0; i < BENCH_REGIONS; i++) {
		region_log_unmap(&bench.logs[i]);
		log_file_free(bench.files[i], REGION_LOG_GONE);
	}
	guest_close(&bench.guest);
	assert_int_equal(xen.n_overruns, 0);
	assert_int_equal(xen.n_handles, 0);
	assert_int_equal(xen.n_maps, 0);
	return 0;
}

void bench_add(unsigned int i)
{
	assert_int_equal(
		tracker_add(bench.tracker, bench_cookie(i), bench_vram(i), bench.files[i]->writable_fd), 0);
	bench.cursors[i] = region_log_generation(&bench.logs[i]);
}

void bench_add_reader(
	unsigned int i, uint64_t subscription, struct extent pages, uint32_t period_us, int wake_fd)
{
	assert_int_equal(
		tracker_add_reader(bench.tracker, bench_cookie(i), subscription, pages, period_us, wake_fd),
		0);
}

void bench_watch(unsigned int i, uint32_t period_us)
{
	static const struct extent all = {0, BENCH_PAGES};
	if (period_us == 0)
		tracker_drop_reader(bench.tracker, bench_cookie(i));
	else
		bench_add_reader(i, bench_cookie(i), all, period_us, -1);
}

void bench_poll(unsigned int i, uint64_t serial)
{
	static const struct extent all = {0, BENCH_PAGES};
	assert_int_equal(tracker_poll(bench.tracker, bench_cookie(i), all, serial), 0);
}

void bench_follow(unsigned int i, uint32_t period_us)
{
	bench_add(i);
	bench_watch(i, period_us);
	fake_loop_run_us(RANGE_CHANGE_US + 2 * period_us);
	for (unsigned int k = 0; k < BENCH_REGIONS; k++)
		bench.cursors[k] = region_log_generation(&bench.logs[k]);
}

unsigned int bench_read(unsigned int i, bool dirty[BENCH_PAGES])
{
	uint64_t bitmap[(BENCH_PAGES + 63) / 64];
	unsigned int n =
		region_log_scan(&bench.logs[i], bench.cursors[i], 0, BENCH_PAGES, bitmap, &bench.cursors[i]);
	for (unsigned int page = 0; page < BENCH_PAGES; page++)
		dirty[page] = bitmap[page / 64] >> (page % 64) & 1;
	return n;
}

void bench_assert_pages(unsigned int i, struct extent pages)
{
	bool dirty[BENCH_PAGES];
	assert_int_equal(bench_read(i, dirty), pages.nr_pages);
	for (uint64_t page = pages.first; page < extent_end(pages); page++)
		assert_true(dirty[page]);
}

void bench_assert_only(unsigned int i, unsigned int page)
{
	bench_assert_pages(i, (struct extent){page, 1});
}

void bench_assert_none(unsigned int i)
{
	bench_assert_pages(i, (struct extent){0, 0});
}

void bench_assert_all(unsigned int i)
{
	bench_assert_pages(i, (struct extent){0, BENCH_PAGES});
}
