/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/mman.h>

#include "daemon/broker/region_journal.h"
#include "proto/xenvram.pb-c.h"
#include "tests/unit/same_requester.h"

static struct region_record some_record(void)
{
	struct region_record record = {
		.cookie = 0x1122334455667788,
		.domid = 0x7abc,
		.vram_gfn = 0xf12345678,
		.backing_gfn = 0x8765432,
		.nr_pages = 4096,
		.cache_attr = XENVRAM__V1__CACHE_ATTR__WP,
		.state = XENVRAM__V1__REGION_STATE__REGION_STUCK,
		.owner_uid = 65534,
		.live = {{{0, 10}, {20, 4076}}, 2},
		.pinned = 1,
		.ending = true,
		.old_vram_gfn = 0xabcdef012,
		.frontier = 0x456,
		.unsettled = 0x123,
	};
	memset(record.uuid, 'u', sizeof(record.uuid) - 1);
	return record;
}

static void assert_same(const struct region_record *a, const struct region_record *b)
{
	assert_true(a->cookie == b->cookie);
	assert_int_equal(a->domid, b->domid);
	assert_string_equal(a->uuid, b->uuid);
	assert_true(a->vram_gfn == b->vram_gfn);
	assert_true(a->backing_gfn == b->backing_gfn);
	assert_true(a->nr_pages == b->nr_pages);
	assert_int_equal(a->cache_attr, b->cache_attr);
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->owner_uid, b->owner_uid);
	assert_int_equal(a->require_cache_attr, b->require_cache_attr);
	assert_int_equal(a->pinned, b->pinned);
	assert_int_equal(a->adopted, b->adopted);
	assert_int_equal(a->live.n, b->live.n);
	assert_memory_equal(a->live.run, b->live.run, a->live.n * sizeof(a->live.run[0]));
	assert_int_equal(a->ending, b->ending);
	assert_int_equal(a->between, b->between);
	assert_int_equal(a->going_back, b->going_back);
	assert_int_equal(a->going.first, b->going.first);
	assert_int_equal(a->going.nr_pages, b->going.nr_pages);
	assert_int_equal(a->old_vram_gfn, b->old_vram_gfn);
	assert_int_equal(a->frontier, b->frontier);
	assert_int_equal(a->unsettled, b->unsettled);
	assert_same_requester(&a->requester, &b->requester);
}

static void test_round_trip(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	/* The flags are kept apart. */
	for (unsigned int flags = 0; flags < 32; flags++) {
		struct region_record before = some_record(), after;
		before.require_cache_attr = flags & 1;
		before.adopted = flags & 2;
		before.between = flags & 4;
		before.pinned = flags >> 3;
		memset(slot, 0xff, sizeof(slot));
		region_journal_encode(&before, slot);
		assert_int_equal(region_journal_decode(slot, &after), 1);
		assert_same(&before, &after);
	}
}

/* A newer daemon reads what an older one wrote: these offsets are for ever. */
static void test_format(void **state)
{
	(void)state;
	static const uint8_t begin[] = {'X', 'V', 'R', 'J', 3, 0, 220, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
		0x22, 0x11, 0x78, 0x56, 0x34, 0x12, 0x0f};
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record record = some_record();
	region_journal_encode(&record, slot);
	assert_memory_equal(slot, begin, sizeof(begin));
	assert_int_equal(slot[60], 'u');
	assert_int_equal(slot[216], 1);
	for (unsigned int i = 217; i < JOURNAL_SLOT_BYTES; i++)
		assert_int_equal(slot[i], 0);
}

static void assert_undecodable(const uint8_t *slot, int error)
{
	struct region_record record = {.cookie = 77};
	assert_fails(region_journal_decode(slot, &record), error);
	assert_int_equal(record.cookie, 77);
}

static void test_endless_uuid(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record record = some_record();
	record.uuid[UUID_BYTES - 1] = 'u';
	region_journal_encode(&record, slot);
	assert_undecodable(slot, EBADMSG);
}

static void assert_plausible(const struct region_record *record, bool expected)
{
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record after;
	region_journal_encode(record, slot);
	if (expected)
		assert_int_equal(region_journal_decode(slot, &after), 1);
	else
		assert_undecodable(slot, EBADMSG);
}

#define CHECK(field, value, expected)                                                                        \
	do {                                                                                                 \
		struct region_record changed = some_record();                                                \
		changed.field = value;                                                                       \
		assert_plausible(&changed, expected);                                                        \
	} while (0)

