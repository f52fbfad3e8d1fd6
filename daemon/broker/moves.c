/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/moves.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/broker/policy.h"
#include "daemon/broker/slots.h"

#define CONFLICT XENVRAM__V1__STATUS__CONFLICT

void moves_init(struct moves *moves)
{
	*moves = (struct moves){.last_id = 0};
	LIST_INIT(&moves->list);
}

void moves_deinit(struct moves *moves)
{
	while (!LIST_EMPTY(&moves->list))
		moves_remove(moves, LIST_FIRST(&moves->list));
}

/* ---- may it be? ---- */

/* Moves that are under way, and those that a later reader of the journal would take for such. */
static int check_moves(
	const struct moves *moves, uint32_t domid, const struct claim *range, struct failure *failure)
{
	const struct move *move;

	LIST_FOREACH(move, &moves->list, link) {
		const struct move_record *record = &move->record;
		if (record->domid != domid)
			continue;
		if (extents_overlap((struct extent){record->source, record->nr_pages}, range->gfns) ||
			extents_overlap((struct extent){record->destination, record->nr_pages}, range->gfns))
			return failure_set(failure, CONFLICT, EBUSY,
				"domain %u: %s 0x%" PRIx64 " + %" PRIu64 " pages overlaps what %s, %" PRIu64
				" pages from 0x%" PRIx64 " to 0x%" PRIx64 "; ask again",
				domid, range->name, range->gfns.first, range->gfns.nr_pages,
				move->over ? "was being moved, and cannot be erased from the journal"
					   : "is being moved",
				record->nr_pages, record->source, record->destination);
	}
	return 0;
}

int moves_admit(const struct moves *moves, const struct region_table *regions,
	const struct move_record *record, struct failure *failure)
{
	const struct claim ranges[] = {
		{"source", {record->source, record->nr_pages}},
		{"destination", {record->destination, record->nr_pages}},
	};
	const struct move *move;
	unsigned int n = 0;
	char who[48];

	for (size_t i = 0; i < 2; i++) {
		if (region_table_admit_claim(regions, record->domid, &ranges[i], EBUSY, failure) < 0 ||
			check_moves(moves, record->domid, &ranges[i], failure) < 0)
			return -1;
	}
	LIST_FOREACH(move, &moves->list, link)
		n++;
	snprintf(who, sizeof(who), "domain %u", record->domid);
	if (policy_admit_fixed(POLICY_FIXED(MAX_RAW_MOVES_PER_DOMAIN, "moves under way", "wait for one"), who,
		    moves_count(moves, record->domid), 1, failure) < 0)
		return -1;
	snprintf(who, sizeof(who), "domain %u: this host", record->domid);
	return policy_admit_fixed(
		POLICY_FIXED(MAX_RAW_MOVES, "moves under way", "wait for one"), who, n, 1, failure);
}

int moves_admit_region(const struct moves *moves, const struct region_record *record, uint64_t vram_gfn,
	struct failure *failure)
{
	struct region_record there = *record;
	struct claim claims[MAX_CLAIMS];

	there.vram_gfn = vram_gfn;
	unsigned int n = region_record_claims(&there, claims);
	for (unsigned int i = 0; i < n; i++) {
		if (check_moves(moves, record->domid, &claims[i], failure) < 0)
			return -1;
	}
	return 0;
}

struct region *moves_find_region(const struct region_table *regions, const struct move_record *record)
{
	struct region *region;

	LIST_FOREACH(region, &regions->regions, link) {
		const struct region_record *of = &region->record;
		if (of->domid == record->domid && of->state == XENVRAM__V1__REGION_STATE__ACTIVE &&
			!of->adopted && of->backing_gfn == record->source &&
			of->nr_pages == record->nr_pages && extents_n_pages(&of->live) == of->nr_pages)
			return region;
	}
	return NULL;
}

/* ---- the table ---- */

void moves_reserve(struct moves *moves, unsigned int slot)
{
	moves->slots[slot] = true;
}

struct move *moves_add(struct moves *moves, const struct move_record *record, unsigned int slot)
{
	struct move *move = calloc(1, sizeof(*move));
	if (!move || slots_take(moves->slots, MAX_RAW_MOVES, &slot) < 0) {
		free(move);
		return NULL;
	}
	move->record = *record;
	move->slot = slot;
	move->id = ++moves->last_id;
	LIST_INSERT_HEAD(&moves->list, move, link);
	return move;
}

struct move *moves_find(const struct moves *moves, uint64_t id)
{
	struct move *move;
	LIST_FOREACH(move, &moves->list, link) {
		if (move->id == id)
			return move;
	}
	return NULL;
}

void moves_remove(struct moves *moves, struct move *move)
{
	LIST_REMOVE(move, link);
	moves->slots[move->slot] = false;
	free(move);
}

unsigned int moves_count(const struct moves *moves, uint32_t domid)
{
	const struct move *move;
	unsigned int n = 0;
	LIST_FOREACH(move, &moves->list, link)
		n += move->record.domid == domid;
	return n;
}
