/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every task on regions of one and of several extents, on a fake guest, while every hypercall in turn fails
 * in every way that it can, and while broker and worker die at every point.
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/fake_xen.h"
#include "tests/unit/task_bench.h"

#define ACTIVE XENVRAM__V1__REGION_STATE__ACTIVE
#define STUCK  XENVRAM__V1__REGION_STATE__REGION_STUCK
#define GONE   XENVRAM__V1__REGION_STATE__GONE

/* What the hypervisor may say to any of the calls. */
static const int errors[] = {
	EINVAL, EACCES, EXDEV, EPERM, EOVERFLOW, ENOMEM, ENOENT, ENXIO, EBUSY, ENOSPC, E2BIG};
#define N_ERRORS (sizeof(errors) / sizeof(errors[0]))

static void assert_fails_with(
	int rc, const struct failure *failure, Xenvram__V1__Status status, const char *text)
{
	assert_int_equal(rc, -1);
	assert_int_equal(failure->status, status);
	if (!strstr(failure->text, text))
		fail_msg("\"%s\" does not say \"%s\"", failure->text, text);
}

/* ---- what there is, and what is done to it ---- */

static void nothing_yet(struct bench *bench)
{
	bench_reset(bench);
}

static void whole(struct bench *bench)
{
	bench_reset(bench);
	bench_create(bench);
}

static void in_pieces(struct bench *bench)
{
	whole(bench);
	bench_shrink(bench, 100, 20);
	bench_shrink(bench, 300, 1);
	bench_shrink(bench, BENCH_PAGES - 5, 5);
}

static void insisting(struct bench *bench)
{
	bench_reset(bench);
	bench->record.require_cache_attr = true;
	bench_create(bench);
	bench_shrink(bench, 300, 1);
}

static void adopted(struct bench *bench)
{
	bench_reset(bench);
	memset(xen.page, 0, sizeof(xen.page));
	fake_xen_populate(BENCH_VRAM, BENCH_PAGES, BENCH_NUMBER);
	bench->record.adopted = true;
	bench->record.backing_gfn = 0;
	task_begin_creation(&bench->task, &bench->record);
	bench_run(bench);
}

static void create(struct bench *bench)
{
	task_begin_creation(&bench->task, &bench->record);
}

static void destroy(struct bench *bench)
{
	task_begin_destruction(&bench->task, &bench->record, (struct extent){0});
}

/* More than a chunk, and something on both sides of it. */
static void destroy_part(struct bench *bench)
{
	task_begin_destruction(&bench->task, &bench->record, (struct extent){310, 280});
}

static void destroy_end(struct bench *bench)
{
	task_begin_destruction(&bench->task, &bench->record, (struct extent){0, 100});
}

static void move(struct bench *bench)
{
	task_begin_move(&bench->task, &bench->record, BENCH_NEW);
}

static const struct scenario {
	const char *name;
	void (*prepare)(struct bench *bench);
	void (*begin)(struct bench *bench);
	uint32_t outcome;
} scenarios[] = {
	{"create", nothing_yet, create, ACTIVE},
	{"destroy", whole, destroy, GONE},
	{"destroy pieces", in_pieces, destroy, GONE},
	{"destroy a part", whole, destroy_part, ACTIVE},
	{"destroy a part of pieces", in_pieces, destroy_part, ACTIVE},
	{"destroy a part, insisting on pins", insisting, destroy_part, ACTIVE},
	{"destroy an end of pieces", in_pieces, destroy_end, ACTIVE},
	{"move", whole, move, ACTIVE},
	{"move pieces", in_pieces, move, ACTIVE},
	{"move pieces, insisting on pins", insisting, move, ACTIVE},
};
#define N_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static void begin(const struct scenario *scenario, struct bench *bench)
{
	scenario->prepare(bench);
	xen.n_calls = bench->n_points = bench->n_steps = 0;
	scenario->begin(bench);
}

static void test_everything_goes_well(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_SCENARIOS; i++) {
		struct bench bench;
		begin(&scenarios[i], &bench);
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
	adopted(&bench);
	bench_check(&bench);
	move(&bench);
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
	destroy(&bench);
	bench_run(&bench);
	assert_int_equal(bench.record.state, GONE);
	assert_int_equal(xen.n_pins, 0);
	assert_int_equal(xen.page[BENCH_NEW], BENCH_NUMBER);
}

