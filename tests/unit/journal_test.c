/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/broker/journal.h"

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
	assert_int_equal(a->placed, b->placed);
	assert_int_equal(a->adopted, b->adopted);
}

static void test_round_trip(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	/* The flags are kept apart. */
	for (unsigned int flags = 0; flags < 16; flags++) {
		struct region_record before = some_record(), after;
		before.require_cache_attr = flags & 1;
		before.pinned = flags & 2;
		before.placed = flags & 4;
		before.adopted = flags & 8;
		memset(slot, 0xff, sizeof(slot));
		journal_encode(&before, slot);
		assert_int_equal(journal_decode(slot, &after), 1);
		assert_same(&before, &after);
	}
}

/* A newer daemon reads what an older one wrote: these offsets are for ever. */
static void test_format(void **state)
{
	(void)state;
	static const uint8_t begin[] = {'X', 'V', 'R', 'J', 1, 0, 124, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
		0x22, 0x11, 0x78, 0x56, 0x34, 0x12, 0x0f};
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record record = some_record();
	journal_encode(&record, slot);
	assert_memory_equal(slot, begin, sizeof(begin));
	assert_int_equal(slot[60], 'u');
	for (unsigned int i = 124; i < JOURNAL_SLOT_BYTES; i++)
		assert_int_equal(slot[i], 0);
}

static void assert_undecodable(const uint8_t *slot, int error)
{
	struct region_record record = {.cookie = 77};
	assert_fails(journal_decode(slot, &record), error);
	assert_int_equal(record.cookie, 77);
}

static void test_free_slot(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES] = {0};
	struct region_record record = {.cookie = 77};
	assert_int_equal(journal_decode(slot, &record), 0);
	memset(slot, 0xff, sizeof(slot));
	assert_int_equal(journal_decode(slot, &record), 0);
	assert_int_equal(record.cookie, 77);
}

static void test_unknown_version(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record record = some_record();
	journal_encode(&record, slot);
	slot[4] = 2;
	assert_undecodable(slot, ENOTSUP);
	slot[4] = 0;
	assert_undecodable(slot, ENOTSUP);
	/* Whatever else is in it. */
	memset(slot + 6, 0xff, sizeof(slot) - 6);
	assert_undecodable(slot, ENOTSUP);
}

static void test_wrong_length_and_endless_uuid(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record record = some_record();
	journal_encode(&record, slot);
	slot[6]++;
	assert_undecodable(slot, EBADMSG);
	record.uuid[UUID_BYTES - 1] = 'u';
	journal_encode(&record, slot);
	assert_undecodable(slot, EBADMSG);
}

static void assert_plausible(const struct region_record *record, bool expected)
{
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record after;
	journal_encode(record, slot);
	if (expected)
		assert_int_equal(journal_decode(slot, &after), 1);
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
	CHECK(nr_pages, 1, true);
	CHECK(nr_pages, MAX_REGION_PAGES, true);
	CHECK(nr_pages, MAX_REGION_PAGES + 1, false);
	CHECK(nr_pages, UINT64_MAX, false);
	CHECK(domid, MAX_DOMID, true);
	CHECK(domid, MAX_DOMID + 1, false);
	CHECK(state, XENVRAM__V1__REGION_STATE__CREATING, true);
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
}

static int open_file(void **state)
{
	static int fd;
	fd = memfd_create("journal", MFD_CLOEXEC);
	*state = &fd;
	return fd < 0 ? -1 : 0;
}

static int close_file(void **state)
{
	close(*(int *)*state);
	return 0;
}

static void test_file(void **state)
{
	int fd = *(int *)*state;
	struct region_record first = some_record(), second = some_record(), found = {0};
	struct stat st;
	second.cookie = 2;

	assert_int_equal(journal_read(fd, 0, &found), 0);
	assert_int_equal(journal_write(fd, 3, &second), 0);
	assert_int_equal(journal_write(fd, 0, &first), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 4 * JOURNAL_SLOT_BYTES);

	assert_int_equal(journal_read(fd, 0, &found), 1);
	assert_same(&found, &first);
	assert_int_equal(journal_read(fd, 1, &found), 0);
	assert_int_equal(journal_read(fd, 3, &found), 1);
	assert_same(&found, &second);
	assert_int_equal(journal_read(fd, 4, &found), 0);

	second.state = XENVRAM__V1__REGION_STATE__DESTROYING;
	assert_int_equal(journal_write(fd, 0, &second), 0);
	assert_int_equal(journal_read(fd, 0, &found), 1);
	assert_same(&found, &second);
	assert_int_equal(journal_erase(fd, 0), 0);
	assert_int_equal(journal_read(fd, 0, &found), 0);
	assert_int_equal(journal_read(fd, 3, &found), 1);
}

static void test_truncated_file(void **state)
{
	int fd = *(int *)*state;
	struct region_record record = some_record(), found = {.cookie = 77};
	assert_int_equal(journal_write(fd, 1, &record), 0);
	assert_int_equal(ftruncate(fd, 2 * JOURNAL_SLOT_BYTES - 1), 0);
	assert_int_equal(journal_read(fd, 1, &found), 0);
	assert_int_equal(found.cookie, 77);
}

static void test_file_errors(void **state)
{
	int fd = *(int *)*state;
	struct region_record record = some_record();
	char path[32];
	assert_fails(journal_read(-1, 0, &record), EBADF);
	assert_fails(journal_write(-1, 0, &record), EBADF);
	assert_fails(journal_erase(-1, 0), EBADF);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_fails(journal_write(read_only, 0, &record), EBADF);
	close(read_only);
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_fails(journal_write(full, 0, &record), ENOSPC);
	close(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_free_slot),
		cmocka_unit_test(test_unknown_version),
		cmocka_unit_test(test_wrong_length_and_endless_uuid),
		cmocka_unit_test(test_plausibility),
		cmocka_unit_test(test_gfns_stay_below_the_last),
		cmocka_unit_test_setup_teardown(test_file, open_file, close_file),
		cmocka_unit_test_setup_teardown(test_truncated_file, open_file, close_file),
		cmocka_unit_test_setup_teardown(test_file_errors, open_file, close_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
