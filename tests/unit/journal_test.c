/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/broker/journal.h"
#include "tests/unit/same_requester.h"

/* A kind of record that has grown once. */
struct record {
	struct journal_head head;
	uint32_t old;
	uint32_t new;
} __attribute__((packed));

static const struct journal_kind kind = {
	.magic = 0x44434241,
	.first_slot = 2,
	.n_slots = 4,
	.version = 2,
	.length = {sizeof(struct journal_head) + 4, sizeof(struct record)},
};
static const struct journal_kind other_kind = {
	.magic = 0x44434242, .n_slots = 2, .version = 1, .length = {sizeof(struct record)}};

static const struct record some_record = {.old = 0x11111111, .new = 0x22222222};
static const struct requester somebody = {0x1fffe, 0x12345678, true};

/* What somebody asked for last is at the end of the slot, whatever the kind. */
static void test_format(void **state)
{
	(void)state;
	static const uint8_t begin[] = {'A', 'B', 'C', 'D', 2, 0, 16, 0, 0x11, 0x11, 0x11, 0x11, 0x22, 0x22};
	static const uint8_t end[16] = {1, 0, 0, 0, 0xfe, 0xff, 0x01, 0, 0x78, 0x56, 0x34, 0x12};
	uint8_t slot[JOURNAL_SLOT_BYTES];

	memset(slot, 0xff, sizeof(slot));
	journal_pack(&kind, &some_record, &somebody, slot);
	assert_memory_equal(slot, begin, sizeof(begin));
	assert_memory_equal(slot + sizeof(slot) - sizeof(end), end, sizeof(end));
	for (unsigned int i = sizeof(some_record); i < sizeof(slot) - sizeof(end); i++)
		assert_int_equal(slot[i], 0);
}

static void test_round_trip(void **state)
{
	(void)state;
	static const struct requester requesters[] = {somebody, {0, 0, true}, {0, 0, false}};
	uint8_t slot[JOURNAL_SLOT_BYTES];

	for (size_t i = 0; i < 3; i++) {
		struct record record;
		struct requester requester;
		journal_pack(&kind, &some_record, &requesters[i], slot);
		assert_int_equal(journal_unpack(&kind, slot, &record, &requester), 2);
		assert_int_equal(record.old, some_record.old);
		assert_int_equal(record.new, some_record.new);
		assert_same_requester(&requester, &requesters[i]);
	}
}

static void assert_unreadable(const uint8_t *slot, int error)
{
	struct record record = {.old = 77};
	struct requester requester;
	assert_fails(journal_unpack(&kind, slot, &record, &requester), error);
	assert_int_equal(record.old, 77);
}

/* Also one with what cannot be a record of this kind. */
static void test_free_slot(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES] = {0};
	struct record record = {.old = 77};
	struct requester requester;

	assert_int_equal(journal_unpack(&kind, slot, &record, &requester), 0);
	journal_pack(&other_kind, &some_record, &somebody, slot);
	assert_int_equal(journal_unpack(&kind, slot, &record, &requester), 0);
	memset(slot, 0xff, sizeof(slot));
	assert_int_equal(journal_unpack(&kind, slot, &record, &requester), 0);
	assert_int_equal(record.old, 77);
}

static void test_versions(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct record record;
	struct requester requester;

	journal_pack(&kind, &some_record, &somebody, slot);
	slot[4] = 1;
	assert_unreadable(slot, EBADMSG);
	slot[6] = kind.length[0];
	assert_int_equal(journal_unpack(&kind, slot, &record, &requester), 1);
	assert_int_equal(record.old, some_record.old);
	slot[6]++;
	assert_unreadable(slot, EBADMSG);
	slot[4] = 0;
	assert_unreadable(slot, ENOTSUP);
	slot[4] = 3;
	assert_unreadable(slot, ENOTSUP);
	/* Whatever else is in it. */
	memset(slot + 6, 0xff, sizeof(slot) - 6);
	assert_unreadable(slot, ENOTSUP);
}