/* ---- failures ---- */

/* Without faults a stuck region can be destroyed, and one that is not can be made use of. */
static void repair(struct bench *bench)
{
	xen.fail_call = bench->kill_at = 0;
	bench->limited_writes = false;
	if (bench->forgotten || bench->record.state == GONE)
		return;
	destroy(bench);
	bench_run(bench);
	bench_check(bench);
	assert_int_equal(bench->record.state, GONE);
}

static void strike(const struct scenario *scenario, struct bench *bench, unsigned int call, int error,
	unsigned int good_pages, bool for_ever)
{
	begin(scenario, bench);
	uint64_t n_live = extents_n_pages(&bench->record.live);
	xen.fail_call = call;
	xen.fail_error = error;
	xen.fail_good_pages = good_pages;
	xen.fail_for_ever = for_ever;
	bench_run(bench);
	bench_check(bench);
	/* Either it was done, or it was not and somebody was told why. */
	if (bench->task.failed)
		assert_string_not_equal(bench->task.failure.text, "");
	else
		assert_int_equal(bench->record.state, scenario->outcome);
	if (bench->task.failed && bench->record.state == ACTIVE)
		assert_int_equal(extents_n_pages(&bench->record.live), n_live);
}

static unsigned int count_calls(const struct scenario *scenario)
{
	struct bench bench;
	begin(scenario, &bench);
	bench_run(&bench);
	return xen.n_calls;
}

static void test_every_call_fails_in_every_way(void **state)
{
	unsigned int n = 0;
	(void)state;
	for (size_t i = 0; i < N_SCENARIOS; i++) {
		unsigned int n_calls = count_calls(&scenarios[i]);
		for (unsigned int call = 1; call <= n_calls; call++) {
			for (size_t e = 0; e < N_ERRORS; e++) {
				struct bench bench;
				strike(&scenarios[i], &bench, call, errors[e], e % 3 * 100, false);
				repair(&bench);
				n++;
			}
		}
	}
	printf("%u failures\n", n);
}

/* And from then on no call succeeds: it is stuck, until it can be repaired. */
static void test_nothing_works_any_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_SCENARIOS; i++) {
		unsigned int n_calls = count_calls(&scenarios[i]);
		for (unsigned int call = 1; call <= n_calls; call++) {
			struct bench bench;
			strike(&scenarios[i], &bench, call, EBUSY, 77, true);
			repair(&bench);
		}
	}
}

static void test_the_domain_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_SCENARIOS; i++) {
		unsigned int n_calls = count_calls(&scenarios[i]);
		for (unsigned int call = 1; call <= n_calls; call++) {
			struct bench bench;
			begin(&scenarios[i], &bench);
			xen.fail_call = call;
			xen.fail_error = ESRCH;
			xen.fail_for_ever = true;
			bench_run(&bench);
			assert_int_equal(bench.record.state, GONE);
			assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__NO_DOMAIN);
			assert_int_equal(xen.n_freed, 0);
		}
	}
}

/* ---- deaths ---- */

/* What was begun on a region that was there is finished; a creation is undone. */
static void check_after_death(const struct scenario *scenario, const struct bench *bench)
{
	bench_check(bench);
	if (scenario->begin == create)
		assert_true(bench->forgotten || bench->record.state == GONE || bench->record.state == ACTIVE);
	else if (bench->killed == KILL_WORKER)
		assert_int_equal(bench->record.state, scenario->outcome);
	else
		assert_int_not_equal(bench->record.state, STUCK);
}

static void test_somebody_dies_at_every_point(void **state)
{
	unsigned int n = 0;
	(void)state;
	for (size_t i = 0; i < N_SCENARIOS; i++) {
		for (enum killed killed = KILL_BROKER; killed <= KILL_BOTH; killed++) {
			bool died = true;
			for (unsigned int point = 1; died; point++) {
				struct bench bench;
				begin(&scenarios[i], &bench);
				bench.killed = killed;
				bench.kill_at = point;
				bench_run(&bench);
				died = bench.n_points >= point;
				check_after_death(&scenarios[i], &bench);
				repair(&bench);
				n++;
			}
		}
	}
	printf("%u deaths\n", n);
}

