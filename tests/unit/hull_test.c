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
	static const struct extent extents[] = {{100, 10}, {50, 1}, {102, 3}, {7, 0}};
	assert_extent(hull_choose(extents, 1, 10, off), 100, 10);
	assert_extent(hull_choose(extents, COUNT(extents), 60, off), 50, 60);
	assert_extent(hull_choose(extents, COUNT(extents), UINT64_MAX, off), 50, 60);
	/* One that is larger is not kept: tracking pages that nobody wants costs the guest. */
	assert_extent(hull_choose(extents, COUNT(extents), 100, (struct extent){40, 90}), 50, 60);
	assert_int_equal(hull_choose(NULL, 0, 10, (struct extent){5, 5}).nr_pages, 0);
	assert_int_equal(hull_choose(&extents[3], 1, 10, (struct extent){5, 5}).nr_pages, 0);
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
	/* More readers of fewer pages win. */
	static const struct extent popular[] = {{0, 10}, {0, 10}, {500, 19}};
	assert_extent(hull_choose(popular, 3, 20, off), 0, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hull_fits),
		cmocka_unit_test(test_one_extent_too_large),
		cmocka_unit_test(test_far_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
