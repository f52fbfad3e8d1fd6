/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "daemon/worker/hull.h"
#include "proto/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct extent off = {0};

static void assert_extent(struct extent extent, uint64_t first, uint64_t nr_pages)
{
	assert_int_equal(extent.first, first);
	assert_int_equal(extent.nr_pages, nr_pages);
}

static void test_hull_fits(void **state)
{
	(void)state;
	static const struct extent extents[] = {{100, 10}, {50, 1}, {102, 3}};
	assert_extent(hull_choose(extents, 1, 10, off), 100, 10);
	assert_extent(hull_choose(extents, COUNT(extents), 60, off), 50, 60);
	assert_extent(hull_choose(extents, COUNT(extents), UINT64_MAX, off), 50, 60);
	/* One that is larger is not kept: tracking pages that nobody wants costs the guest. */
	assert_extent(hull_choose(extents, COUNT(extents), 100, (struct extent){40, 90}), 50, 60);
	assert_int_equal(hull_choose(NULL, 0, 10, (struct extent){5, 5}).nr_pages, 0);
}

static void test_one_extent_too_large(void **state)
{
	(void)state;
	static const struct extent extent = {100, 10};
	assert_extent(hull_choose(&extent, 1, 9, off), 100, 9);
	/* Any nine of them are as good. */
	assert_extent(hull_choose(&extent, 1, 9, (struct extent){101, 9}), 101, 9);
	assert_extent(hull_choose(&extent, 1, 9, (struct extent){102, 9}), 100, 9);
	/* The hypervisor's maximum may have become less. */
	assert_extent(hull_choose(&extent, 1, 9, extent), 100, 9);
}

static void test_far_apart(void **state)
{
	(void)state;
	static const struct extent extents[] = {{0, 10}, {1000, 30}, {1040, 5}, {MAX_GFN - 20, 20}};
	assert_extent(hull_choose(extents, 4, 45, off), 1000, 45);
	assert_extent(hull_choose(extents, 4, MAX_GFN, off), 0, MAX_GFN);
	assert_int_equal(hull_choose(extents, 4, 20, off).nr_pages, 20);
	/* More readers of fewer pages win, and nothing is tracked that nobody wants. */
	static const struct extent popular[] = {{0, 10}, {0, 10}, {500, 19}};
	assert_extent(hull_choose(popular, 3, 20, off), 0, 10);
}

/* ---- against brute force ---- */

#define SPACE     6u
#define N_EXTENTS (SPACE * (SPACE + 1) / 2)

static uint64_t covered(const struct extent *extents, size_t n, struct extent range)
{
	uint64_t pages = 0;
	for (size_t i = 0; i < n; i++) {
		for (uint64_t page = extents[i].first; page < extent_end(extents[i]); page++)
			pages += page >= range.first && page < extent_end(range);
	}
	return pages;
}

/* The most that a range of so many pages can cover. */
static uint64_t best_cover(const struct extent *extents, size_t n, uint64_t max_pages, uint64_t space)
{
	uint64_t best = 0;
	for (uint64_t first = 0; first < space; first++) {
		uint64_t pages = covered(extents, n, (struct extent){first, max_pages});
		best = pages > best ? pages : best;
	}
	return best;
}

static struct extent hull_of(const struct extent *extents, size_t n)
{
	uint64_t first = UINT64_MAX, end = 0;
	for (size_t i = 0; i < n; i++) {
		first = extents[i].first < first ? extents[i].first : first;
		end = extent_end(extents[i]) > end ? extent_end(extents[i]) : end;
	}
	return (struct extent){first, end - first};
}

static void check_choice(
	const struct extent *extents, size_t n, uint64_t max_pages, struct extent current, uint64_t best)
{
	struct extent hull = hull_of(extents, n);
	struct extent chosen = hull_choose(extents, n, max_pages, current);

	if (hull.nr_pages <= max_pages) {
		assert_extent(chosen, hull.first, hull.nr_pages);
		return;
	}
	assert_in_range(chosen.nr_pages, 1, max_pages);
	assert_int_equal(covered(extents, n, chosen), best);
	if (current.nr_pages <= max_pages && covered(extents, n, current) == best)
		assert_extent(chosen, current.first, current.nr_pages);
	else
		assert_true(covered(extents, n, (struct extent){chosen.first, 1}) > 0 &&
			    covered(extents, n, (struct extent){extent_end(chosen) - 1, 1}) > 0);
}

static size_t list_extents(struct extent all[N_EXTENTS])
{
	size_t n = 0;
	for (uint64_t first = 0; first < SPACE; first++) {
		for (uint64_t end = first + 1; end <= SPACE; end++)
			all[n++] = (struct extent){first, end - first};
	}
	return n;
}

/* Every maximum, and every range before; `all` has each of them once. */
static void check_extents(const struct extent *extents, size_t n, const struct extent all[N_EXTENTS])
{
	for (uint64_t max_pages = 1; max_pages <= SPACE; max_pages++) {
		uint64_t best = best_cover(extents, n, max_pages, SPACE);
		check_choice(extents, n, max_pages, off, best);
		for (size_t i = 0; i < N_EXTENTS; i++)
			check_choice(extents, n, max_pages, all[i], best);
	}
}

/* Up to three extents of a small space. */
static void test_all_small_cases(void **state)
{
	(void)state;
	struct extent all[N_EXTENTS], extents[3];

	assert_int_equal(list_extents(all), N_EXTENTS);
	for (size_t i = 0; i < N_EXTENTS; i++) {
		extents[0] = all[i];
		check_extents(extents, 1, all);
		for (size_t k = 0; k < N_EXTENTS; k++) {
			extents[1] = all[k];
			check_extents(extents, 2, all);
			for (size_t l = 0; l < N_EXTENTS; l++) {
				extents[2] = all[l];
				check_extents(extents, 3, all);
			}
		}
	}
}

static void test_random_cases(void **state)
{
	(void)state;
	struct extent extents[8];
	uint64_t random = 17;

	for (unsigned int round = 0; round < 5000; round++) {
		size_t n = 1 + next_random(&random) % COUNT(extents);
		uint64_t max_pages = 1 + next_random(&random) % 100;
		struct extent current = {next_random(&random) % 200, next_random(&random) % 120};
		for (size_t i = 0; i < n; i++)
			extents[i] = (struct extent){
				next_random(&random) % 200, 1 + next_random(&random) % (4u << (round % 5))};
		uint64_t best = best_cover(extents, n, max_pages, 265);
		check_choice(extents, n, max_pages, current, best);
		/* What was chosen stays. */
		current = hull_choose(extents, n, max_pages, current);
		check_choice(extents, n, max_pages, current, best);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hull_fits),
		cmocka_unit_test(test_one_extent_too_large),
		cmocka_unit_test(test_far_apart),
		cmocka_unit_test(test_all_small_cases),
		cmocka_unit_test(test_random_cases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