/* In the middle of a relocation, of which nobody says how far it came. */
static void test_somebody_dies_in_a_relocation(void **state)
{
	static const unsigned int pages[] = {0, 1, 17, 255};
	unsigned int n = 0;
	(void)state;
	for (size_t i = 0; i < N_SCENARIOS; i++) {
		unsigned int n_calls = count_calls(&scenarios[i]);
		for (unsigned int call = 1; call <= n_calls; call++) {
			for (size_t k = 0; k < sizeof(pages) / sizeof(pages[0]); k++) {
				for (enum killed killed = KILL_BROKER; killed <= KILL_BOTH; killed++) {
					struct bench bench;
					begin(&scenarios[i], &bench);
					xen.fail_call = call;
					xen.fail_error = EINTR;
					xen.fail_good_pages = pages[k];
					xen.fail_for_ever = true;
					bench.kill_in_call = true;
					bench.killed = killed;
					bench_run(&bench);
					check_after_death(&scenarios[i], &bench);
					repair(&bench);
					n++;
				}
			}
		}
	}
	printf("%u deaths\n", n);
}

/* ---- the journal ---- */

/* Nothing goes ahead that a later broker would not know of; what goes back goes on. */
static void test_the_journal_cannot_be_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_SCENARIOS; i++) {
		bool did = true;
		for (unsigned int writes = 0; did; writes++) {
			struct bench bench;
			begin(&scenarios[i], &bench);
			bench.limited_writes = true;
			bench.writes_left = writes;
			bench_run(&bench);
			bench_check(&bench);
			did = bench.task.failed;
			assert_int_not_equal(bench.record.state, STUCK);
			if (!did)
				assert_int_equal(bench.record.state, scenarios[i].outcome);
			else
				assert_int_equal(bench.task.failure.os_error, EIO);
			/* Nothing that was called off, or undone, leaves a trace. */
			if (did && scenarios[i].begin != create)
				assert_int_equal(bench.record.state, ACTIVE);
			if (did && writes == 0)
				assert_int_equal(bench.record.vram_gfn, BENCH_VRAM);
			repair(&bench);
		}
	}
}

/* ---- pages of others ---- */

static void test_a_destination_is_taken(void **state)
{
	static const unsigned int which[] = {0, 255, 256, 257, 400, 511, 512, BENCH_PAGES - 1};
	(void)state;
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		struct bench bench;
		whole(&bench);
		fake_xen_populate(BENCH_NEW + which[i], 1, 9);
		move(&bench);
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
		whole(&bench);
		move(&bench);
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

/* A page cannot go back: stuck, with each page at one of two places, from where it can go to either. */
static void stick_in_a_move(struct bench *bench, unsigned int page)
{
	struct task_answer checked = {.warning = ""};
	whole(bench);
	move(bench);
	task_answered(&bench->task, &bench->record, &checked);
	fake_xen_populate(BENCH_NEW + BENCH_PAGES - 1, 1, 9);
	xen.immovable_gfn = BENCH_NEW + page;
	bench_run(bench);
	xen.immovable_gfn = FAKE_NO_GFN;
	bench_check(bench);
	assert_int_equal(bench->record.state, STUCK);
	assert_int_equal(bench->task.failure.status, XENVRAM__V1__STATUS__STUCK);
	assert_non_null(strstr(bench->task.failure.text, "1 of 600 pages are still at the new vram"));
	assert_int_equal(xen.page[BENCH_NEW + page], BENCH_NUMBER + page);
	assert_int_equal(bench->record.vram_gfn, BENCH_VRAM);
	assert_int_equal(bench->record.old_vram_gfn, BENCH_NEW);
	assert_int_equal(xen.n_pins, 0);
	xen.page[BENCH_NEW + BENCH_PAGES - 1] = 0;
}

static void test_stuck_in_a_move(void **state)
{
	static const unsigned int which[] = {0, 255, 256, 400, 511};
	static const uint64_t places[] = {BENCH_VRAM, BENCH_NEW};
	(void)state;
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		struct bench bench;
		struct failure failure;
		for (size_t k = 0; k < 2; k++) {
			stick_in_a_move(&bench, which[i]);
			assert_fails_with(task_admit_move(&bench.record, BENCH_VRAM + 1, &failure), &failure,
				XENVRAM__V1__STATUS__CONFLICT, "stuck between 0x1000 and 0x1800");
			assert_int_equal(task_admit_move(&bench.record, places[k], &failure), 0);
			task_begin_move(&bench.task, &bench.record, places[k]);
			bench_run(&bench);
			bench_check(&bench);
			assert_int_equal(bench.record.state, ACTIVE);
			assert_int_equal(bench.record.vram_gfn, places[k]);
			repair(&bench);
		}
		stick_in_a_move(&bench, which[i]);
		repair(&bench);
	}
}

