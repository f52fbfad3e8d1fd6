/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/pin_journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

struct slot_v1 {
	uint32_t magic;
	uint16_t version;
	uint16_t length;
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

void pin_journal_encode(const struct pin_record *record, uint8_t slot[JOURNAL_SLOT_BYTES])
{
	struct slot_v1 v1 = {
		.magic = htole32(PIN_JOURNAL_MAGIC),
		.version = htole16(PIN_JOURNAL_VERSION),
		.length = htole16(sizeof(v1)),
		.first_gfn = htole64(record->gfns.first),
		.nr_pages = htole64(record->gfns.nr_pages),
		.domid = htole32(record->domid),
		.state = htole32(record->state),
		.cache_attr = htole32(record->cache_attr),
		.old_cache_attr = htole32(record->old_cache_attr),
		.owner_uid = htole32(record->owner_uid),
	};
	memcpy(v1.uuid, record->uuid, sizeof(v1.uuid));
	memset(slot, 0, JOURNAL_SLOT_BYTES);
	memcpy(slot, &v1, sizeof(v1));
	journal_encode_requester(&record->requester, slot);
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
	memcpy(&v1, slot, sizeof(v1));
	if (le32toh(v1.magic) != PIN_JOURNAL_MAGIC)
		return 0;
	if (le16toh(v1.version) != PIN_JOURNAL_VERSION) {
		errno = ENOTSUP;
		return -1;
	}
	struct pin_record record = {
		.gfns = {le64toh(v1.first_gfn), le64toh(v1.nr_pages)},
		.domid = le32toh(v1.domid),
		.state = le32toh(v1.state),
		.cache_attr = le32toh(v1.cache_attr),
		.old_cache_attr = le32toh(v1.old_cache_attr),
		.owner_uid = le32toh(v1.owner_uid),
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

int pin_journal_write(int fd, unsigned int slot, const struct pin_record *record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	pin_journal_encode(record, bytes);
	return journal_write_slot(fd, PIN_JOURNAL_FIRST_SLOT + slot, bytes);
}

int pin_journal_erase(int fd, unsigned int slot)
{
	return journal_erase(fd, PIN_JOURNAL_FIRST_SLOT + slot);
}

int pin_journal_read(int fd, unsigned int slot, struct pin_record *ret_record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	int n = journal_read_slot(fd, PIN_JOURNAL_FIRST_SLOT + slot, bytes);
	return n > 0 ? pin_journal_decode(bytes, ret_record) : n;
}