static void test_requester(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct record record;
	struct requester requester;

	journal_pack(&kind, &some_record, &somebody, slot);
	for (unsigned int i = JOURNAL_RECORD_BYTES; i < JOURNAL_SLOT_BYTES; i++) {
		/* A uid and a pid can be any; whether they are known, and what is 0, cannot. */
		bool is_number = i >= JOURNAL_RECORD_BYTES + 4 && i < JOURNAL_RECORD_BYTES + 12;
		slot[i] ^= 2;
		if (is_number)
			assert_int_equal(journal_unpack(&kind, slot, &record, &requester), 2);
		else
			assert_unreadable(slot, EBADMSG);
		slot[i] ^= 2;
	}
	/* Nobody has no uid. */
	slot[JOURNAL_RECORD_BYTES] = 0;
	assert_unreadable(slot, EBADMSG);
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
	uint8_t mine[JOURNAL_SLOT_BYTES], other[JOURNAL_SLOT_BYTES], found[JOURNAL_SLOT_BYTES];
	struct stat st;

	journal_pack(&kind, &some_record, &somebody, mine);
	journal_pack(&other_kind, &some_record, &somebody, other);
	assert_int_equal(journal_read(&kind, fd, 0, found), 0);
	assert_int_equal(journal_write(&kind, fd, 3, mine), 0);
	assert_int_equal(journal_write(&other_kind, fd, 1, other), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 6 * JOURNAL_SLOT_BYTES);

	assert_int_equal(journal_read(&kind, fd, 3, found), 1);
	assert_memory_equal(found, mine, sizeof(found));
	assert_int_equal(journal_read(&other_kind, fd, 1, found), 1);
	assert_memory_equal(found, other, sizeof(found));
	assert_int_equal(journal_read(&kind, fd, 4, found), 0);

	assert_int_equal(journal_erase(&other_kind, fd, 1), 0);
	assert_int_equal(journal_read(&other_kind, fd, 1, found), 1);
	for (unsigned int i = 0; i < sizeof(found); i++)
		assert_int_equal(found[i], 0);
	assert_int_equal(journal_read(&kind, fd, 3, found), 1);
	assert_memory_equal(found, mine, sizeof(found));
}

static void test_truncated_file(void **state)
{
	int fd = *(int *)*state;
	uint8_t slot[JOURNAL_SLOT_BYTES], found[JOURNAL_SLOT_BYTES] = {77};

	journal_pack(&other_kind, &some_record, &somebody, slot);
	assert_int_equal(journal_write(&other_kind, fd, 1, slot), 0);
	assert_int_equal(ftruncate(fd, 2 * JOURNAL_SLOT_BYTES - 1), 0);
	assert_fails(journal_read(&other_kind, fd, 1, found), EBADMSG);
	assert_int_equal(found[0], 77);
	assert_int_equal(ftruncate(fd, JOURNAL_SLOT_BYTES), 0);
	assert_int_equal(journal_read(&other_kind, fd, 1, found), 0);
}

static void test_file_errors(void **state)
{
	int fd = *(int *)*state;
	uint8_t slot[JOURNAL_SLOT_BYTES] = {0};
	char path[32];
	assert_fails(journal_read(&kind, -1, 0, slot), EBADF);
	assert_fails(journal_write(&kind, -1, 0, slot), EBADF);
	assert_fails(journal_erase(&kind, -1, 0), EBADF);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_fails(journal_write(&kind, read_only, 0, slot), EBADF);
	close(read_only);
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_fails(journal_write(&kind, full, 0, slot), ENOSPC);
	close(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_free_slot),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_requester),
		cmocka_unit_test_setup_teardown(test_file, open_file, close_file),
		cmocka_unit_test_setup_teardown(test_truncated_file, open_file, close_file),
		cmocka_unit_test_setup_teardown(test_file_errors, open_file, close_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
