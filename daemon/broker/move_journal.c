/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/move_journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { FLAG_FORCE = 1 };

struct slot_v1 {
	uint32_t magic;
	uint16_t version;
	uint16_t length;
	uint64_t source;
	uint64_t destination;
	uint64_t nr_pages;
	uint32_t domid;
	uint32_t flags;
	char uuid[UUID_BYTES];
} __attribute__((packed));

_Static_assert(sizeof(struct slot_v1) <= JOURNAL_RECORD_BYTES, "a record fits its slot");

void move_journal_encode(const struct move_record *record, uint8_t slot[JOURNAL_SLOT_BYTES])
{
	struct slot_v1 v1 = {
		.magic = htole32(MOVE_JOURNAL_MAGIC),
		.version = htole16(MOVE_JOURNAL_VERSION),
		.length = htole16(sizeof(v1)),
		.source = htole64(record->source),
		.destination = htole64(record->destination),
		.nr_pages = htole64(record->nr_pages),
		.domid = htole32(record->domid),
		.flags = htole32(record->force ? FLAG_FORCE : 0),
	};
	memcpy(v1.uuid, record->uuid, sizeof(v1.uuid));
	memset(slot, 0, JOURNAL_SLOT_BYTES);
	memcpy(slot, &v1, sizeof(v1));
	journal_encode_requester(&record->requester, slot);
}

static bool is_plausible(const struct move_record *record)
{
	struct extent source = {record->source, record->nr_pages};
	struct extent destination = {record->destination, record->nr_pages};
	return record->nr_pages > 0 && record->nr_pages <= MAX_REGION_PAGES &&
	       record->source <= MAX_GFN - record->nr_pages &&
	       record->destination <= MAX_GFN - record->nr_pages &&
	       extent_overlap(source, destination).nr_pages == 0 && record->domid <= MAX_DOMID &&
	       record->uuid[UUID_BYTES - 1] == '\0';
}

int move_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct move_record *ret_record)
{
	struct slot_v1 v1;
	memcpy(&v1, slot, sizeof(v1));
	if (le32toh(v1.magic) != MOVE_JOURNAL_MAGIC)
		return 0;
	if (le16toh(v1.version) != MOVE_JOURNAL_VERSION) {
		errno = ENOTSUP;
		return -1;
	}
	struct move_record record = {
		.source = le64toh(v1.source),
		.destination = le64toh(v1.destination),
		.nr_pages = le64toh(v1.nr_pages),
		.domid = le32toh(v1.domid),
		.force = le32toh(v1.flags) & FLAG_FORCE,
	};
	memcpy(record.uuid, v1.uuid, sizeof(v1.uuid));
	if (le16toh(v1.length) != sizeof(v1) || !is_plausible(&record)) {
		errno = EBADMSG;
		return -1;
	}
	if (journal_decode_requester(slot, &record.requester) < 0)
		return -1;
	*ret_record = record;
	return 1;
}

int move_journal_write(int fd, unsigned int slot, const struct move_record *record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	move_journal_encode(record, bytes);
	return journal_write_slot(fd, MOVE_JOURNAL_FIRST_SLOT + slot, bytes);
}

int move_journal_erase(int fd, unsigned int slot)
{
	return journal_erase(fd, MOVE_JOURNAL_FIRST_SLOT + slot);
}

int move_journal_read(int fd, unsigned int slot, struct move_record *ret_record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	int n = journal_read_slot(fd, MOVE_JOURNAL_FIRST_SLOT + slot, bytes);
	return n > 0 ? move_journal_decode(bytes, ret_record) : n;
}
