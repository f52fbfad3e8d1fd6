/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A region, its journal slot, and the worker's part of every step, on one fake guest: tasks are carried out
 * as broker and worker do, and either may die at any point.
 */
#ifndef XENVRAM_TESTS_TASK_BENCH_H
#define XENVRAM_TESTS_TASK_BENCH_H

#include "daemon/broker/region_journal.h"
#include "daemon/broker/task.h"

/* Where the region of every test is, and goes; its first page has the number BENCH_NUMBER. */
#define BENCH_BACKING 0x100u
#define BENCH_VRAM    0x1000u
#define BENCH_NEW     0x1800u
#define BENCH_PAGES   600u /* three chunks */
#define BENCH_NUMBER  5000u

/* Who dies, when. */
enum killed { KILL_NOBODY, KILL_BROKER, KILL_WORKER, KILL_BOTH };

struct bench {
	struct region_record record;
	struct task task;
	uint8_t slot[JOURNAL_SLOT_BYTES]; /* the journal */
	unsigned int n_steps;
	unsigned int pause_after; /* so many steps; 0: not at all */
	unsigned int n_points; /* passed: before a step is sent, before it is done, before its answer comes */
	unsigned int kill_at;  /* 0: nobody dies there */
	bool kill_in_call;     /* the call that fails is the last one before somebody dies */
	enum killed killed;
	bool anew;           /* it has to be attached at the end: somebody died, or a step failed */
	bool limited_writes; /* of the journal: then it cannot be written any more */
	unsigned int writes_left;
	bool forgotten; /* the broker died before it had written anything */
	/* What the last step left to be followed. */
	bool followed;
	uint64_t followed_gfn;
	struct extents followed_live;
	bool scattered;
};

/* All pages at backing, nothing begun. */
void bench_reset(struct bench *bench);

/* Carries out the task that was begun, to its end or pause, whatever dies on the way. */
void bench_run(struct bench *bench);

/* The region, created; then without these pages; without faults. */
void bench_create(struct bench *bench);
void bench_shrink(struct bench *bench, uint64_t first, uint64_t nr_pages);

/*
 * No page is lost, freed, doubled or where it cannot be; and if the region is in one of its lasting states,
 * its pages, its pins and its tracking are what they should be.
 */
void bench_check(const struct bench *bench);

#endif
