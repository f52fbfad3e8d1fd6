/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bitmaps as runs. */
#include "tests/unit/unit.h"

#include <string.h>

#include "client/libxenvram/xenvram.h"

#define MAX_PAGES 300u
#define MAX_WORDS XENVRAM_BITMAP_WORDS(MAX_PAGES)
#define ROUNDS    2000u

static void set(uint64_t *bitmap, uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++)
		bitmap[i / 64] |= 1ull << (i % 64);
}

static bool is_set(const uint64_t *bitmap, uint64_t i)
{
	return bitmap[i / 64] >> (i % 64) & 1;
}

static void assert_run(const uint64_t *bitmap, uint64_t n, uint64_t from, uint64_t first, uint64_t nr_pages)
{
	struct xenvram_run run;
	assert_true(xenvram_bitmap_next_run(bitmap, n, from, &run));
	assert_int_equal(run.first, first);
	assert_int_equal(run.nr_pages, nr_pages);
}

static void runs_are_as_long_as_they_can_be(void **state)
{
	uint64_t bitmap[MAX_WORDS] = {0};
	struct xenvram_run run = {7, 7};
	(void)state;
	assert_false(xenvram_bitmap_next_run(bitmap, MAX_PAGES, 0, &run));
	assert_int_equal(run.first, 7);
	assert_int_equal(run.nr_pages, 7);
	set(bitmap, 3, 1);
	set(bitmap, 63, 130);
	set(bitmap, 299, 1);
	assert_run(bitmap, MAX_PAGES, 0, 3, 1);
	assert_run(bitmap, MAX_PAGES, 3, 3, 1);
	assert_run(bitmap, MAX_PAGES, 4, 63, 130);
	assert_run(bitmap, MAX_PAGES, 193, 299, 1);
	assert_false(xenvram_bitmap_next_run(bitmap, MAX_PAGES, 300, &run));
	/* From within a run, what is left of it. */
	assert_run(bitmap, MAX_PAGES, 128, 128, 65);
}

static void bits_beyond_the_pages_are_no_run(void **state)
{
	uint64_t bitmap[1] = {UINT64_MAX};
	struct xenvram_run run;
	(void)state;
	assert_run(bitmap, 64, 0, 0, 64);
	assert_run(bitmap, 5, 0, 0, 5);
	assert_false(xenvram_bitmap_next_run(bitmap, 5, 5, &run));
	assert_false(xenvram_bitmap_next_run(bitmap, 0, 0, &run));
	bitmap[0] = 1ull << 5;
	assert_false(xenvram_bitmap_next_run(bitmap, 5, 0, &run));
}

static void fill_at_random(uint64_t *bitmap, uint64_t n, uint64_t *random)
{
	memset(bitmap, 0, MAX_WORDS * sizeof(*bitmap));
	for (uint64_t runs = next_random(random) % 8; runs > 0; runs--) {
		uint64_t first = next_random(random) % n;
		set(bitmap, first, next_random(random) % (n - first + 1));
	}
	/* Clean and dirty bits beyond the pages alike. */
	for (uint64_t i = n; i < MAX_PAGES; i++)
		bitmap[i / 64] |= (next_random(random) & 1) << (i % 64);
}

static void runs_make_up_the_bitmap(void **state)
{
	uint64_t bitmap[MAX_WORDS];
	uint64_t random = 1;
	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		uint64_t n = 1 + next_random(&random) % MAX_PAGES;
		fill_at_random(bitmap, n, &random);
		uint64_t from = next_random(&random) % n;
		struct xenvram_run run = {.first = from};
		uint64_t i = from;
		while (xenvram_bitmap_next_run(bitmap, n, run.first + run.nr_pages, &run)) {
			assert_true(run.nr_pages > 0);
			for (; i < run.first; i++)
				assert_false(is_set(bitmap, i));
			for (; i < run.first + run.nr_pages; i++)
				assert_true(is_set(bitmap, i));
			assert_true(i == n || (i < n && !is_set(bitmap, i)));
		}
		for (; i < n; i++)
			assert_false(is_set(bitmap, i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_are_as_long_as_they_can_be),
		cmocka_unit_test(bits_beyond_the_pages_are_no_run),
		cmocka_unit_test(runs_make_up_the_bitmap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
