/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/broker/region_table.h"

#define SLOTS 20u

static struct region_table table;

static int open_table(void **state)
{
	(void)state;
	return region_table_init(&table, SLOTS);
}

static int close_table(void **state)
{
	(void)state;
	region_table_deinit(&table);
	return 0;
}

/* Far from every other one. */
static struct region_record apart(uint64_t cookie, uint32_t domid)
{
	return (struct region_record){.cookie = cookie,
		.domid = domid,
		.vram_gfn = 0x100000 + cookie * 0x100,
		.backing_gfn = 0x1000 + cookie * 0x100,
		.nr_pages = 16,
		.live = extents_whole(16)};
}

static struct region *add(uint64_t cookie, uint32_t domid)
{
	struct region_record record = apart(cookie, domid);
	return region_table_add(&table, &record, SLOTS);
}

static bool is_in(uint64_t gfn, uint64_t first, uint64_t nr_pages)
{
	return gfn >= first && gfn < first + nr_pages;
}

static bool uses(const struct region_record *record, uint64_t gfn)
{
	return is_in(gfn, record->vram_gfn, record->nr_pages) ||
	       is_in(gfn, record->backing_gfn, record->nr_pages);
}

static bool share_a_gfn(const struct region_record *a, const struct region_record *b)
{
	for (uint64_t gfn = 0; gfn < 20; gfn++) {
		if (uses(a, gfn) && uses(b, gfn))
			return true;
	}
	return false;
}

static void check_against_naive(const struct region_record *record, const struct region *other)
{
	struct failure failure = {.text = ""};
	struct region_record whole = *record;
	whole.live = extents_whole(record->nr_pages);
	int admitted = region_table_admit(&table, &whole, &failure);
	if (share_a_gfn(record, &other->record)) {
		assert_int_equal(admitted, -1);
		assert_int_equal(failure.status, XENVRAM__V1__STATUS__CONFLICT);
		assert_int_equal(failure.os_error, EEXIST);
		assert_non_null(strstr(failure.text, "region 0xabc"));
	} else {
		assert_int_equal(admitted, 0);
	}
}

/* Vram and backing, before, behind, inside and around vram and backing, and each just not. */
static void test_every_overlap(void **state)
{
	(void)state;
	struct region_record there = {.cookie = 0xabc,
		.domid = 7,
		.vram_gfn = 12,
		.backing_gfn = 5,
		.nr_pages = 3,
		.live = extents_whole(3)};
	struct region *other = region_table_add(&table, &there, SLOTS);
	struct region_record record = {.cookie = 1, .domid = 7};

	for (record.nr_pages = 1; record.nr_pages <= 5; record.nr_pages++)
		for (record.vram_gfn = 0; record.vram_gfn < 16; record.vram_gfn++)
			for (record.backing_gfn = 0; record.backing_gfn < 16; record.backing_gfn++)
				check_against_naive(&record, other);
}

static void test_overlap_names_both(void **state)
{
	(void)state;
	struct failure failure;
	add(0x11, 7);
	struct region_record record = apart(0x22, 7);
	record.backing_gfn = apart(0x11, 7).vram_gfn + 15;
	assert_int_equal(region_table_admit(&table, &record, &failure), -1);
	assert_non_null(strstr(failure.text, "backing 0x10110f"));
	assert_non_null(strstr(failure.text, "vram 0x101100"));
	assert_non_null(strstr(failure.text, "region 0x11"));
	record.backing_gfn++;
	assert_int_equal(region_table_admit(&table, &record, &failure), 0);
}

static void test_other_domains_have_gfns_of_their_own(void **state)
{
	(void)state;
	struct failure failure;
	struct region_record record = apart(1, 7);
	region_table_add(&table, &record, SLOTS);
	record.cookie = 2;
	record.domid = 8;
	assert_int_equal(region_table_admit(&table, &record, &failure), 0);
	record.domid = 7;
	assert_int_equal(region_table_admit(&table, &record, &failure), -1);
}

static void test_usage(void **state)
{
	(void)state;
	struct region *last = NULL;
	for (unsigned int i = 1; i <= 3; i++)
		last = add(i, 7);
	assert_non_null(last);
	assert_non_null(add(9, 8));
	uint64_t nr_pages = last->record.nr_pages;
	assert_int_equal(region_table_count(&table, 7), 3);
	assert_int_equal(region_table_pages(&table, 7), 3 * nr_pages);
	region_table_remove(&table, last);
	assert_int_equal(region_table_count(&table, 7), 2);
	assert_int_equal(region_table_pages(&table, 7), 2 * nr_pages);
	assert_int_equal(region_table_count(&table, 9), 0);
	assert_int_equal(region_table_pages(&table, 9), 0);
}

static void test_full(void **state)
{
	(void)state;
	struct region_record record = apart(101, 3);
	for (unsigned int i = 1; i <= SLOTS; i++)
		assert_non_null(add(i, i / 10));
	assert_null_with(region_table_add(&table, &record, SLOTS), ENOSPC);
	assert_null(region_table_find(&table, 101));
	assert_int_equal(table.n_regions, SLOTS);
}

