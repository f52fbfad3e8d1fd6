/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/region_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "daemon/broker/slots.h"
#include "daemon/common/fd.h"
#include "proto/limits.h"

int region_table_init(struct region_table *table, unsigned int n_slots)
{
	*table = (struct region_table){.n_slots = n_slots, .slots = calloc(n_slots, sizeof(bool))};
	LIST_INIT(&table->regions);
	return table->slots ? 0 : -1;
}

void region_table_deinit(struct region_table *table)
{
	while (!LIST_EMPTY(&table->regions))
		region_table_remove(table, LIST_FIRST(&table->regions));
	free(table->slots);
	table->slots = NULL;
}

static int check_claim(uint32_t domid, const struct claim *mine, const struct region_record *other,
	int os_error, struct failure *failure)
{
	struct claim theirs[MAX_CLAIMS];
	unsigned int n = region_record_claims(other, theirs);

	for (unsigned int i = 0; i < n; i++) {
		if (extents_overlap(mine->gfns, theirs[i].gfns))
			return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, os_error,
				"domain %u: %s 0x%" PRIx64 " + %" PRIu64 " pages overlaps the %s 0x%" PRIx64
				" + %" PRIu64 " pages of region 0x%" PRIx64,
				domid, mine->name, mine->gfns.first, mine->gfns.nr_pages, theirs[i].name,
				theirs[i].gfns.first, theirs[i].gfns.nr_pages, other->cookie);
	}
	return 0;
}

int region_table_admit_claim(const struct region_table *table, uint32_t domid, const struct claim *claim,
	int os_error, struct failure *failure)
{
	const struct region *region;

	LIST_FOREACH(region, &table->regions, link) {
		if (region->record.domid == domid &&
			check_claim(domid, claim, &region->record, os_error, failure) < 0)
			return -1;
	}
	return 0;
}

static unsigned int count(const struct region_table *table, uint32_t domid, bool tracked_only)
{
	const struct region *region;
	unsigned int n = 0;
	LIST_FOREACH(region, &table->regions, link)
		n += region->record.domid == domid && region->record.tracked_only == tracked_only;
	return n;
}

unsigned int region_table_count(const struct region_table *table, uint32_t domid)
{
	return count(table, domid, false);
}

unsigned int region_table_count_ranges(const struct region_table *table, uint32_t domid)
{
	return count(table, domid, true);
}

uint64_t region_table_pages(const struct region_table *table, uint32_t domid)
{
	const struct region *region;
	uint64_t n = 0;
	LIST_FOREACH(region, &table->regions, link) {
		if (region->record.domid == domid && !region->record.tracked_only)
			n += region->record.nr_pages;
	}
	return n;
}

static int admit_claims(const struct region_table *table, uint32_t domid, const struct claim *claims,
	unsigned int n, struct failure *failure)
{
	for (unsigned int i = 0; i < n; i++) {
		if (region_table_admit_claim(table, domid, &claims[i], EEXIST, failure) < 0)
			return -1;
	}
	return 0;
}

int region_table_admit(
	const struct region_table *table, const struct region_record *record, struct failure *failure)
{
	struct claim claims[MAX_CLAIMS];
	return admit_claims(table, record->domid, claims, region_record_claims(record, claims), failure);
}

int region_table_admit_move(const struct region_table *table, const struct region_record *record,
	uint64_t new_vram_gfn, struct failure *failure)
{
	struct claim claims[MAX_REGION_EXTENTS];
	for (unsigned int i = 0; i < record->live.n; i++) {
		struct extent run = record->live.run[i];
		claims[i] = (struct claim){"new vram", {new_vram_gfn + run.first, run.nr_pages}};
	}
	return admit_claims(table, record->domid, claims, record->live.n, failure);
}

void region_table_reserve(struct region_table *table, unsigned int slot)
{
	table->slots[slot] = true;
}

static void insert_sorted(struct region_table *table, struct region *region)
{
	struct region *other, *before = NULL;
	LIST_FOREACH(other, &table->regions, link) {
		if (other->record.cookie > region->record.cookie)
			break;
		before = other;
	}
	if (before)
		LIST_INSERT_AFTER(before, region, link);
	else
		LIST_INSERT_HEAD(&table->regions, region, link);
	table->n_regions += !region->record.tracked_only;
}

struct region *region_table_add(
	struct region_table *table, const struct region_record *record, unsigned int slot)
{
	if (region_table_find(table, record->cookie)) {
		errno = EEXIST;
		return NULL;
	}
	struct region *region = calloc(1, sizeof(*region));
	if (!region || (slot != REGION_NO_SLOT && slots_take(table->slots, table->n_slots, &slot) < 0)) {
		free(region);
		return NULL;
	}
	region->record = *record;
	region->slot = slot;
	region->log_fd = -1;
	LIST_INIT(&region->subscriptions);
	STAILQ_INIT(&region->poll_waiters);
	insert_sorted(table, region);
	return region;
}

struct region *region_table_find(const struct region_table *table, uint64_t cookie)
{
	struct region *region;
	LIST_FOREACH(region, &table->regions, link) {
		if (region->record.cookie == cookie)
			return region;
	}
	return NULL;
}

void region_table_remove(struct region_table *table, struct region *region)
{
	LIST_REMOVE(region, link);
	if (region->slot != REGION_NO_SLOT)
		table->slots[region->slot] = false;
	table->n_regions -= !region->record.tracked_only;
	while (!STAILQ_EMPTY(&region->poll_waiters)) {
		struct poll_waiter *waiter = STAILQ_FIRST(&region->poll_waiters);
		STAILQ_REMOVE_HEAD(&region->poll_waiters, link);
		free(waiter);
	}
	region_log_unmap(&region->log);
	fd_close(region->log_fd);
	free(region);
}
