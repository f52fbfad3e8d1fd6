/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "daemon/common/extent.h"
#include "proto/limits.h"

static void assert_extent(struct extent extent, uint64_t first, uint64_t nr_pages)
{
	assert_int_equal(extent.first, first);
	assert_int_equal(extent.nr_pages, nr_pages);
}

static bool has(struct extent extent, uint64_t page)
{
	return page >= extent.first && page - extent.first < extent.nr_pages;
}

static void test_hull(void **state)
{
	(void)state;
	struct extent hull = {0};
	hull = extent_hull(hull, (struct extent){100, 10});
	assert_extent(hull, 100, 10);
	hull = extent_hull(hull, (struct extent){102, 3});
	assert_extent(hull, 100, 10);
	hull = extent_hull(hull, (struct extent){50, 1});
	assert_extent(hull, 50, 60);
	hull = extent_hull(hull, (struct extent){200, 1});
	assert_extent(hull, 50, 151);
	hull = extent_hull(hull, (struct extent){0, 1000});
	assert_extent(hull, 0, 1000);
	/* Where an empty extent is means nothing, on either side. */
	assert_extent(extent_hull((struct extent){7, 0}, (struct extent){100, 10}), 100, 10);
	assert_extent(extent_hull((struct extent){100, 10}, (struct extent){7, 0}), 100, 10);
	assert_int_equal(extent_hull((struct extent){7, 0}, (struct extent){9, 0}).nr_pages, 0);
}

static void test_at_the_last_gfn(void **state)
{
	(void)state;
	struct extent last = {MAX_GFN - 1, 1};
	struct extent hull = extent_hull((struct extent){0, 1}, last);
	assert_extent(hull, 0, MAX_GFN);
	assert_int_equal(extent_end(hull), MAX_GFN);
	assert_extent(extent_overlap(hull, last), MAX_GFN - 1, 1);
	assert_true(extent_contains(hull, last));
	assert_false(extent_contains(last, hull));
}

static void check_pair(struct extent a, struct extent b)
{
	struct extent both = extent_overlap(a, b), hull = extent_hull(a, b);
	uint64_t first = UINT64_MAX, end = 0;
	bool a_has_all_of_b = true, have_one_in_common = false;

	for (uint64_t page = 0; page < 12; page++) {
		bool in_a = has(a, page), in_b = has(b, page);
		assert_int_equal(has(both, page), in_a && in_b);
		if (in_a || in_b) {
			first = page < first ? page : first;
			end = page + 1;
		}
		a_has_all_of_b &= in_a || !in_b;
		have_one_in_common |= in_a && in_b;
	}
	assert_int_equal(extents_overlap(a, b), have_one_in_common);
	if (end > 0)
		assert_extent(hull, first, end - first);
	else
		assert_int_equal(hull.nr_pages, 0);
	if (b.nr_pages > 0)
		assert_int_equal(extent_contains(a, b), a_has_all_of_b);
}

/* Every pair of small extents against sets of pages. */
static void test_all_small_pairs(void **state)
{
	(void)state;
	struct extent a, b;
	for (a.first = 0; a.first < 6; a.first++)
		for (a.nr_pages = 0; a.nr_pages < 6; a.nr_pages++)
			for (b.first = 0; b.first < 6; b.first++)
				for (b.nr_pages = 0; b.nr_pages < 6; b.nr_pages++)
					check_pair(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hull),
		cmocka_unit_test(test_at_the_last_gfn),
		cmocka_unit_test(test_all_small_pairs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