static void test_slots(void **state)
{
	(void)state;
	struct region_record record = apart(50, 7);
	struct region *first = add(1, 7);
	struct region *second = add(2, 7);
	assert_int_equal(first->slot, 0);
	assert_int_equal(second->slot, 1);

	/* As read from the journal: into the slot where it was found. */
	struct region *found = region_table_add(&table, &record, 17);
	assert_int_equal(found->slot, 17);
	record.cookie = 51;
	assert_null_with(region_table_add(&table, &record, 17), EEXIST);
	assert_null_with(region_table_add(&table, &record, SLOTS + 1), EEXIST);
	assert_null_with(region_table_add(&table, &record, UINT32_MAX - 1), EEXIST);

	/* A tracked range needs none, and is none of the regions. */
	record.tracked_only = true;
	struct region *range = region_table_add(&table, &record, REGION_NO_SLOT);
	assert_int_equal(table.n_regions, 3);
	assert_int_equal(region_table_count(&table, 7), 3);
	assert_int_equal(region_table_count_ranges(&table, 7), 1);
	region_table_remove(&table, range);
	assert_int_equal(region_table_count_ranges(&table, 7), 0);
	assert_int_equal(table.n_regions, 3);

	region_table_remove(&table, first);
	assert_int_equal(add(3, 7)->slot, 0);
	assert_int_equal(add(4, 7)->slot, 2);
}

static void test_cookies_are_unique(void **state)
{
	(void)state;
	assert_non_null(add(1, 7));
	struct region_record record = apart(1, 8);
	assert_null_with(region_table_add(&table, &record, SLOTS), EEXIST);
	assert_int_equal(table.n_regions, 1);
}

static void test_order_is_by_cookie(void **state)
{
	(void)state;
	static const uint64_t cookies[] = {5, 1, 9, 0xffffffffffffffff, 2, 7};
	const struct region *region;
	uint64_t before = 0;
	unsigned int n = 0;

	for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
		struct region_record record = apart(cookies[i] % 64, 7);
		record.cookie = cookies[i];
		assert_non_null(region_table_add(&table, &record, SLOTS));
	}
	LIST_FOREACH(region, &table.regions, link) {
		assert_true(region->record.cookie > before);
		before = region->record.cookie;
		n++;
	}
	assert_int_equal(n, 6);
	assert_int_equal(table.n_regions, 6);
	region_table_remove(&table, region_table_find(&table, 5));
	assert_null(region_table_find(&table, 5));
	assert_int_equal(region_table_find(&table, 7)->record.cookie, 7);
}

static void test_a_new_region(void **state)
{
	(void)state;
	struct region *region = add(1, 7);
	assert_int_equal(region->log_fd, -1);
	assert_int_equal(region->task.stage, TASK_IDLE);
	assert_false(region->attached);
	assert_true(LIST_EMPTY(&region->subscriptions));
	assert_true(STAILQ_EMPTY(&region->poll_waiters));
	region->log_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fd = region->log_fd;
	region_table_remove(&table, region);
	assert_false(fd_is_open(fd));
}

static int admit(uint64_t vram_gfn, uint64_t backing_gfn, uint64_t nr_pages, struct failure *failure)
{
	struct region_record record = {.cookie = 9,
		.domid = 7,
		.vram_gfn = vram_gfn,
		.backing_gfn = backing_gfn,
		.nr_pages = nr_pages,
		.live = extents_whole(nr_pages)};
	return region_table_admit(&table, &record, failure);
}

/* What was destroyed of a region is free, at vram and at backing. */
static void test_destroyed_pages_are_free(void **state)
{
	(void)state;
	struct failure failure;
	struct region *region = add(1, 7);
	region->record.live = (struct extents){{{0, 4}, {8, 8}}, 2};
	assert_int_equal(admit(0x100104, 0x1104, 4, &failure), 0);
	assert_int_equal(admit(0x100103, 0x8000, 1, &failure), -1);
	assert_int_equal(admit(0x100104, 0x8000, 5, &failure), -1);
	assert_non_null(strstr(failure.text, "vram 0x100108 + 8 pages of region 0x1"));
	assert_int_equal(admit(0x200000, 0x1103, 2, &failure), -1);
	assert_non_null(strstr(failure.text, "backing 0x1100 + 4 pages of region 0x1"));
}

/* A region that moves has both places; it cannot go where it is, nor onto its own backing. */
static void test_moves(void **state)
{
	(void)state;
	struct failure failure;
	struct region *region = add(1, 7);
	add(2, 7);
	add(3, 8);
	assert_int_equal(region_table_admit_move(&table, &region->record, 0x200000, &failure), 0);
	assert_int_equal(region_table_admit_move(&table, &region->record, 0x100110, &failure), 0);
	assert_int_equal(region_table_admit_move(&table, &region->record, 0x10010f, &failure), -1);
	assert_non_null(strstr(failure.text, "new vram 0x10010f"));
	assert_non_null(strstr(failure.text, "the vram 0x100100 + 16 pages of region 0x1"));
	assert_int_equal(region_table_admit_move(&table, &region->record, 0x1100, &failure), -1);
	assert_non_null(strstr(failure.text, "the backing"));
	assert_int_equal(region_table_admit_move(&table, &region->record, 0x1200, &failure), -1);
	assert_non_null(strstr(failure.text, "region 0x2"));
	assert_int_equal(region_table_admit_move(&table, &region->record, 0x1300, &failure), 0); /* of 8 */

	region->record.between = true;
	region->record.old_vram_gfn = 0x200000;
	assert_int_equal(admit(0x20000f, 0x8000, 1, &failure), -1);
	assert_non_null(strstr(failure.text, "old vram 0x200000"));
	assert_int_equal(admit(0x200010, 0x8000, 1, &failure), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_overlap),
		TEST(test_overlap_names_both),
		TEST(test_other_domains_have_gfns_of_their_own),
		TEST(test_usage),
		TEST(test_full),
		TEST(test_slots),
		TEST(test_cookies_are_unique),
		TEST(test_order_is_by_cookie),
		TEST(test_a_new_region),
		TEST(test_destroyed_pages_are_free),
		TEST(test_moves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
