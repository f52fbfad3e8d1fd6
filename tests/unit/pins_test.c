/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/broker/pins.h"

#define CONFLICT  XENVRAM__V1__STATUS__CONFLICT
#define NOT_FOUND XENVRAM__V1__STATUS__NOT_FOUND

static struct pins pins;
static struct region_table regions;
static struct failure failure;

static int set_up(void **state)
{
	(void)state;
	pins_init(&pins);
	failure = (struct failure){.text = ""};
	return region_table_init(&regions, 8);
}

static int tear_down(void **state)
{
	(void)state;
	pins_deinit(&pins);
	region_table_deinit(&regions);
	return 0;
}

static struct pin_record record_at(uint32_t domid, uint64_t first, uint64_t nr_pages)
{
	return (struct pin_record){
		.domid = domid, .gfns = {first, nr_pages}, .old_cache_attr = NO_CACHE_ATTR, .state = PIN_SET};
}

static struct pin *add(uint32_t domid, uint64_t first, uint64_t nr_pages)
{
	struct pin_record record = record_at(domid, first, nr_pages);
	struct pin *pin = pins_add(&pins, &record, MAX_RAW_PINS);
	assert_non_null(pin);
	return pin;
}

static struct region *add_region(uint32_t domid, uint64_t vram, uint64_t backing, uint64_t nr_pages)
{
	static uint64_t cookie = 0xabc0;
	struct region_record record = {.cookie = ++cookie,
		.domid = domid,
		.vram_gfn = vram,
		.backing_gfn = backing,
		.nr_pages = nr_pages,
		.live = extents_whole(nr_pages),
		.state = XENVRAM__V1__REGION_STATE__ACTIVE,
		.pinned = 1};
	struct region *region = region_table_add(&regions, &record, regions.n_slots);
	assert_non_null(region);
	return region;
}

static int admit(uint32_t domid, uint64_t first, uint64_t nr_pages, struct pin **ret_same)
{
	struct pin_record record = record_at(domid, first, nr_pages);
	return pins_admit(&pins, &regions, &record, ret_same, &failure);
}

static void assert_refused(int result, Xenvram__V1__Status status, int os_error, const char *text)
{
	assert_int_equal(result, -1);
	assert_int_equal(failure.status, status);
	assert_int_equal(failure.os_error, os_error);
	if (!strstr(failure.text, text))
		fail_msg("\"%s\" is not in: %s", text, failure.text);
}

static void test_same_bounds_replace_and_others_do_not_overlap(void **state)
{
	(void)state;
	struct pin *pin = add(7, 0x100, 16), *same = NULL;

	assert_int_equal(admit(7, 0x100, 16, &same), 0);
	assert_ptr_equal(same, pin);
	const struct extent others[] = {{0x100, 15}, {0x101, 15}, {0xff, 2}, {0x10f, 1}, {0x80, 0x200}};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_refused(admit(7, others[i].first, others[i].nr_pages, &same), CONFLICT, EBUSY,
			"the pin of gfn 0x100 + 16 pages");
	/* Beside it, or in another domain. */
	assert_int_equal(admit(7, 0xf0, 16, &same), 0);
	assert_null(same);
	assert_int_equal(admit(7, 0x110, 16, &same), 0);
	assert_int_equal(admit(8, 0x100, 15, &same), 0);
	assert_null(same);
}

static void test_what_is_being_changed_is_left_alone(void **state)
{
	(void)state;
	struct pin *pin = add(7, 0x100, 16), *same;

	pin->at_work = true;
	assert_refused(admit(7, 0x100, 16, &same), CONFLICT, EBUSY, "being set or taken away");
	assert_null(pins_require(&pins, &regions, 7, pin->record.gfns, &failure));
	assert_int_equal(failure.status, CONFLICT);
	pin->at_work = false;
	pin->asker.connection = 3;
	assert_refused(admit(7, 0x100, 16, &same), CONFLICT, EBUSY, "being set or taken away");
	pin->asker.connection = 0;
	assert_int_equal(admit(7, 0x100, 16, &same), 0);
}

