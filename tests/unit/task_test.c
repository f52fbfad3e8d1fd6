/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tasks do on a fake guest, and what they refuse. */
#include "tests/unit/unit.h"

#include <string.h>

#include "tests/unit/fake_xen.h"
#include "tests/unit/task_scenarios.h"

static void assert_fails_with(
	int rc, const struct failure *failure, Xenvram__V1__Status status, const char *text)
{
	assert_int_equal(rc, -1);
	assert_int_equal(failure->status, status);
	if (!strstr(failure->text, text))
		fail_msg("\"%s\" does not say \"%s\"", failure->text, text);
}

static void test_everything_goes_well(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_scenarios; i++) {
		struct bench bench;
		scenario_begin(&scenarios[i], &bench);
		bench_run(&bench);
		bench_check(&bench);
		assert_int_equal(bench.record.state, scenarios[i].outcome);
		assert_false(bench.task.failed);
		assert_string_equal(bench.task.warning.text, "");
	}
}

static void test_adopted(void **state)
{
	struct bench bench;
	(void)state;
	scenario_adopted(&bench);
	bench_check(&bench);
	scenario_move(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.vram_gfn, BENCH_NEW);
	/* A part of it is only let go of. */
	task_begin_destruction(&bench.task, &bench.record, (struct extent){10, 20});
	bench_run(&bench);
	assert_int_equal(bench.record.state, ACTIVE);
	assert_int_equal(bench.record.live.n, 2);
	assert_int_equal(xen.n_pins, 2);
	assert_int_equal(xen.page[BENCH_NEW + 10], BENCH_NUMBER + 10);
	scenario_destroy(&bench);
	bench_run(&bench);
	assert_int_equal(bench.record.state, GONE);
	assert_int_equal(xen.n_pins, 0);
	assert_int_equal(xen.page[BENCH_NEW], BENCH_NUMBER);
}

/* ---- pages of others ---- */

static void test_a_destination_is_taken(void **state)
{
	static const unsigned int which[] = {0, 255, 256, 257, 400, 511, 512, BENCH_PAGES - 1};
	(void)state;
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		struct bench bench;
		scenario_whole(&bench);
		fake_xen_populate(BENCH_NEW + which[i], 1, 9);
		scenario_move(&bench);
		bench_run(&bench);
		bench_check(&bench);
		assert_int_equal(bench.record.state, ACTIVE);
		assert_int_equal(bench.record.vram_gfn, BENCH_VRAM);
		assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__CONFLICT);
		assert_non_null(strstr(bench.task.failure.text, "new vram gfn"));
		assert_int_equal(xen.page[BENCH_NEW + which[i]], 9);
	}
}

/* Between the check and the move: found out before its chunk is moved, and all the others go back. */
static void test_a_destination_is_taken_later(void **state)
{
	static const unsigned int which[] = {0, 256, 512, BENCH_PAGES - 1};
	(void)state;
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		struct bench bench;
		struct task_answer checked = {.warning = ""};
		scenario_whole(&bench);
		scenario_move(&bench);
		task_answered(&bench.task, &bench.record, &checked);
		fake_xen_populate(BENCH_NEW + which[i], 1, 9);
		bench_run(&bench);
		bench_check(&bench);
		assert_int_equal(bench.record.state, ACTIVE);
		assert_int_equal(bench.record.vram_gfn, BENCH_VRAM);
		assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__CONFLICT);
		assert_int_equal(xen.page[BENCH_NEW + which[i]], 9);
	}
}

/* With each page at one of two places, from where it can go to either. */
static void check_stuck_in_a_move(struct bench *bench)
{
	scenario_stuck_move(bench);
	bench_check(bench);
	assert_int_equal(bench->task.failure.status, XENVRAM__V1__STATUS__STUCK);
	assert_non_null(strstr(bench->task.failure.text, "1 of 600 pages are still at the new vram"));
	assert_int_equal(xen.page[BENCH_NEW + 300], BENCH_NUMBER + 300);
	assert_int_equal(xen.page[BENCH_VRAM + 301], BENCH_NUMBER + 301);
	assert_int_equal(bench->record.vram_gfn, BENCH_VRAM);
	assert_int_equal(bench->record.old_vram_gfn, BENCH_NEW);
	assert_int_equal(xen.n_pins, 0);
}