static void test_plausibility(void **state)
{
	(void)state;
	CHECK(cookie, 0, false);
	CHECK(cookie, UINT64_MAX, true);
	CHECK(nr_pages, 0, false);
	CHECK(nr_pages, MAX_REGION_PAGES, true);
	CHECK(nr_pages, 4095, false); /* an extent goes beyond it */
	CHECK(nr_pages, MAX_REGION_PAGES + 1, false);
	CHECK(nr_pages, UINT64_MAX, false);
	CHECK(domid, MAX_DOMID, true);
	CHECK(domid, MAX_DOMID + 1, false);
	CHECK(state, XENVRAM__V1__REGION_STATE__DESTROYING, true);
	CHECK(state, XENVRAM__V1__REGION_STATE__GONE, false);
	CHECK(state, UINT32_MAX, false);
	CHECK(cache_attr, XENVRAM__V1__CACHE_ATTR__WP + 1, false);
	CHECK(cache_attr, UINT32_MAX, false);
}

/* A move to 2^36 or beyond loses the page: no record may lead there, not with its last page either. */
static void test_gfns_stay_below_the_last(void **state)
{
	(void)state;
	CHECK(vram_gfn, MAX_GFN - 4096, true);
	CHECK(vram_gfn, MAX_GFN - 4095, false);
	CHECK(vram_gfn, MAX_GFN, false);
	CHECK(vram_gfn, UINT64_MAX, false);
	CHECK(backing_gfn, MAX_GFN - 4096, true);
	CHECK(backing_gfn, MAX_GFN - 4095, false);
	CHECK(backing_gfn, MAX_GFN, false);
	CHECK(backing_gfn, UINT64_MAX, false);
	CHECK(old_vram_gfn, MAX_GFN - 4096, true);
	CHECK(old_vram_gfn, MAX_GFN - 4095, false);
	CHECK(old_vram_gfn, UINT64_MAX, false);
}

static void test_extents_and_progress(void **state)
{
	(void)state;
	CHECK(pinned, 3, true);
	CHECK(pinned, 4, false);
	CHECK(pinned, UINT32_MAX, false);
	CHECK(live.n, 0, false);
	CHECK(live.n, 1, true);
	CHECK(live.run[1].first, 10, false); /* touching */
	CHECK(live.run[1].first, 9, false);
	CHECK(live.run[1].nr_pages, 4077, false);
	CHECK(live.run[0].nr_pages, 0, false);
	CHECK(frontier, 4096 - 0x123, true);
	CHECK(frontier, 4097 - 0x123, false);
	CHECK(frontier, UINT32_MAX, false);
	CHECK(unsettled, UINT32_MAX, false);
	CHECK(going.first, 1, false);
	CHECK(going, ((struct extent){30, 10}), true);
	CHECK(going, ((struct extent){5, 10}), false);
	CHECK(going, ((struct extent){5, UINT32_MAX}), false);
}

static bool is_read(uint32_t region_state, bool ending, bool between, bool going_back, uint64_t going)
{
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record record = some_record(), after;
	record.state = region_state;
	record.ending = ending;
	record.between = between;
	record.going_back = going_back;
	record.going = (struct extent){going > 0 ? 0x456 : 0, going};
	region_journal_encode(&record, slot);
	return region_journal_decode(slot, &after) == 1;
}

/* What is being done to a region is one thing, and all that is needed to go on is there. */
static void test_states(void **state)
{
	(void)state;
	assert_true(is_read(XENVRAM__V1__REGION_STATE__ACTIVE, false, false, false, 0));
	assert_false(is_read(XENVRAM__V1__REGION_STATE__ACTIVE, true, false, false, 0));
	assert_false(is_read(XENVRAM__V1__REGION_STATE__CREATING, false, true, false, 0));
	assert_true(is_read(XENVRAM__V1__REGION_STATE__MOVING, false, true, true, 0));
	assert_false(is_read(XENVRAM__V1__REGION_STATE__MOVING, false, false, false, 0));
	assert_true(is_read(XENVRAM__V1__REGION_STATE__SHRINKING, false, false, false, 0x200));
	assert_false(is_read(XENVRAM__V1__REGION_STATE__SHRINKING, false, false, false, 0));
	assert_false(is_read(XENVRAM__V1__REGION_STATE__SHRINKING, false, false, false, 0x122));
	assert_true(is_read(XENVRAM__V1__REGION_STATE__REGION_STUCK, false, true, false, 0));
	assert_true(is_read(XENVRAM__V1__REGION_STATE__REGION_STUCK, false, false, false, 0x200));
	assert_false(is_read(XENVRAM__V1__REGION_STATE__REGION_STUCK, false, false, false, 0));
	assert_false(is_read(XENVRAM__V1__REGION_STATE__REGION_STUCK, false, true, false, 0x200));
	assert_false(is_read(XENVRAM__V1__REGION_STATE__REGION_STUCK, true, false, true, 0));
}

