/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One of the readers whose unions are checked: a thread that reads in its own way at its own pace while a
 * round runs, and catches up at its end. What is wrong with a call ends the program.
 */
#ifndef XENVRAM_TESTS_EXACTNESS_READER_H
#define XENVRAM_TESTS_EXACTNESS_READER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <xenvram.h>

#include "tests/exactness/page_set.h"
#include "tests/exactness/random.h"

enum reader_way {
	BY_MAPPING,  /* looks at the mapped log when it likes */
	BY_WAKE,     /* looks at it when it is woken, and only then */
	BY_SNAPSHOT, /* asks by message */
};

enum reader_habit {
	STEADY = 0,
	PAUSES = 1, /* does not look for a while */
	STOPS = 2,  /* ends its subscription, and comes back with its old cursor */
	MOVES = 4,  /* follows other pages in every other round */
};

struct reader_plan {
	const char *name;
	unsigned int head;
	uint32_t first; /* page of the head */
	uint32_t nr_pages;
	enum reader_way way;
	uint32_t period_us;
	unsigned int habits; /* enum reader_habit */
};

/* Between a round's begin and end all readers run; before and after, none. */
struct rounds {
	pthread_barrier_t begin;
	pthread_barrier_t end;
	atomic_bool running;
	bool over; /* there is no next one */
};

struct reader_totals {
	uint64_t reads;
	uint64_t stops;
	uint64_t written;
	uint64_t reported;
	uint64_t explained; /* reported without having been written, in a round in which that may be */
	uint64_t unexplained;
	uint64_t lost;
	uint64_t missed_wakes;
};

struct reader {
	struct reader_plan plan;
	struct rounds *rounds;
	struct xenvram *conn;
	struct xenvram_view *view; /* NULL: BY_SNAPSHOT, or stopped */
	uint64_t cookie;
	uint64_t cursor;
	struct random random;
	struct page_set seen; /* the union of all that it read in this round */
	struct reader_totals totals;
	pthread_t thread;
};

/* Connects and subscribes; starts its thread, which waits for a round to begin. */
void reader_init(struct reader *reader, const struct reader_plan *plan, struct rounds *rounds,
	const char *socket_path, uint64_t cookie, uint64_t seed);
/* After the last round. */
void reader_deinit(struct reader *reader);

/*
 * Between two rounds: has the hypervisor asked now and reads all there is. Returns how many pages; 0 means
 * that nothing is dirty for it any more.
 */
uint64_t reader_catch_up(struct reader *reader);

/* Between two rounds: follows nr_pages other pages of its head, with the cursor that it has. */
void reader_move(struct reader *reader, uint32_t first, uint32_t nr_pages);

/* Counts what it saw in the round against what was written to its head. */
void reader_judge(struct reader *reader, const struct page_set *written, bool may_be_more);

#endif
