/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/task_scenarios.h"

#include "tests/unit/unit.h"

#include <string.h>

#include "tests/unit/fake_xen.h"

void scenario_nothing(struct bench *bench)
{
	bench_reset(bench);
}

void scenario_whole(struct bench *bench)
{
	bench_reset(bench);
	bench_create(bench);
}

void scenario_pieces(struct bench *bench)
{
	scenario_whole(bench);
	bench_shrink(bench, 100, 20);
	bench_shrink(bench, 300, 1);
	bench_shrink(bench, BENCH_PAGES - 5, 5);
}

void scenario_insisting(struct bench *bench)
{
	bench_reset(bench);
	bench->record.require_cache_attr = true;
	bench_create(bench);
	bench_shrink(bench, 300, 1);
}

void scenario_adopted(struct bench *bench)
{
	bench_reset(bench);
	memset(xen.page, 0, sizeof(xen.page));
	fake_xen_populate(BENCH_VRAM, BENCH_PAGES, BENCH_NUMBER);
	bench->record.adopted = true;
	bench->record.backing_gfn = 0;
	task_begin_creation(&bench->task, &bench->record);
	bench_run(bench);
}

/* A page in the middle of the second of three chunks did not move. */
static void make_stuck(struct bench *bench, void (*begin)(struct bench *bench))
{
	xen.immovable_gfn = BENCH_VRAM + 400;
	begin(bench);
	bench_run(bench);
	xen.immovable_gfn = FAKE_NO_GFN;
	assert_int_equal(bench->record.state, STUCK);
}

void scenario_stuck(struct bench *bench)
{
	scenario_whole(bench);
	make_stuck(bench, scenario_destroy);
}

void scenario_stuck_part(struct bench *bench)
{
	scenario_pieces(bench);
	make_stuck(bench, scenario_destroy_part);
}

/* Two chunks are at the new place, and one page of them cannot go back. */
static void make_stuck_in_a_move(struct bench *bench)
{
	struct task_answer checked = {.warning = ""};
	scenario_move(bench);
	task_answered(&bench->task, &bench->record, &checked);
	fake_xen_populate(BENCH_NEW + BENCH_PAGES - 1, 1, 9);
	xen.immovable_gfn = BENCH_NEW + 300;
	bench_run(bench);
	xen.immovable_gfn = FAKE_NO_GFN;
	xen.page[BENCH_NEW + BENCH_PAGES - 1] = 0;
	assert_int_equal(bench->record.state, STUCK);
}

void scenario_stuck_move(struct bench *bench)
{
	scenario_whole(bench);
	make_stuck_in_a_move(bench);
}

void scenario_adopted_stuck_move(struct bench *bench)
{
	scenario_adopted(bench);
	make_stuck_in_a_move(bench);
}

void scenario_create(struct bench *bench)
{
	task_begin_creation(&bench->task, &bench->record);
}

void scenario_destroy(struct bench *bench)
{
	task_begin_destruction(&bench->task, &bench->record, (struct extent){0});
}

/* More than a chunk, and something on both sides of it. */
void scenario_destroy_part(struct bench *bench)
{
	task_begin_destruction(&bench->task, &bench->record, (struct extent){310, 280});
}

void scenario_destroy_end(struct bench *bench)
{
	task_begin_destruction(&bench->task, &bench->record, (struct extent){0, 100});
}

void scenario_move(struct bench *bench)
{
	task_begin_move(&bench->task, &bench->record, BENCH_NEW);
}

const struct scenario scenarios[] = {
	{"create", scenario_nothing, scenario_create, ACTIVE},
	{"destroy", scenario_whole, scenario_destroy, GONE},
	{"destroy pieces", scenario_pieces, scenario_destroy, GONE},
	{"destroy a part", scenario_whole, scenario_destroy_part, ACTIVE},
	{"destroy a part of pieces", scenario_pieces, scenario_destroy_part, ACTIVE},
	{"destroy a part, insisting on pins", scenario_insisting, scenario_destroy_part, ACTIVE},
	{"destroy an end of pieces", scenario_pieces, scenario_destroy_end, ACTIVE},
	{"move", scenario_whole, scenario_move, ACTIVE},
	{"move pieces", scenario_pieces, scenario_move, ACTIVE},
	{"move pieces, insisting on pins", scenario_insisting, scenario_move, ACTIVE},
	{"destroy a stuck one", scenario_stuck, scenario_destroy, GONE},
	{"destroy a stuck part", scenario_stuck_part, scenario_destroy_part, ACTIVE},
	{"destroy all while a part is stuck", scenario_stuck_part, scenario_destroy, GONE},
	{"move one that is stuck in a move", scenario_stuck_move, scenario_move, ACTIVE},
	{"destroy one that is stuck in a move", scenario_stuck_move, scenario_destroy, GONE},
	{"move adopted pages", scenario_adopted, scenario_move, ACTIVE},
	{"move adopted pages that are stuck in a move", scenario_adopted_stuck_move, scenario_move, ACTIVE},
	{"let go of adopted pages", scenario_adopted, scenario_destroy, GONE},
	{"let go of adopted pages that are stuck in a move", scenario_adopted_stuck_move, scenario_destroy,
		GONE},
};
const size_t n_scenarios = sizeof(scenarios) / sizeof(scenarios[0]);

void scenario_begin(const struct scenario *scenario, struct bench *bench)
{
	scenario->prepare(bench);
	xen.n_calls = bench->n_points = bench->n_steps = 0;
	scenario->begin(bench);
}

void scenario_repair(struct bench *bench)
{
	xen.fail_call = bench->kill_at = 0;
	bench->limited_writes = false;
	if (bench->forgotten || bench->record.state == GONE)
		return;
	scenario_destroy(bench);
	bench_run(bench);
	bench_check(bench);
	assert_int_equal(bench->record.state, GONE);
}
