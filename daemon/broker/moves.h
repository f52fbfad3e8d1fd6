/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that a client moves from one range of gfns to another, outside of regions: which moves there are,
 * whether another one may begin, and what is to be done next for each.
 *
 *     check -> loosen -> shift, a chunk at a time -> settle -> end
 *
 * The first refusal, or the death of a worker, has all of it moved back (back), from the last chunk that
 * was begun on. What does not move back is told by a map of the pages. Loosen and settle stop tracking, so
 * that whoever follows these gfns sees all dirty. No I/O.
 */
#ifndef XENVRAM_BROKER_MOVES_H
#define XENVRAM_BROKER_MOVES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/broker/region_table.h"
#include "proto/internal.pb-c.h"

/* What a move is: all of it goes into the journal, once it has begun and until it has ended. */
struct move_record {
	uint32_t domid;
	char uuid[UUID_BYTES]; /* empty until its worker is known */
	uint64_t source;
	uint64_t destination;
	uint64_t nr_pages;
	bool force; /* pages at the destination are dropped */
	struct requester requester;
};

enum move_stage { MOVE_CHECK, MOVE_LOOSEN, MOVE_SHIFT, MOVE_BACK, MOVE_MAP, MOVE_SETTLE, MOVE_END };

struct move {
	LIST_ENTRY(move) link; /* moves::list */
	struct move_record record;
	struct domain *domain;
	unsigned int slot; /* of those for moves in the journal */
	uint64_t id;       /* for the worker */
	bool journaled;    /* the slot is written */
	bool at_work;      /* a step of it is with the worker */
	bool over;         /* it has ended, and the journal cannot be made to forget it yet */
	struct asker asker;

	enum move_stage stage;
	uint64_t frontier;  /* pages below it were shifted; going back: those from it on were looked at */
	uint64_t n_stuck;   /* pages that did not go back, */
	int stuck_error;    /* and why */
	uint64_t n_missing; /* pages that were nowhere then */
	bool failed;
	struct failure failure;
};

struct moves {
	LIST_HEAD(, move) list;
	uint64_t last_id;
	bool slots[MAX_RAW_MOVES]; /* in use */
};

void moves_init(struct moves *moves);
void moves_deinit(struct moves *moves);

/*
 * May this move begin? 0, or -1 with CONFLICT naming the region or the other move in the way, or LIMIT. The
 * ranges were checked for themselves before (proto/check.h).
 */
int moves_admit(const struct moves *moves, const struct region_table *regions,
	const struct move_record *record, struct failure *failure);
/* May the region, with its vram there, be where no page is on its way? 0, or -1 with CONFLICT. */
int moves_admit_region(const struct moves *moves, const struct region_record *record, uint64_t vram_gfn,
	struct failure *failure);
/*
 * The region that this move is really about: the guest has moved its framebuffer, and the device model still
 * calls the pages by the gfns they came from. NULL: none.
 */
struct region *moves_find_region(const struct region_table *regions, const struct move_record *record);

/* Adds it in `slot`, or in a free one when slot is MAX_RAW_MOVES. NULL with errno: ENOMEM, EEXIST, ENOSPC. */
struct move *moves_add(struct moves *moves, const struct move_record *record, unsigned int slot);
/* The slot holds what this build cannot read: no move is put there. */
void moves_reserve(struct moves *moves, unsigned int slot);
struct move *moves_find(const struct moves *moves, uint64_t id);
void moves_remove(struct moves *moves, struct move *move);
unsigned int moves_count(const struct moves *moves, uint32_t domid);

/* ---- step by step ---- */

/* One that an earlier broker began: it is moved back. */
void move_begin_inherited(struct move *move);
/* The pages that are to be shifted now, forward or back. */
struct extent move_chunk(const struct move *move);
/* Must the record be in the journal before this step? */
bool move_is_journaled(const struct move *move);
/* The journal cannot be written before a first page has moved: it ends. */
void move_call_off(struct move *move, const struct failure *failure);
/* Its end cannot be written: a later reader of the journal would take it back, and so it goes back now. */
void move_unended(struct move *move, const struct failure *failure);
/* The worker died. A check is done again; what has begun to move goes back, because of `lost`. */
void move_resume(struct move *move, const struct failure *lost);
/* The worker's answer to the step; failure NULL: it is done. */
void move_answered(struct move *move, const Xenvram__Internal__Done *done, const struct failure *failure);

#endif
