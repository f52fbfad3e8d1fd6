/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/move_journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { FLAG_FORCE = 1 };

struct slot_v1 {
	struct journal_head head;
	uint64_t source;
	uint64_t destination;
	uint64_t nr_pages;
	uint32_t domid;
	uint32_t flags;
	char uuid[UUID_BYTES];
} __attribute__((packed));

_Static_assert(sizeof(struct slot_v1) <= JOURNAL_RECORD_BYTES, "a record fits its slot");

const struct journal_kind move_journal = {
	.magic = 0x4a4d5658, /* "XVMJ" */
	.first_slot = MAX_REGIONS + MAX_RAW_PINS,
	.n_slots = MAX_RAW_MOVES,
	.version = 1,
	.length = {sizeof(struct slot_v1)},
};

void move_journal_encode(const struct move_record *record, uint8_t ret_slot[JOURNAL_SLOT_BYTES])
{
	struct slot_v1 v1 = {
		.source = htole64(record->source),
		.destination = htole64(record->destination),
		.nr_pages = htole64(record->nr_pages),
		.domid = htole32(record->domid),
		.flags = htole32(record->force ? FLAG_FORCE : 0),
	};
	memcpy(v1.uuid, record->uuid, sizeof(v1.uuid));
	journal_pack(&move_journal, &v1, &record->requester, ret_slot);
}

static bool is_plausible(const struct move_record *record)
{
	struct extent source = {record->source, record->nr_pages};
	struct extent destination = {record->destination, record->nr_pages};
	return record->nr_pages > 0 && record->nr_pages <= MAX_REGION_PAGES &&
	       record->source <= MAX_GFN - record->nr_pages &&
	       record->destination <= MAX_GFN - record->nr_pages && !extents_overlap(source, destination) &&
	       record->domid <= MAX_DOMID && record->uuid[UUID_BYTES - 1] == '\0';
}

int move_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct move_record *ret_record)
{
	struct slot_v1 v1;
	struct requester requester;
	int version = journal_unpack(&move_journal, slot, &v1, &requester);

	if (version <= 0)
		return version;
	struct move_record record = {
		.source = le64toh(v1.source),
		.destination = le64toh(v1.destination),
		.nr_pages = le64toh(v1.nr_pages),
		.domid = le32toh(v1.domid),
		.force = le32toh(v1.flags) & FLAG_FORCE,
		.requester = requester,
	};
	memcpy(record.uuid, v1.uuid, sizeof(v1.uuid));
	if (!is_plausible(&record)) {
		errno = EBADMSG;
		return -1;
	}
	*ret_record = record;
	return 1;
}

int move_journal_write(int fd, unsigned int slot, const struct move_record *record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];

	move_journal_encode(record, bytes);
	return journal_write(&move_journal, fd, slot, bytes);
}
