/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regions that are destroyed, in part or as a whole, and moved in any order, on
 * a fake guest, while hypercalls fail, pages do not move, memory types cannot
 * be pinned, broker and worker die, and the journal cannot be written, up to
 * two of these at a time: what one attempt leaves is what the next one begins
 * with.
 */
#include "tests/unit/unit.h"

#include "tests/unit/fake_xen.h"
#include "tests/unit/task_scenarios.h"

#define N_WALKS      20000u
#define STEPS_A_WALK 10u

static uint64_t seed;

static uint64_t below(uint64_t n)
{
	return next_random(&seed) % n;
}

static void disturb(struct bench *bench)
{
	static const int errors[] = {EINVAL, EACCES, ENOMEM, EBUSY, ENOSPC, E2BIG};

	switch (below(6)) {
	case 0:
		xen.fail_call = 1 + below(25);
		xen.fail_error = errors[below(sizeof(errors) / sizeof(errors[0]))];
		xen.fail_good_pages = below(200);
		xen.fail_for_ever = below(2);
		break;
	case 1:
		xen.immovable_gfn = (below(2) ? BENCH_VRAM : BENCH_NEW) + below(BENCH_PAGES);
		break;
	case 2:
		bench->killed = KILL_BROKER + below(3);
		bench->kill_at = 1 + below(25);
		break;
	case 3:
		xen.pin_error = ENOSPC;
		break;
	case 4:
		bench->limited_writes = true;
		bench->writes_left = below(6);
		break;
	default:
		break;
	}
}

static void end_disturbance(struct bench *bench)
{
	xen.fail_call = bench->kill_at = 0;
	xen.fail_for_ever = false;
	xen.pin_error = 0;
	xen.immovable_gfn = FAKE_NO_GFN;
	bench->limited_writes = false;
}

/* false: it may not be begun. */
static bool begin_something(struct bench *bench)
{
	struct region_record *record = &bench->record;
	struct extent going = {below(BENCH_PAGES), 1 + below(BENCH_PAGES / 2)};
	uint64_t place = below(2) ? BENCH_VRAM : BENCH_NEW;
	struct failure failure;

	switch (below(8)) {
	case 0:
		going = (struct extent){0};
		break;
	case 1:
	case 2:
	case 3:
		/* What is let go stays where it is, and the bench looks for it at backing.
     */
		if (record->adopted)
			return false;
		/* The same again, if it is stuck. */
		if (record->going.nr_pages > 0)
			going = record->going;
		break;
	default:
		if ((record->state == ACTIVE && place == record->vram_gfn) ||
			task_admit_move(record, place, &failure) < 0)
			return false;
		task_begin_move(&bench->task, record, place);
		return true;
	}
	if (task_admit_destruction(record, going, &failure) < 0)
		return false;
	task_begin_destruction(&bench->task, record, going);
	return true;
}

static void check_outcome(const struct bench *bench, const struct region_record *before)
{
	const struct region_record *record = &bench->record;

	bench_check(bench);
	if (bench->forgotten || record->state != ACTIVE)
		return;
	if (record->require_cache_attr)
		assert_int_equal(record->pinned, (1u << record->live.n) - 1);
	/* With any status but OK and STUCK nothing has changed. */
	if (bench->task.failed && before->state == ACTIVE) {
		assert_int_equal(record->vram_gfn, before->vram_gfn);
		assert_int_equal(record->pinned & before->pinned, before->pinned);
		assert_int_equal(extents_n_pages(&record->live), extents_n_pages(&before->live));
	}
}

static void walk(void (*prepare)(struct bench *bench))
{
	struct bench bench;

	prepare(&bench);
	for (unsigned int i = 0; i < STEPS_A_WALK && bench.record.state != GONE && !bench.forgotten; i++) {
		struct region_record before = bench.record;
		xen.n_calls = bench.n_points = bench.n_steps = 0;
		bench.anew = false;
		if (!begin_something(&bench))
			continue;
		disturb(&bench);
		disturb(&bench);
		bench_run(&bench);
		check_outcome(&bench, &before);
		end_disturbance(&bench);
	}
	scenario_repair(&bench);
}

static void test_walks(void **state)
{
	static void (*const beginnings[])(struct bench *) = {
		scenario_whole, scenario_pieces, scenario_insisting, scenario_adopted};
	(void)state;
	for (unsigned int i = 0; i < N_WALKS; i++) {
		seed = i + 1;
		walk(beginnings[i % 4]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
