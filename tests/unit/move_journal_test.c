/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/mman.h>

#include "daemon/broker/move_journal.h"
#include "daemon/broker/pin_journal.h"
#include "tests/unit/same_requester.h"

static struct move_record some_record(void)
{
	struct move_record record = {
		.domid = 0x7abc,
		.source = 0x123456789,
		.destination = 0xf12345678,
		.nr_pages = 0x1234,
		.force = true,
	};
	memset(record.uuid, 'u', sizeof(record.uuid) - 1);
	return record;
}

static void assert_same(const struct move_record *a, const struct move_record *b)
{
	assert_int_equal(a->domid, b->domid);
	assert_string_equal(a->uuid, b->uuid);
	assert_true(a->source == b->source);
	assert_true(a->destination == b->destination);
	assert_true(a->nr_pages == b->nr_pages);
	assert_int_equal(a->force, b->force);
	assert_same_requester(&a->requester, &b->requester);
}

/* What version 1 wrote, byte by byte: it is read for ever. */
static void assert_golden(const char *path, const struct move_record *expected)
{
	uint8_t slot[JOURNAL_SLOT_BYTES], written[JOURNAL_SLOT_BYTES];
	struct move_record found;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, slot, sizeof(slot)), sizeof(slot));
	close(fd);
	assert_int_equal(move_journal_decode(slot, &found), 1);
	assert_same(expected, &found);
	move_journal_encode(expected, written);
	assert_memory_equal(written, slot, sizeof(slot));
}

static void test_golden(void **state)
{
	(void)state;
	struct move_record record = some_record();

	assert_golden(XENVRAM_GOLDEN "/move-journal-1", &record);
	record.force = false;
	record.requester = (struct requester){.uid = 65534, .pid = 4711, .known = true};
	assert_golden(XENVRAM_GOLDEN "/move-journal-1-plain", &record);
}

static void assert_undecodable(const uint8_t *slot, int error)
{
	struct move_record record = {.domid = 77};
	assert_fails(move_journal_decode(slot, &record), error);
	assert_int_equal(record.domid, 77);
}

static void test_round_trip(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct move_record move = some_record(), found;

	move.force = false;
	move.requester = (struct requester){65534, 1, true};
	move_journal_encode(&move, slot);
	assert_int_equal(move_journal_decode(slot, &found), 1);
	assert_same(&move, &found);
}

static void test_what_cannot_be_true(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	const struct move_record good = some_record();
	struct move_record bad[7];

	for (size_t i = 0; i < 7; i++)
		bad[i] = good;
	bad[0].nr_pages = 0;
	bad[1].nr_pages = MAX_REGION_PAGES + 1;
	bad[2].source = MAX_GFN - good.nr_pages + 1;
	bad[3].destination = UINT64_MAX;
	bad[4].destination = good.source + good.nr_pages - 1;
	bad[5].domid = MAX_DOMID + 1;
	memset(bad[6].uuid, 'u', sizeof(bad[6].uuid));
	for (size_t i = 0; i < 7; i++) {
		move_journal_encode(&bad[i], slot);
		assert_undecodable(slot, EBADMSG);
	}
}

static int read_slot(int fd, unsigned int slot, struct move_record *ret_record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	int n = journal_read(&move_journal, fd, slot, bytes);
	return n > 0 ? move_journal_decode(bytes, ret_record) : n;
}

static void test_file(void **state)
{
	(void)state;
	int fd = memfd_create("journal", MFD_CLOEXEC);
	struct move_record move = some_record(), found;
	struct pin_record pin = {.gfns = {1, 1}, .old_cache_attr = NO_CACHE_ATTR};

	assert_int_equal(move_journal_write(fd, 3, &move), 0);
	/* Apart from the slots of pins, whatever they are. */
	for (unsigned int slot = 0; slot < MAX_RAW_PINS; slot++)
		assert_int_equal(pin_journal_write(fd, slot, &pin), 0);
	assert_int_equal(read_slot(fd, 3, &found), 1);
	assert_same(&move, &found);
	assert_int_equal(journal_erase(&move_journal, fd, 3), 0);
	assert_int_equal(read_slot(fd, 3, &found), 0);
	close(fd);
	assert_fails(move_journal_write(fd, 3, &move), EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_what_cannot_be_true),
		cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
