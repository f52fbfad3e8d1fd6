/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "daemon/worker/hull.h"
#include "proto/limits.h"

static void assert_extent(struct extent extent, uint64_t first, uint64_t nr_pages)
{
	assert_int_equal(extent.first, first);
	assert_int_equal(extent.nr_pages, nr_pages);
}

static bool contains(struct extent extent, uint64_t gfn)
{
	return gfn >= extent.first && gfn - extent.first < extent.nr_pages;
}

static void test_add(void **state)
{
	(void)state;
	struct extent hull = {0};
	hull = hull_add(hull, (struct extent){100, 10});
	assert_extent(hull, 100, 10);
	hull = hull_add(hull, (struct extent){102, 3});
	assert_extent(hull, 100, 10);
	hull = hull_add(hull, (struct extent){50, 1});
	assert_extent(hull, 50, 60);
	hull = hull_add(hull, (struct extent){200, 1});
	assert_extent(hull, 50, 151);
	hull = hull_add(hull, (struct extent){0, 1000});
	assert_extent(hull, 0, 1000);
	/* The gfn that an empty hull carries means nothing. */
	assert_extent(hull_add((struct extent){7, 0}, (struct extent){100, 10}), 100, 10);
}

static void test_cut(void **state)
{
	(void)state;
	assert_extent(hull_cut((struct extent){100, 10}, 10), 100, 10);
	assert_extent(hull_cut((struct extent){100, 10}, 9), 100, 9);
	assert_extent(hull_cut((struct extent){100, 10}, UINT64_MAX), 100, 10);
	assert_extent(hull_cut((struct extent){0}, 10), 0, 0);
}

static void test_at_the_last_gfn(void **state)
{
	(void)state;
	struct extent last = {MAX_GFN - 1, 1};
	struct extent hull = hull_add((struct extent){0, 1}, last);
	assert_extent(hull, 0, MAX_GFN);
	assert_extent(hull_overlap(hull, last), MAX_GFN - 1, 1);
	assert_extent(hull_cut(hull, MAX_REGION_PAGES), 0, MAX_REGION_PAGES);
}

/* Every pair of small extents against sets of gfns. */
static void test_all_small_pairs(void **state)
{
	(void)state;
	struct extent a, b;
	for (a.first = 0; a.first < 6; a.first++)
		for (a.nr_pages = 0; a.nr_pages < 5; a.nr_pages++)
			for (b.first = 0; b.first < 6; b.first++)
				for (b.nr_pages = 0; b.nr_pages < 5; b.nr_pages++) {
					struct extent both = hull_overlap(a, b);
					struct extent hull = hull_add(a, b);
					for (uint64_t gfn = 0; gfn < 12; gfn++) {
						bool in_a = contains(a, gfn), in_b = contains(b, gfn);
						assert_int_equal(contains(both, gfn), in_a && in_b);
						if (b.nr_pages > 0 && (in_a || in_b))
							assert_true(contains(hull, gfn));
					}
				}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_at_the_last_gfn),
		cmocka_unit_test(test_all_small_pairs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