static void test_regions_and_pins_keep_apart(void **state)
{
	(void)state;
	struct pin *same;
	struct region *region = add_region(7, 0x1000, 0x100, 32);
	char cookie[32];
	snprintf(cookie, sizeof(cookie), "region 0x%llx", (unsigned long long)region->record.cookie);

	assert_refused(admit(7, 0x101f, 1, &same), CONFLICT, EBUSY, cookie);
	assert_refused(admit(7, 0x1000, 32, &same), CONFLICT, EBUSY, cookie);
	region->record.pinned = 0; /* it may be pinned again, by the next worker */
	assert_refused(admit(7, 0x1000, 32, &same), CONFLICT, EBUSY, cookie);
	assert_int_equal(admit(7, 0x1020, 1, &same), 0);
	assert_int_equal(admit(7, 0x100, 32, &same), 0); /* no harm at the backing */
	assert_int_equal(admit(8, 0x1000, 32, &same), 0);

	/* Where it came from in a move, too; not where a part of it was destroyed. */
	region->record.between = true;
	region->record.old_vram_gfn = 0x3000;
	assert_refused(admit(7, 0x3000, 1, &same), CONFLICT, EBUSY, "the old vram 0x3000 + 32 pages");
	region->record.between = false;
	assert_int_equal(
		extents_remove(&region->record.live, (struct extent){8, 8}, &region->record.live), 0);
	assert_int_equal(admit(7, 0x1008, 8, &same), 0);
	assert_refused(admit(7, 0x1008, 9, &same), CONFLICT, EBUSY, "the vram 0x1010 + 16 pages");

	/* And a region keeps away from pins, here in two parts. */
	struct region_record *record = &region->record;
	add(7, 0x2000, 16);
	assert_refused(pins_admit_region(&pins, record, 0x1ff8, &failure), CONFLICT, EBUSY,
		"the pin of gfn 0x2000 + 16 pages");
	assert_refused(
		pins_admit_region(&pins, record, 0x1fe1, &failure), CONFLICT, EBUSY, "unpin that first");
	assert_int_equal(pins_admit_region(&pins, record, 0x1fe0, &failure), 0);
	assert_int_equal(pins_admit_region(&pins, record, 0x2010, &failure), 0);
	add(7, 0x4008, 8);
	assert_int_equal(pins_admit_region(&pins, record, 0x4000, &failure), 0);
	assert_refused(pins_admit_region(&pins, record, 0x4001, &failure), CONFLICT, EBUSY, "gfn 0x4008");
	/* Also of the same bounds: destroying the region would take the pin away. */
	add(7, 0x5000, 8);
	assert_refused(pins_admit_region(&pins, record, 0x5000, &failure), CONFLICT, EBUSY, "gfn 0x5000");
	record->domid = 8;
	assert_int_equal(pins_admit_region(&pins, record, 0x5000, &failure), 0);
}

static void test_exact_bounds_are_required(void **state)
{
	(void)state;
	struct pin *pin = add(7, 0x100, 16);
	add_region(7, 0x1000, 0x300, 32);
	struct extent exact = {0x100, 16}, part = {0x100, 15}, vram = {0x1000, 32}, nothing = {0x5000, 3};

	assert_ptr_equal(pins_require(&pins, &regions, 7, exact, &failure), pin);
	assert_null(pins_require(&pins, &regions, 7, part, &failure));
	assert_refused(-1, NOT_FOUND, ENOENT, "that of gfn 0x100 + 16 pages overlaps");
	assert_null(pins_require(&pins, &regions, 7, vram, &failure));
	assert_refused(-1, NOT_FOUND, ENOENT, "which ends with the region");
	assert_null(pins_require(&pins, &regions, 7, nothing, &failure));
	assert_refused(-1, NOT_FOUND, ENOENT, "nothing in gfn 0x5000");
	assert_null(pins_require(&pins, &regions, 8, exact, &failure));
	assert_refused(-1, NOT_FOUND, ENOENT, "domain 8");
}