static void test_stuck_in_a_move(void **state)
{
	static const uint64_t places[] = {BENCH_VRAM, BENCH_NEW};
	struct bench bench;
	struct failure failure;
	(void)state;
	for (size_t k = 0; k < 2; k++) {
		check_stuck_in_a_move(&bench);
		assert_fails_with(task_admit_move(&bench.record, BENCH_VRAM + 1, &failure), &failure,
			XENVRAM__V1__STATUS__CONFLICT, "stuck between 0x1000 and 0x1800");
		assert_int_equal(task_admit_move(&bench.record, places[k], &failure), 0);
		task_begin_move(&bench.task, &bench.record, places[k]);
		bench_run(&bench);
		bench_check(&bench);
		assert_int_equal(bench.record.state, ACTIVE);
		assert_int_equal(bench.record.vram_gfn, places[k]);
		scenario_repair(&bench);
	}
	check_stuck_in_a_move(&bench);
	scenario_repair(&bench);
}

/* The guest has a page again where one of the region's came from, while its creation is undone. */
static void test_a_backing_is_taken(void **state)
{
	static const unsigned int which[] = {0, 255, 256, 511};
	(void)state;
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		struct bench bench;
		bench_reset(&bench);
		scenario_create(&bench);
		bench.pause_after = 4; /* check, loosen, two chunks */
		bench_run(&bench);
		bench.pause_after = 0;
		fake_xen_populate(BENCH_BACKING + which[i], 1, 9);
		xen.relocate_error = EIO;
		xen.relocate_failures = 1;
		xen.relocate_good_pages = 10;
		bench_run(&bench);
		assert_int_equal(bench.record.state, STUCK);
		assert_non_null(strstr(bench.task.failure.text, "1 of 600 pages"));
		assert_non_null(strstr(bench.task.failure.text, "another page at one of its places"));
		assert_int_equal(xen.page[BENCH_BACKING + which[i]], 9);
		assert_int_equal(xen.page[BENCH_VRAM + which[i]], BENCH_NUMBER + which[i]);
		assert_int_equal(xen.n_freed, 0);
	}
}

static void test_stuck_in_a_part(void **state)
{
	struct bench bench;
	struct failure failure;
	(void)state;
	scenario_pieces(&bench);
	xen.immovable_gfn = BENCH_VRAM + 400;
	scenario_destroy_part(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.state, STUCK);
	assert_non_null(strstr(bench.task.failure.text, "1 of 280 pages are still at vram"));
	assert_non_null(strstr(bench.task.failure.text, "0x1190"));
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){310, 279}, &failure),
		&failure, XENVRAM__V1__STATUS__CONFLICT, "page 310 + 280 pages were destroyed");
	assert_fails_with(task_admit_move(&bench.record, BENCH_NEW, &failure), &failure,
		XENVRAM__V1__STATUS__CONFLICT, "destroy it again");
	assert_int_equal(task_admit_destruction(&bench.record, (struct extent){310, 280}, &failure), 0);
	scenario_destroy_part(&bench);
	bench_run(&bench);
	assert_int_equal(bench.record.state, STUCK);
	xen.immovable_gfn = FAKE_NO_GFN;
	scenario_destroy_part(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.state, ACTIVE);
	assert_int_equal(bench.record.live.n, 4);

	/* All of it, while a part is stuck. */
	scenario_pieces(&bench);
	xen.immovable_gfn = BENCH_VRAM + 400;
	scenario_destroy_part(&bench);
	bench_run(&bench);
	scenario_destroy(&bench);
	bench_run(&bench);
	assert_int_equal(bench.record.state, STUCK);
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){310, 280}, &failure),
		&failure, XENVRAM__V1__STATUS__CONFLICT, "destroy all of it");
	xen.immovable_gfn = FAKE_NO_GFN;
	scenario_repair(&bench);
}

static void test_missing_pages(void **state)
{
	struct bench bench;
	(void)state;
	scenario_whole(&bench);
	xen.page[BENCH_VRAM + 3] = xen.page[BENCH_VRAM + 599] = 0;
	scenario_move(&bench);
	bench_run(&bench);
	assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__CONFLICT);
	assert_int_equal(bench.record.vram_gfn, BENCH_VRAM);
	scenario_destroy(&bench);
	bench_run(&bench);
	assert_int_equal(bench.record.state, GONE);
	assert_non_null(strstr(bench.task.warning.text, "2 of 600 pages are neither at vram nor at backing"));
}

/* ---- pins ---- */

static void test_a_refused_pin(void **state)
{
	struct bench bench;
	(void)state;
	bench_reset(&bench);
	xen.pin_error = ENOSPC;
	scenario_create(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.state, ACTIVE);
	assert_int_equal(bench.record.pinned, 0);
	assert_non_null(strstr(bench.task.warning.text, "pin"));
	/* What was not pinned is not when it becomes less. */
	bench_shrink(&bench, 10, 10);
	assert_string_equal(bench.task.warning.text, "");

	/* Who insists keeps his pages, and is told that what they were is not to be had again. */
	scenario_insisting(&bench);
	xen.pin_error = ENOSPC;
	scenario_destroy_part(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.state, STUCK);
	assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__STUCK);
	assert_int_equal(xen.page[BENCH_VRAM + 400], BENCH_NUMBER + 400);
	xen.pin_error = 0;
	scenario_destroy_part(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_true(region_record_is_pinned(&bench.record));
}