static void test_stuck_in_a_part(void **state)
{
	struct bench bench;
	struct failure failure;
	(void)state;
	in_pieces(&bench);
	xen.immovable_gfn = BENCH_VRAM + 400;
	destroy_part(&bench);
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
	destroy_part(&bench);
	bench_run(&bench);
	assert_int_equal(bench.record.state, STUCK);
	xen.immovable_gfn = FAKE_NO_GFN;
	destroy_part(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.state, ACTIVE);
	assert_int_equal(bench.record.live.n, 4);

	/* All of it, while a part is stuck. */
	in_pieces(&bench);
	xen.immovable_gfn = BENCH_VRAM + 400;
	destroy_part(&bench);
	bench_run(&bench);
	destroy(&bench);
	bench_run(&bench);
	assert_int_equal(bench.record.state, STUCK);
	assert_fails_with(task_admit_destruction(&bench.record, (struct extent){310, 280}, &failure),
		&failure, XENVRAM__V1__STATUS__CONFLICT, "destroy all of it");
	xen.immovable_gfn = FAKE_NO_GFN;
	repair(&bench);
}

static void test_missing_pages(void **state)
{
	struct bench bench;
	(void)state;
	whole(&bench);
	xen.page[BENCH_VRAM + 3] = xen.page[BENCH_VRAM + 599] = 0;
	move(&bench);
	bench_run(&bench);
	assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__CONFLICT);
	assert_int_equal(bench.record.vram_gfn, BENCH_VRAM);
	destroy(&bench);
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
	create(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.state, ACTIVE);
	assert_false(bench.record.pinned);
	assert_non_null(strstr(bench.task.warning.text, "pin"));
	/* What was not pinned is not when it becomes less. */
	bench_shrink(&bench, 10, 10);
	assert_string_equal(bench.task.warning.text, "");

	/* Who insists keeps what he has. */
	insisting(&bench);
	xen.pin_error = ENOSPC;
	destroy_part(&bench);
	bench_run(&bench);
	assert_int_equal(bench.record.state, ACTIVE);
	assert_int_equal(bench.task.failure.os_error, ENOSPC);
	assert_int_equal(bench.record.live.n, 2);
	assert_int_equal(xen.page[BENCH_VRAM + 400], BENCH_NUMBER + 400);
	xen.pin_error = 0;
	move(&bench);
	bench_run(&bench);
	bench_check(&bench);
	assert_true(bench.record.pinned);
}

/* ---- admission ---- */

static void test_admission(void **state)
{
	struct bench bench;
	struct failure failure;
	(void)state;
	in_pieces(&bench);
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
		XENVRAM__V1__STATUS__LIMIT, "more than 8 runs");
	bench_shrink(&bench, 0, 10); /* from an end */
	destroy(&bench);
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
	whole(&bench);
	bench_shrink(&bench, 0, 200);
	bench_shrink(&bench, 400, 200);
	task_begin_destruction(&bench.task, &bench.record, (struct extent){200, 200});
	bench_run(&bench);
	bench_check(&bench);
	assert_int_equal(bench.record.state, GONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_goes_well),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_every_call_fails_in_every_way),
		cmocka_unit_test(test_nothing_works_any_more),
		cmocka_unit_test(test_the_domain_ends),
		cmocka_unit_test(test_somebody_dies_at_every_point),
		cmocka_unit_test(test_somebody_dies_in_a_relocation),
		cmocka_unit_test(test_the_journal_cannot_be_written),
		cmocka_unit_test(test_a_destination_is_taken),
		cmocka_unit_test(test_a_destination_is_taken_later),
		cmocka_unit_test(test_stuck_in_a_move),
		cmocka_unit_test(test_stuck_in_a_part),
		cmocka_unit_test(test_missing_pages),
		cmocka_unit_test(test_a_refused_pin),
		cmocka_unit_test(test_admission),
		cmocka_unit_test(test_the_last_part),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
