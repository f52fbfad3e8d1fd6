/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "proto/limits.h"

enum { FLAG_REQUIRE_CACHE_ATTR = 1, FLAG_PINNED = 2, FLAG_PLACED = 4, FLAG_ADOPTED = 8 };

struct slot_v1 {
	uint32_t magic;
	uint16_t version;
	uint16_t length;
	uint64_t cookie;
	uint64_t vram_gfn;
	uint64_t backing_gfn;
	uint64_t nr_pages;
	uint32_t domid;
	uint32_t state;
	uint32_t cache_attr;
	uint32_t owner_uid;
	uint32_t flags;
	char uuid[UUID_BYTES];
} __attribute__((packed));

_Static_assert(sizeof(struct slot_v1) <= JOURNAL_SLOT_BYTES, "a record fits its slot");

void journal_encode(const struct region_record *record, uint8_t slot[JOURNAL_SLOT_BYTES])
{
	uint32_t flags = (record->require_cache_attr ? FLAG_REQUIRE_CACHE_ATTR : 0) |
			 (record->pinned ? FLAG_PINNED : 0) | (record->placed ? FLAG_PLACED : 0) |
			 (record->adopted ? FLAG_ADOPTED : 0);
	struct slot_v1 v1 = {
		.magic = htole32(JOURNAL_MAGIC),
		.version = htole16(JOURNAL_VERSION),
		.length = htole16(sizeof(v1)),
		.cookie = htole64(record->cookie),
		.vram_gfn = htole64(record->vram_gfn),
		.backing_gfn = htole64(record->backing_gfn),
		.nr_pages = htole64(record->nr_pages),
		.domid = htole32(record->domid),
		.state = htole32(record->state),
		.cache_attr = htole32(record->cache_attr),
		.owner_uid = htole32(record->owner_uid),
		.flags = htole32(flags),
	};
	memcpy(v1.uuid, record->uuid, sizeof(v1.uuid));
	memset(slot, 0, JOURNAL_SLOT_BYTES);
	memcpy(slot, &v1, sizeof(v1));
}

static bool is_plausible(const struct region_record *record)
{
	return record->cookie != 0 && record->nr_pages > 0 && record->nr_pages <= MAX_REGION_PAGES &&
	       record->vram_gfn <= MAX_GFN - record->nr_pages &&
	       record->backing_gfn <= MAX_GFN - record->nr_pages && record->domid <= MAX_DOMID &&
	       record->state < XENVRAM__V1__REGION_STATE__GONE &&
	       record->cache_attr <= XENVRAM__V1__CACHE_ATTR__WP;
}

int journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct region_record *ret_record)
{
	struct slot_v1 v1;
	memcpy(&v1, slot, sizeof(v1));
	if (le32toh(v1.magic) != JOURNAL_MAGIC)
		return 0;
	if (le16toh(v1.version) != JOURNAL_VERSION) {
		errno = ENOTSUP;
		return -1;
	}
	uint32_t flags = le32toh(v1.flags);
	struct region_record record = {
		.cookie = le64toh(v1.cookie),
		.vram_gfn = le64toh(v1.vram_gfn),
		.backing_gfn = le64toh(v1.backing_gfn),
		.nr_pages = le64toh(v1.nr_pages),
		.domid = le32toh(v1.domid),
		.state = le32toh(v1.state),
		.cache_attr = le32toh(v1.cache_attr),
		.owner_uid = le32toh(v1.owner_uid),
		.require_cache_attr = flags & FLAG_REQUIRE_CACHE_ATTR,
		.pinned = flags & FLAG_PINNED,
		.placed = flags & FLAG_PLACED,
		.adopted = flags & FLAG_ADOPTED,
	};
	memcpy(record.uuid, v1.uuid, sizeof(v1.uuid));
	if (le16toh(v1.length) != sizeof(v1) || record.uuid[UUID_BYTES - 1] != '\0' ||
		!is_plausible(&record)) {
		errno = EBADMSG;
		return -1;
	}
	*ret_record = record;
	return 1;
}

static int write_slot(int fd, unsigned int slot, const uint8_t bytes[JOURNAL_SLOT_BYTES])
{
	ssize_t n = pwrite(fd, bytes, JOURNAL_SLOT_BYTES, (off_t)slot * JOURNAL_SLOT_BYTES);
	if (n >= 0 && n != JOURNAL_SLOT_BYTES)
		errno = EIO;
	return n == JOURNAL_SLOT_BYTES ? 0 : -1;
}

int journal_write(int fd, unsigned int slot, const struct region_record *record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	journal_encode(record, bytes);
	return write_slot(fd, slot, bytes);
}

int journal_erase(int fd, unsigned int slot)
{
	static const uint8_t free_slot[JOURNAL_SLOT_BYTES];
	return write_slot(fd, slot, free_slot);
}

int journal_read(int fd, unsigned int slot, struct region_record *ret_record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	ssize_t n = pread(fd, bytes, sizeof(bytes), (off_t)slot * JOURNAL_SLOT_BYTES);
	if (n < 0)
		return -1;
	return n == JOURNAL_SLOT_BYTES ? journal_decode(bytes, ret_record) : 0;
}
