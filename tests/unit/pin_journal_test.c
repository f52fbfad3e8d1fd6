/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/mman.h>

#include "daemon/broker/pin_journal.h"
#include "daemon/broker/region_journal.h"
#include "tests/unit/same_requester.h"

static struct pin_record some_record(void)
{
	struct pin_record record = {
		.domid = 0x7abc,
		.gfns = {0xf12345678, 0x1234},
		.cache_attr = XENVRAM__V1__CACHE_ATTR__WP,
		.old_cache_attr = XENVRAM__V1__CACHE_ATTR__UC,
		.state = PIN_DELETING,
		.owner_uid = 65534,
	};
	memset(record.uuid, 'u', sizeof(record.uuid) - 1);
	return record;
}

static void assert_same(const struct pin_record *a, const struct pin_record *b)
{
	assert_int_equal(a->domid, b->domid);
	assert_string_equal(a->uuid, b->uuid);
	assert_true(a->gfns.first == b->gfns.first);
	assert_true(a->gfns.nr_pages == b->gfns.nr_pages);
	assert_int_equal(a->cache_attr, b->cache_attr);
	assert_int_equal(a->old_cache_attr, b->old_cache_attr);
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->owner_uid, b->owner_uid);
	assert_same_requester(&a->requester, &b->requester);
}

/* What version 1 wrote, byte by byte: it is read for ever. */
static void test_golden(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct pin_record expected = some_record(), found;

	int fd = open(XENVRAM_GOLDEN "/pin-journal-1", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, slot, sizeof(slot)), sizeof(slot));
	close(fd);
	assert_int_equal(pin_journal_decode(slot, &found), 1);
	assert_same(&expected, &found);
	uint8_t written[JOURNAL_SLOT_BYTES];
	pin_journal_encode(&expected, written);
	assert_memory_equal(written, slot, sizeof(slot));
}

/* Each state that there is, with a type from before or none, and with who asked. */
static void test_golden_states(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES], written[JOURNAL_SLOT_BYTES];
	struct pin_record expected = some_record(), found;

	int fd = open(XENVRAM_GOLDEN "/pin-journal-1-states", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (unsigned int i = 0; i < 2 * N_PIN_STATES; i++) {
		expected.state = i / 2;
		expected.old_cache_attr = i % 2 == 0 ? NO_CACHE_ATTR : XENVRAM__V1__CACHE_ATTR__WT;
		expected.requester = (struct requester){.uid = 65534 + i, .pid = 4711 + i, .known = true};
		assert_int_equal(read(fd, slot, sizeof(slot)), sizeof(slot));
		assert_int_equal(pin_journal_decode(slot, &found), 1);
		assert_same(&expected, &found);
		pin_journal_encode(&expected, written);
		assert_memory_equal(written, slot, sizeof(slot));
	}
	assert_int_equal(read(fd, slot, 1), 0);
	close(fd);
}

static void test_round_trip(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	for (unsigned int i = 0; i < N_PIN_STATES; i++) {
		struct pin_record before = some_record(), after;
		before.state = i;
		before.requester = (struct requester){65534, 1, true};
		before.old_cache_attr = i == 0 ? NO_CACHE_ATTR : XENVRAM__V1__CACHE_ATTR__WB;
		memset(slot, 0xff, sizeof(slot));
		pin_journal_encode(&before, slot);
		assert_int_equal(pin_journal_decode(slot, &after), 1);
		assert_same(&before, &after);
	}
}

static void assert_undecodable(const uint8_t *slot, int error)
{
	struct pin_record record = {.domid = 77};
	assert_fails(pin_journal_decode(slot, &record), error);
	assert_int_equal(record.domid, 77);
}

static void test_what_cannot_be_true(void **state)
{
	(void)state;
	uint8_t slot[JOURNAL_SLOT_BYTES];
	const struct pin_record good = some_record();
	struct pin_record bad[8];

	for (size_t i = 0; i < 8; i++)
		bad[i] = good;
	bad[0].gfns.nr_pages = 0;
	bad[1].gfns.nr_pages = MAX_GFN;
	bad[2].gfns.first = UINT64_MAX;
	bad[3].domid = MAX_DOMID + 1;
	bad[4].state = N_PIN_STATES;
	bad[5].cache_attr = XENVRAM__V1__CACHE_ATTR__WP + 1;
	bad[6].old_cache_attr = XENVRAM__V1__CACHE_ATTR__WP + 1;
	memset(bad[7].uuid, 'u', sizeof(bad[7].uuid));
	for (size_t i = 0; i < 8; i++) {
		pin_journal_encode(&bad[i], slot);
		assert_undecodable(slot, EBADMSG);
	}
}

/* Any bytes: no crash, and what is read can be written and read again. */
static void test_random(void **state)
{
	(void)state;
	uint64_t random = 4711;
	uint8_t slot[JOURNAL_SLOT_BYTES], again[JOURNAL_SLOT_BYTES];
	struct pin_record record = some_record(), other;

	for (unsigned int i = 0; i < 20000; i++) {
		pin_journal_encode(&record, slot);
		for (unsigned int k = 0; k < 3; k++)
			slot[next_random(&random) % 120] = next_random(&random);
		if (pin_journal_decode(slot, &other) <= 0)
			continue;
		pin_journal_encode(&other, again);
		assert_memory_equal(again, slot, 44);
	}
}

static int read_slot(int fd, unsigned int slot, struct pin_record *ret_record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	int n = journal_read(&pin_journal, fd, slot, bytes);
	return n > 0 ? pin_journal_decode(bytes, ret_record) : n;
}

static void test_file(void **state)
{
	(void)state;
	int fd = memfd_create("journal", MFD_CLOEXEC);
	struct pin_record pin = some_record(), found;
	struct region_record region = {.cookie = 1, .nr_pages = 1, .live = extents_whole(1)};

	assert_int_equal(pin_journal_write(fd, 3, &pin), 0);
	assert_int_equal(read_slot(fd, 3, &found), 1);
	assert_same(&pin, &found);
	assert_int_equal(read_slot(fd, 2, &found), 0);
	/* Apart from the regions' slots, whatever they are. */
	for (unsigned int slot = 0; slot < MAX_REGIONS; slot++)
		assert_int_equal(region_journal_write(fd, slot, &region), 0);
	assert_int_equal(read_slot(fd, 3, &found), 1);
	assert_int_equal(journal_erase(&pin_journal, fd, 3), 0);
	assert_int_equal(read_slot(fd, 3, &found), 0);
	close(fd);
	assert_fails(pin_journal_write(fd, 3, &pin), EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_golden_states),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_what_cannot_be_true),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