static void test_room_of_a_domain(void **state)
{
	(void)state;
	struct pin *same;

	add_region(7, 0x100000, 0x300, 1);
	add_region(7, 0x100001, 0x301, 1)->record.pinned = 0;        /* has none, and gets none */
	struct region *creating = add_region(7, 0x100002, 0x302, 1); /* may have one */
	creating->record.pinned = 0;
	creating->record.state = XENVRAM__V1__REGION_STATE__CREATING;
	struct region *shrinking = add_region(7, 0x100003, 0x303, 3); /* may have two pieces */
	shrinking->record.state = XENVRAM__V1__REGION_STATE__SHRINKING;
	shrinking->record.going = (struct extent){1, 1};
	for (unsigned int i = 0; i < MAX_PINS_PER_DOMAIN - 4; i++) {
		assert_int_equal(admit(7, 0x1000 + 2 * i, 1, &same), 0);
		add(7, 0x1000 + 2 * i, 1);
	}
	assert_refused(admit(7, 0x9000, 1, &same), XENVRAM__V1__STATUS__LIMIT, EDQUOT,
		"domain 7 has 64 pins, those of its regions among them, and asks for 1 more; at most 64 are "
		"allowed by MAX_PINS_PER_DOMAIN, which is fixed in this build: ");
	/* One that is there can still be changed; and others have room. */
	assert_int_equal(admit(7, 0x1000, 1, &same), 0);
	assert_non_null(same);
	assert_int_equal(admit(8, 0x9000, 1, &same), 0);
}

static void test_room_of_the_host(void **state)
{
	(void)state;
	struct pin *same;

	for (unsigned int i = 0; i < MAX_RAW_PINS; i++)
		add(i / MAX_PINS_PER_DOMAIN, 2 * i, 1);
	assert_refused(admit(500, 1, 1, &same), XENVRAM__V1__STATUS__LIMIT, EDQUOT,
		"domain 500: this host has 1024 pins beside those of regions and asks for 1 more; at most "
		"1024 are "
		"allowed by MAX_RAW_PINS, which is fixed in this build: unpin one first");
	struct pin_record record = record_at(500, 1, 1);
	assert_null_with(pins_add(&pins, &record, MAX_RAW_PINS), ENOSPC);
	pins_remove(&pins, LIST_FIRST(&pins.list));
	assert_int_equal(admit(500, 1, 1, &same), 0);
}

static void test_table(void **state)
{
	(void)state;
	struct pin_record record = record_at(9, 0x50, 1);
	const uint64_t order[] = {0x30, 0x10, 0x20};
	for (size_t i = 0; i < 3; i++)
		add(9, order[i], 1);
	add(8, 0x40, 1);

	/* By domain, then gfn. */
	const struct pin *pin = LIST_FIRST(&pins.list);
	const uint64_t sorted[] = {0x40, 0x10, 0x20, 0x30};
	for (size_t i = 0; i < 4; i++, pin = LIST_NEXT(pin, link))
		assert_int_equal(pin->record.gfns.first, sorted[i]);
	assert_null(pin);
	assert_int_equal(pins_count(&pins, 9), 3);
	assert_int_equal(pins_count(&pins, 8), 1);

	/* Slots: the lowest free one, or the one that is asked for. */
	struct pin *last = LIST_FIRST(&pins.list);
	unsigned int slot = last->slot;
	assert_null_with(pins_add(&pins, &record, slot), EEXIST);
	uint64_t id = last->id;
	assert_ptr_equal(pins_find(&pins, id), last);
	pins_remove(&pins, last);
	assert_null(pins_find(&pins, id));
	pins_reserve(&pins, slot);
	struct pin *added = pins_add(&pins, &record, MAX_RAW_PINS);
	assert_non_null(added);
	assert_true(added->slot > slot);
	assert_true(added->id > id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_same_bounds_replace_and_others_do_not_overlap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_being_changed_is_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_regions_and_pins_keep_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exact_bounds_are_required, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_room_of_a_domain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_room_of_the_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