/* ---- files that daemons of each version have written ---- */

static struct region_record golden(uint64_t cookie, uint64_t vram_gfn, uint32_t region_state)
{
	return (struct region_record){
		.cookie = cookie,
		.domid = 5,
		.uuid = "6f2c0d3e-2c1b-4a9e-8a52-0b4f5a1c9e77",
		.vram_gfn = vram_gfn,
		.backing_gfn = 0x7000,
		.nr_pages = 4096,
		.cache_attr = XENVRAM__V1__CACHE_ATTR__WC,
		.state = region_state,
		.owner_uid = 65541,
		.live = {{{0, 4096}}, 1},
	};
}

static int read_slot(int fd, unsigned int slot, struct region_record *ret_record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	int n = journal_read(&region_journal, fd, slot, bytes);
	return n > 0 ? region_journal_decode(bytes, ret_record) : n;
}

static void assert_golden(
	const char *path, const struct region_record *expected, const unsigned int *slots, unsigned int n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct region_record found;
	assert_true(fd >= 0);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(read_slot(fd, slots[i], &found), 1);
		assert_same(&found, &expected[i]);
	}
	assert_int_equal(read_slot(fd, 3, &found), 0);
	assert_int_equal(read_slot(fd, 6, &found), 0);
	close(fd);
}

static const unsigned int golden_slots[] = {0, 1, 2, 4, 5};

static void test_version_1(void **state)
{
	(void)state;
	struct region_record expected[] = {
		golden(0x1111, 0xf0000, XENVRAM__V1__REGION_STATE__CREATING),
		golden(0x2222, 0xe0000, XENVRAM__V1__REGION_STATE__ACTIVE),
		golden(0x3333, 0xd0000, XENVRAM__V1__REGION_STATE__DESTROYING),
		golden(0x4444, 0xc0000, XENVRAM__V1__REGION_STATE__REGION_STUCK),
		golden(0x5555, 0x100, XENVRAM__V1__REGION_STATE__ACTIVE),
	};
	for (unsigned int i = 1; i < 5; i++)
		expected[i].require_cache_attr = true;
	expected[1].pinned = expected[2].pinned = 1;
	expected[2].ending = expected[3].ending = true;
	expected[4].adopted = true;
	expected[4].backing_gfn = 0;
	expected[4].nr_pages = 1;
	expected[4].live = extents_whole(1);
	/* How far they have come is not in it. */
	expected[0].unsettled = expected[2].unsettled = expected[3].unsettled = 4096;
	expected[1].frontier = 4096;
	expected[4].frontier = 1;
	assert_golden(XENVRAM_GOLDEN "/journal-1", expected, golden_slots, 5);
}

/* In the middle of everything, with all extents pinned or none. */
static void fill_expected(struct region_record expected[5])
{
	static const struct {
		uint64_t cookie, vram_gfn;
		uint32_t state;
	} regions[] = {
		{0x1111, 0xf0000, XENVRAM__V1__REGION_STATE__CREATING},
		{0x2222, 0xe0000, XENVRAM__V1__REGION_STATE__ACTIVE},
		{0x3333, 0xd0000, XENVRAM__V1__REGION_STATE__SHRINKING},
		{0x4444, 0xc0000, XENVRAM__V1__REGION_STATE__MOVING},
		{0x5555, 0xa0000, XENVRAM__V1__REGION_STATE__REGION_STUCK},
	};
	for (unsigned int i = 0; i < 5; i++)
		expected[i] = golden(regions[i].cookie, regions[i].vram_gfn, regions[i].state);
	expected[0].frontier = 512;
	expected[0].unsettled = 256;
	for (unsigned int i = 1; i < 5; i++) {
		expected[i].require_cache_attr = true;
		expected[i].pinned = 3;
		expected[i].live = (struct extents){{{0, 100}, {200, 3896}}, 2};
		expected[i].unsettled = 256;
	}
	expected[1].frontier = 4096;
	expected[1].unsettled = 0;
	expected[2].going = (struct extent){1000, 600};
	expected[2].frontier = 1344;
	expected[3].old_vram_gfn = 0xb0000;
	expected[3].between = expected[3].going_back = true;
	expected[3].frontier = 456;
	expected[4].ending = true;
	expected[4].pinned = 0;
	expected[4].unsettled = 4096;
}

static void test_version_2(void **state)
{
	(void)state;
	struct region_record expected[5];
	fill_expected(expected);
	assert_golden(XENVRAM_GOLDEN "/journal-2", expected, golden_slots, 5);
}

static void test_version_3(void **state)
{
	(void)state;
	struct region_record expected[5];
	fill_expected(expected);
	expected[1].pinned = 1;
	expected[2].pinned = 2;
	expected[3].pinned = 0;
	assert_golden(XENVRAM_GOLDEN "/journal-3", expected, golden_slots, 5);
}

