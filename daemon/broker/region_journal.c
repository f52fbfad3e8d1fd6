/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/region_journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/xenvram.pb-c.h"

enum {
	FLAG_REQUIRE_CACHE_ATTR = 1,
	FLAG_PINNED = 2, /* all of it; until version 2 */
	/* 4: earlier builds set it once all pages had been at vram */
	FLAG_ADOPTED = 8,
	/* since version 2 */
	FLAG_ENDING = 16,
	FLAG_BETWEEN = 32,
	FLAG_GOING_BACK = 64,
};

struct slot_v1 {
	struct journal_head head;
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

/* In pages of the region, of which there are no more than MAX_REGION_PAGES. */
struct slot_run {
	uint32_t first;
	uint32_t nr_pages;
} __attribute__((packed));

struct slot_v2 {
	struct slot_v1 v1;
	uint64_t old_vram_gfn;
	uint32_t frontier;
	uint32_t unsettled;
	struct slot_run going;
	uint32_t n_live;
	struct slot_run live[8];
} __attribute__((packed));

struct slot_v3 {
	struct slot_v2 v2;
	uint32_t pinned; /* bit i: live[i] */
} __attribute__((packed));

_Static_assert(MAX_REGION_EXTENTS == 8, "more extents are another version");
_Static_assert(MAX_REGION_PAGES <= UINT32_MAX, "larger regions are another version");
_Static_assert(sizeof(struct slot_v3) <= JOURNAL_RECORD_BYTES, "a record fits its slot");

const struct journal_kind region_journal = {
	.magic = 0x4a525658, /* "XVRJ" */
	.first_slot = 0,
	.n_slots = MAX_REGIONS,
	.version = 3,
	.length = {sizeof(struct slot_v1), sizeof(struct slot_v2), sizeof(struct slot_v3)},
};

static struct slot_run encode_run(struct extent run)
{
	return (struct slot_run){htole32(run.first), htole32(run.nr_pages)};
}

static struct extent decode_run(struct slot_run run)
{
	return (struct extent){le32toh(run.first), le32toh(run.nr_pages)};
}

static uint32_t encode_flags(const struct region_record *record)
{
	return (record->require_cache_attr ? FLAG_REQUIRE_CACHE_ATTR : 0) |
	       (record->adopted ? FLAG_ADOPTED : 0) | (record->ending ? FLAG_ENDING : 0) |
	       (record->between ? FLAG_BETWEEN : 0) | (record->going_back ? FLAG_GOING_BACK : 0);
}

static void encode_v1(const struct region_record *record, struct slot_v1 *v1)
{
	*v1 = (struct slot_v1){
		.cookie = htole64(record->cookie),
		.vram_gfn = htole64(record->vram_gfn),
		.backing_gfn = htole64(record->backing_gfn),
		.nr_pages = htole64(record->nr_pages),
		.domid = htole32(record->domid),
		.state = htole32(record->state),
		.cache_attr = htole32(record->cache_attr),
		.owner_uid = htole32(record->owner_uid),
		.flags = htole32(encode_flags(record)),
	};
	memcpy(v1->uuid, record->uuid, sizeof(v1->uuid));
}

/* What came to it with version 2. */
static void encode_v2(const struct region_record *record, struct slot_v2 *v2)
{
	v2->old_vram_gfn = htole64(record->old_vram_gfn);
	v2->frontier = htole32(record->frontier);
	v2->unsettled = htole32(record->unsettled);
	v2->going = encode_run(record->going);
	v2->n_live = htole32(record->live.n);
	for (unsigned int i = 0; i < record->live.n; i++)
		v2->live[i] = encode_run(record->live.run[i]);
}

void region_journal_encode(const struct region_record *record, uint8_t ret_slot[JOURNAL_SLOT_BYTES])
{
	struct slot_v3 v3 = {.pinned = htole32(record->pinned)};

	encode_v1(record, &v3.v2.v1);
	encode_v2(record, &v3.v2);
	journal_pack(&region_journal, &v3, &record->requester, ret_slot);
}

static void decode_v1(const struct slot_v1 *v1, struct region_record *record)
{
	uint32_t flags = le32toh(v1->flags);
	*record = (struct region_record){
		.cookie = le64toh(v1->cookie),
		.vram_gfn = le64toh(v1->vram_gfn),
		.backing_gfn = le64toh(v1->backing_gfn),
		.nr_pages = le64toh(v1->nr_pages),
		.domid = le32toh(v1->domid),
		.state = le32toh(v1->state),
		.cache_attr = le32toh(v1->cache_attr),
		.owner_uid = le32toh(v1->owner_uid),
		.require_cache_attr = flags & FLAG_REQUIRE_CACHE_ATTR,
		.adopted = flags & FLAG_ADOPTED,
	};
	memcpy(record->uuid, v1->uuid, sizeof(v1->uuid));
}

/* All extents, or none. */
static void complete_pins(const struct slot_v1 *v1, struct region_record *record)
{
	if (le32toh(v1->flags) & FLAG_PINNED)
		record->pinned = extents_bits(&record->live);
}

/* Whole, and how far its pages have come was not written. */
static void complete_v1(const struct slot_v1 *v1, struct region_record *record)
{
	record->live = extents_whole(record->nr_pages);
	complete_pins(v1, record);
	record->ending = record->state == XENVRAM__V1__REGION_STATE__DESTROYING ||
			 record->state == XENVRAM__V1__REGION_STATE__REGION_STUCK;
	if (record->state == XENVRAM__V1__REGION_STATE__ACTIVE)
		record->frontier = record->nr_pages;
	else
		record->unsettled = record->nr_pages;
}

static void decode_v2(const struct slot_v2 *v2, struct region_record *record)
{
	uint32_t flags = le32toh(v2->v1.flags), n_live = le32toh(v2->n_live);

	record->ending = flags & FLAG_ENDING;
	record->between = flags & FLAG_BETWEEN;
	record->going_back = flags & FLAG_GOING_BACK;
	record->old_vram_gfn = le64toh(v2->old_vram_gfn);
	record->frontier = le32toh(v2->frontier);
	record->unsettled = le32toh(v2->unsettled);
	record->going = decode_run(v2->going);
	record->live.n = n_live <= MAX_REGION_EXTENTS ? n_live : 0;
	for (unsigned int i = 0; i < record->live.n; i++)
		record->live.run[i] = decode_run(v2->live[i]);
}

/* What is being destroyed of it, if not all, is in one extent, and the rest is good again without it. */
static bool is_going_plausible(const struct region_record *record)
{
	struct extents left;
	uint64_t end = extent_end(record->going);

	if (record->going.nr_pages == 0)
		return record->going.first == 0 && record->state != XENVRAM__V1__REGION_STATE__SHRINKING;
	if (!extents_find(&record->live, record->going) ||
		extents_remove(&record->live, record->going, &left) < 0 || left.n == 0)
		return false;
	return record->state != XENVRAM__V1__REGION_STATE__SHRINKING ||
	       (record->frontier >= record->going.first && record->frontier + record->unsettled <= end);
}

static bool is_state_plausible(const struct region_record *record)
{
	switch (record->state) {
	case XENVRAM__V1__REGION_STATE__CREATING:
	case XENVRAM__V1__REGION_STATE__ACTIVE:
	case XENVRAM__V1__REGION_STATE__SHRINKING:
		return !record->between && !record->going_back && !record->ending;
	case XENVRAM__V1__REGION_STATE__DESTROYING:
		return !record->going_back;
	case XENVRAM__V1__REGION_STATE__REGION_STUCK:
		/* In one of three ways. */
		return !record->going_back &&
		       (record->ending || record->between != (record->going.nr_pages > 0));
	case XENVRAM__V1__REGION_STATE__MOVING:
		return record->between && !record->ending;
	default:
		return false;
	}
}

static bool is_plausible(const struct region_record *record)
{
	return record->cookie != 0 && record->nr_pages > 0 && record->nr_pages <= MAX_REGION_PAGES &&
	       record->vram_gfn <= MAX_GFN - record->nr_pages &&
	       record->backing_gfn <= MAX_GFN - record->nr_pages &&
	       record->old_vram_gfn <= MAX_GFN - record->nr_pages && record->domid <= MAX_DOMID &&
	       record->cache_attr <= XENVRAM__V1__CACHE_ATTR__WP && record->uuid[UUID_BYTES - 1] == '\0' &&
	       record->frontier <= record->nr_pages &&
	       record->unsettled <= record->nr_pages - record->frontier &&
	       extents_are_good(&record->live, record->nr_pages) && is_going_plausible(record) &&
	       record->pinned >> record->live.n == 0 && is_state_plausible(record);
}

int region_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct region_record *ret_record)
{
	struct slot_v3 v3;
	const struct slot_v2 *v2 = &v3.v2;
	struct region_record record;
	struct requester requester;
	int version = journal_unpack(&region_journal, slot, &v3, &requester);

	if (version <= 0)
		return version;
	decode_v1(&v2->v1, &record);
	record.requester = requester;
	if (version == 1)
		complete_v1(&v2->v1, &record);
	else
		decode_v2(v2, &record);
	if (version == 2)
		complete_pins(&v2->v1, &record);
	else if (version == 3)
		record.pinned = le32toh(v3.pinned);
	if (!is_plausible(&record)) {
		errno = EBADMSG;
		return -1;
	}
	*ret_record = record;
	return 1;
}

int region_journal_write(int fd, unsigned int slot, const struct region_record *record)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];

	region_journal_encode(record, bytes);
	return journal_write(&region_journal, fd, slot, bytes);
}
