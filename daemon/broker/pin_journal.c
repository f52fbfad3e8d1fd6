/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/pin_journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

struct slot_v1 {
	struct journal_head head;
	uint64_t first_gfn;
	uint64_t nr_pages;
	uint32_t domid;
	uint32_t state;
	uint32_t cache_attr;
	uint32_t old_cache_attr;
	uint32_t owner_uid;
	char uuid[UUID_BYTES];
} __attribute__((packed));

_Static_assert(sizeof(struct slot_v1) <= JOURNAL_RECORD_BYTES, "a record fits its slot");

const struct journal_kind pin_journal = {
	.magic = 0x4a505658, /* "XVPJ" */
	.first_slot = MAX_REGIONS,
	.n_slots = MAX_RAW_PINS,
	.version = 1,
	.length = {sizeof(struct slot_v1)},
};

void pin_journal_encode(const struct pin_record *record, uint8_t ret_slot[JOURNAL_SLOT_BYTES])
{
	struct slot_v1 v1 = {
		.first_gfn = htole64(record->gfns.first),
		.nr_pages = htole64(record->gfns.nr_pages),
		.domid = htole32(record->domid),
		.state = htole32(record->state),
		.cache_attr = htole32(record->cache_attr),
		.old_cache_attr = htole32(record->old_cache_attr),
		.owner_uid = htole32(record->owner_uid),
	};
	memcpy(v1.uuid, record->uuid, sizeof(v1.uuid));
	journal_pack(&pin_journal, &v1, &record->requester, ret_slot);
}

static bool is_plausible(const struct pin_record *record)
{
	return record->gfns.nr_pages > 0 && record->gfns.nr_pages <= MAX_GFN &&
	       record->gfns.first <= MAX_GFN - record->gfns.nr_pages && record->domid <= MAX_DOMID &&
	       record->state < N_PIN_STATES && record->cache_attr <= XENVRAM__V1__CACHE_ATTR__WP &&
	       (record->old_cache_attr <= XENVRAM__V1__CACHE_ATTR__WP ||
		       record->old_cache_attr == NO_CACHE_ATTR) &&
	       record->uuid[UUID_BYTES - 1] == '\0';
}

int pin_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct pin_record *ret_record)
{
	struct slot_v1 v1;
	struct requester requester;
	int version = journal_unpack(&pin_journal, slot, &v1, &requester);

	if (version <= 0)
		return version;
	struct pin_record record = {
		.gfns = {le64toh(v1.first_gfn), le64toh(v1.nr_pages)},
		.domid = le32toh(v1.domid),
		.state = le32toh(v1.state),
		.cache_attr = le32toh(v1.cache_attr),
		.old_cache_attr = le32toh(v1.old_cache_attr),
		.owner_uid = le32toh(v1.owner_uid),
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

int pin_journal_write(int fd, unsigned int slot, const struct pin_record *record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];

	pin_journal_encode(record, bytes);
	return journal_write(&pin_journal, fd, slot, bytes);
}