/* What else there can be: with who asked, and with as many extents as there can be. */
static const struct region_record more_states[] = {
	{.state = XENVRAM__V1__REGION_STATE__DESTROYING,
		.ending = true,
		.pinned = 0x81,
		.frontier = 700,
		.unsettled = 90},
	{.state = XENVRAM__V1__REGION_STATE__DESTROYING, .ending = true, .between = true, .unsettled = 800},
	{.state = XENVRAM__V1__REGION_STATE__DESTROYING,
		.ending = true,
		.going = {161, 30},
		.unsettled = 800},
	{.state = XENVRAM__V1__REGION_STATE__REGION_STUCK, .between = true, .pinned = 0xff, .unsettled = 800},
	{.state = XENVRAM__V1__REGION_STATE__REGION_STUCK,
		.going = {161, 30},
		.pinned = 0xaa,
		.unsettled = 800},
	{.state = XENVRAM__V1__REGION_STATE__REGION_STUCK, .ending = true, .between = true, .unsettled = 800},
	{.state = XENVRAM__V1__REGION_STATE__ACTIVE, .adopted = true, .pinned = 0x7f, .frontier = 800},
	{.state = XENVRAM__V1__REGION_STATE__MOVING,
		.adopted = true,
		.between = true,
		.frontier = 256,
		.unsettled = 256},
};

static void fill_state(unsigned int i, struct region_record *ret_record)
{
	*ret_record = more_states[i];
	ret_record->cookie = 0x1111 * (i + 1);
	ret_record->domid = 5;
	strcpy(ret_record->uuid, "6f2c0d3e-2c1b-4a9e-8a52-0b4f5a1c9e77");
	ret_record->vram_gfn = 0xf0000 - 0x10000 * i;
	ret_record->backing_gfn = ret_record->adopted ? 0 : 0x7000;
	ret_record->old_vram_gfn = ret_record->between ? 0xf8000 - 0x10000 * i : 0;
	ret_record->nr_pages = 800;
	ret_record->cache_attr = XENVRAM__V1__CACHE_ATTR__WC;
	ret_record->require_cache_attr = i % 2 == 0;
	ret_record->owner_uid = 65541;
	ret_record->requester = (struct requester){.uid = 65541 + i, .pid = 4711 + i, .known = true};
	ret_record->live.n = MAX_REGION_EXTENTS;
	for (unsigned int k = 0; k < MAX_REGION_EXTENTS; k++)
		ret_record->live.run[k] = (struct extent){100 * k + k, 90};
}

/* What version 2 had of it: all extents are pinned, or none. */
static void make_it_version_2(uint8_t slot[JOURNAL_SLOT_BYTES], struct region_record *record)
{
	record->pinned = slot[216] == 0xff ? 0xff : 0;
	slot[4] = 2;
	slot[6] = 216;
	slot[56] |= record->pinned ? 2 : 0;
	slot[216] = 0;
}

static void test_states_of_versions_2_and_3(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES], written[JOURNAL_SLOT_BYTES];
	struct region_record expected, found;

	int fd = open(XENVRAM_GOLDEN "/journal-3-states", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (unsigned int i = 0; i < sizeof(more_states) / sizeof(more_states[0]); i++) {
		fill_state(i, &expected);
		assert_int_equal(read(fd, slot, sizeof(slot)), sizeof(slot));
		assert_int_equal(region_journal_decode(slot, &found), 1);
		assert_same(&expected, &found);
		region_journal_encode(&expected, written);
		assert_memory_equal(written, slot, sizeof(slot));
		make_it_version_2(slot, &expected);
		assert_int_equal(region_journal_decode(slot, &found), 1);
		assert_same(&expected, &found);
	}
	assert_int_equal(read(fd, slot, 1), 0);
	close(fd);
}

static void test_file(void **state)
{
	(void)state;
	int fd = memfd_create("journal", MFD_CLOEXEC);
	struct region_record record = some_record(), found;

	assert_int_equal(region_journal_write(fd, 3, &record), 0);
	assert_int_equal(read_slot(fd, 3, &found), 1);
	assert_same(&found, &record);
	assert_int_equal(read_slot(fd, 2, &found), 0);
	close(fd);
	assert_fails(region_journal_write(fd, 3, &record), EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_endless_uuid),
		cmocka_unit_test(test_plausibility),
		cmocka_unit_test(test_gfns_stay_below_the_last),
		cmocka_unit_test(test_extents_and_progress),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_version_3),
		cmocka_unit_test(test_states_of_versions_2_and_3),
		cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