/* ---- admission ---- */

static void test_admission(void **state)
{
	struct bench bench;
	struct failure failure;
	(void)state;
	scenario_pieces(&bench);
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){600, 1}, &failure), &failure,
		XENVRAM__V1__STATUS__INVALID, "beyond the 600 pages");
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){1, UINT64_MAX}, &failure),
		&failure, XENVRAM__V1__STATUS__INVALID, "beyond the 600 pages");
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){99, 2}, &failure), &failure,
		XENVRAM__V1__STATUS__CONFLICT, "destroyed before");
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){100, 1}, &failure), &failure,
		XENVRAM__V1__STATUS__CONFLICT, "destroyed before");
	assert_fails_with(task_admit_move(&bench.record, MAX_GFN - 599, &failure), &failure,
		XENVRAM__V1__STATUS__INVALID, "does not lie below");
	assert_int_equal(task_admit_move(&bench.record, MAX_GFN - 600, &failure), 0);

	for (unsigned int i = bench.record.live.n; i < MAX_REGION_EXTENTS; i++)
		bench_shrink(&bench, 400 + 2 * i, 1);
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){390, 1}, &failure), &failure,
		XENVRAM__V1__STATUS__LIMIT,
		"has 8 runs of pages and asks for 1 more; at most 8 are allowed by MAX_REGION_EXTENTS, which "
		"is fixed in this build");
	bench_shrink(&bench, 0, 10); /* from an end */
	scenario_destroy(&bench);
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){0}, &failure), &failure,
		XENVRAM__V1__STATUS__CONFLICT, "is being destroyed");
	assert_fails_with(task_admit_move(&bench.record, BENCH_NEW, &failure), &failure,
		XENVRAM__V1__STATUS__CONFLICT, "is being destroyed");
}

/* The last extent goes: so does the region. */
static void test_the_last_part(void **state)
{
	struct bench bench;
	(void)state;
	scenario_whole(&bench);
	bench_shrink(&bench, 0, 200);
	bench_shrink(&bench, 400, 200);
	task_begin_destruction(&bench.task, &bench.record, (struct extent){200, 200});
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.state, GONE);
}

/* ---- no worker can be had ---- */

static void give_up(struct bench *bench)
{
	struct failure failure;
	failure_set(&failure, XENVRAM__V1__STATUS__HYPERVISOR, ENOMEM, "no worker");
	task_give_up(&bench->task, &bench->record, &failure);
	bench_run(bench);
	assert_true(bench->task.failed);
	assert_non_null(strstr(bench->task.failure.text, "no worker"));
}

static void test_given_up_before_it_began(void **state)
{
	void (*const begin[])(struct bench *) = {scenario_destroy, scenario_destroy_part, scenario_move};
	(void)state;
	for (size_t i = 0; i < sizeof(begin) / sizeof(begin[0]); i++) {
		struct bench bench;
		scenario_whole(&bench);
		begin[i](&bench);
		give_up(&bench);
		bench_check(&bench);
		assert_int_equal(bench.record.state, ACTIVE);
		assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__HYPERVISOR);
		scenario_repair(&bench);
	}
}

static void test_given_up_half_way(void **state)
{
	void (*const begin[])(struct bench *) = {scenario_destroy, scenario_destroy_part, scenario_move};
	(void)state;
	for (size_t i = 0; i < sizeof(begin) / sizeof(begin[0]); i++) {
		struct bench bench;
		scenario_whole(&bench);
		begin[i](&bench);
		bench.n_steps = 0;
		bench.pause_after = 2; /* of a move the first one only looks */
		bench_run(&bench);
		bench.pause_after = 0;
		give_up(&bench);
		assert_int_equal(bench.record.state, STUCK);
		assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__STUCK);
		scenario_repair(&bench);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_goes_well),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_a_destination_is_taken),
		cmocka_unit_test(test_a_destination_is_taken_later),
		cmocka_unit_test(test_stuck_in_a_move),
		cmocka_unit_test(test_a_backing_is_taken),
		cmocka_unit_test(test_stuck_in_a_part),
		cmocka_unit_test(test_missing_pages),
		cmocka_unit_test(test_a_refused_pin),
		cmocka_unit_test(test_admission),
		cmocka_unit_test(test_the_last_part),
		cmocka_unit_test(test_given_up_before_it_began),
		cmocka_unit_test(test_given_up_half_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
