/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is being done to a region, step by step: creating it, moving it, destroying all of it or a part, and
 * undoing the first two. A task says what the worker is to do next and takes its answer in; whatever fails,
 * or dies, it knows from the record how to go on. It decides and does nothing itself.
 *
 *     check -> loosen -> shift, a chunk at a time -> settle -> end
 *
 * check    are the pages where they must be, and holes where they are to go? If not, nothing has changed.
 * loosen   stops tracking and unpins the memory type; what stays of a region is pinned again at once.
 * shift    moves a chunk of pages.
 * settle   pins what is in its place now, and has it tracked there.
 *
 * Going ahead, the first refusal has all undone. Going back, every page is tried, and what does not move
 * makes the region stuck.
 */
#ifndef XENVRAM_BROKER_TASK_H
#define XENVRAM_BROKER_TASK_H

#include "daemon/broker/region_record.h"
#include "proto/failure.h"

/* A relocation is not preemptible: this bounds how long one call keeps a physical CPU. */
#define CHUNK_PAGES 256u

enum task_stage { TASK_IDLE, TASK_CHECK, TASK_LOOSEN, TASK_SHIFT, TASK_SETTLE, TASK_END };

struct task {
	enum task_stage stage;
	bool creation;               /* began as one */
	bool begun;                  /* a step of it may have been done; */
	struct region_record before; /* until then, this is what the record is again if it is called off */
	uint32_t pieces_pinned;      /* bit i: the ith piece that stays of an extent is */
	bool reverting;              /* a partial destruction was refused before a page moved */
	uint64_t cursor;             /* going back: pages from here on were looked at */
	struct extent chunk;         /* being shifted */
	uint64_t n_stuck;            /* pages that could not be put back */
	uint64_t n_missing;          /* and that are nowhere */
	bool incomplete;             /* what goes back did not all go: it will be stuck, */
	struct failure stuck;        /* for this reason */
	bool is_on_disk;             /* the journal has a record of it, */
	bool is_on_its_way;          /* or has if nobody says that it could not be written */
	bool concluded;              /* it is at its end, and before that the record was this: */
	struct region_record unconcluded;
	bool failed;
	struct failure failure; /* why not what was asked for */
	struct failure warning; /* its text is empty when there is none */
};

struct gfn_range {
	uint64_t first_gfn;
	uint64_t nr_pages;
};

struct expectation {
	const char *name;
	struct gfn_range range;
	bool populated;
};

enum tracking_change { TRACKING_STOPS, TRACKING_FOLLOWS, TRACKING_ENDS };

/* For the worker; the stage says which parts of it count. */
struct task_step {
	enum task_stage stage; /* TASK_END: nothing more is to be done */
	bool journal;          /* the record must be written first */

	/* check */
	struct expectation expected[2 * MAX_REGION_EXTENTS];
	unsigned int n_expected;

	/* loosen and settle: unpin, pin, then track */
	struct gfn_range unpin[2 * MAX_REGION_EXTENTS + 2];
	unsigned int n_unpin;
	struct gfn_range pin[MAX_REGION_EXTENTS];
	unsigned int n_pin;
	bool require_pin;
	enum tracking_change tracking;
	uint64_t vram_gfn; /* what is to be followed */
	struct extents live;
	bool scattered; /* some of it may be elsewhere */

	/* shift */
	uint64_t from_gfn[2];
	unsigned int n_from;
	uint64_t to_gfn;
	uint64_t nr_pages;
	bool thorough; /* probe both ends, and try page by page what does not move */
};

/* What became of a step. */
struct task_answer {
	const struct failure *failure; /* NULL: done */
	const char *warning;
	uint32_t pinned;  /* loosen and settle: bit i: pin[i] is */
	uint64_t n_stuck; /* shift, thorough */
	uint64_t n_missing;
	uint64_t first_stuck_gfn;
	bool contested; /* another page is where the first one should go */
	int os_error;   /* why pages did not move; 0: they were not tried */
};

/*
 * May it begin? 0, or -1 with the failure. Whether a new place is in the way of other regions is not looked
 * at. A run of no pages is the whole region.
 */
int task_admit_destruction(const struct region_record *record, struct extent going, struct failure *failure);
int task_admit_move(const struct region_record *record, uint64_t new_vram_gfn, struct failure *failure);

/* Will it leave one extent more, of a region that is in order? */
bool task_splits(const struct region_record *record, struct extent going);

/* Begin a task, which was admitted. The record has its new state; it is written with the first step. */
void task_begin_creation(struct task *task, struct region_record *record);
void task_begin_destruction(struct task *task, struct region_record *record, struct extent going);
void task_begin_move(struct task *task, struct region_record *record, uint64_t new_vram_gfn);
/* What an earlier process began, according to the journal, if anything. */
void task_begin_inherited(struct task *task, struct region_record *record);

/* What is to be done now; to be asked once for each step. */
void task_next(struct task *task, struct region_record *record, struct task_step *ret_step);
void task_answered(struct task *task, struct region_record *record, const struct task_answer *answer);

/*
 * The record cannot be written before a step. What has not begun is called off, and what goes ahead is
 * undone: no page may be where a later reader of the journal does not look. What goes back goes on. If its end
 * cannot be written, the region is stuck: a later reader would do again, or undo, what was answered already, with
 * gfns that might be others' by then.
 */
void task_unwritten(struct task *task, struct region_record *record, int os_error);

/* The worker died. A creation is undone, for `lost`; anything else goes on. */
void task_resume(struct task *task, struct region_record *record, const struct failure *lost);

/* The region goes, with its domain, or before anything was done: that is the end of the task. */
void task_abandon(struct task *task, struct region_record *record, const struct failure *failure);

/* There is no worker to be had, or no log: a region that was begun with is stuck, any other as it was. */
void task_give_up(struct task *task, struct region_record *record, const struct failure *failure);

#endif
