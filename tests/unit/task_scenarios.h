/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regions in every state that can last, and what can be done to them, on a bench. */
#ifndef XENVRAM_TESTS_TASK_SCENARIOS_H
#define XENVRAM_TESTS_TASK_SCENARIOS_H

#include "tests/unit/task_bench.h"

#define ACTIVE XENVRAM__V1__REGION_STATE__ACTIVE
#define STUCK  XENVRAM__V1__REGION_STATE__REGION_STUCK
#define GONE   XENVRAM__V1__REGION_STATE__GONE

/* ---- what there is; each resets the bench ---- */

void scenario_nothing(struct bench *bench);
void scenario_whole(struct bench *bench);
/* 0 to 99, 120 to 299, 301 to 594 */
void scenario_pieces(struct bench *bench);
/* Two pieces, and its memory type has to be pinned. */
void scenario_insisting(struct bench *bench);
void scenario_adopted(struct bench *bench);
/* Page 400 could not be moved back when all, or a part, was destroyed. */
void scenario_stuck(struct bench *bench);
void scenario_stuck_part(struct bench *bench);
/* Page 300 is at the new place, and all others are back at the old one. */
void scenario_stuck_move(struct bench *bench);
void scenario_adopted_stuck_move(struct bench *bench);

/* ---- what is begun ---- */

void scenario_create(struct bench *bench);
void scenario_destroy(struct bench *bench);
/* Pages 310 to 589: more than a chunk, with something on both sides. */
void scenario_destroy_part(struct bench *bench);
/* Pages 0 to 99. */
void scenario_destroy_end(struct bench *bench);
void scenario_move(struct bench *bench);

struct scenario {
	const char *name;
	void (*prepare)(struct bench *bench);
	void (*begin)(struct bench *bench);
	uint32_t outcome; /* when all goes well */
};

extern const struct scenario scenarios[];
extern const size_t n_scenarios;

/* Prepares, begins, and counts calls, points and steps from there. */
void scenario_begin(const struct scenario *scenario, struct bench *bench);
/* Without faults, whatever is left can be destroyed. */
void scenario_repair(struct bench *bench);

#endif
