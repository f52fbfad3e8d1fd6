/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every task on regions of one and of several extents, on a fake guest, while every hypercall in turn fails
 * in every way that it can, and while broker and worker die at every point.
 */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "tests/unit/fake_xen.h"
#include "tests/unit/task_scenarios.h"

/* What the hypervisor may say to any of the calls. */
static const int errors[] = {
	EINVAL, EACCES, EXDEV, EPERM, EOVERFLOW, ENOMEM, ENOENT, ENXIO, EBUSY, ENOSPC, E2BIG};
#define N_ERRORS (sizeof(errors) / sizeof(errors[0]))

/* ---- failures ---- */

static void strike(const struct scenario *scenario, struct bench *bench, unsigned int call, int error,
	unsigned int good_pages, bool for_ever)
{
	scenario_begin(scenario, bench);
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
	/* With any other status nothing has changed. */
	if (bench->task.failed && bench->record.state == STUCK)
		assert_int_equal(bench->task.failure.status, XENVRAM__V1__STATUS__STUCK);
}

static unsigned int count_calls(const struct scenario *scenario)
{
	struct bench bench;
	scenario_begin(scenario, &bench);
	bench_run(&bench);
	return xen.n_calls;
}

static void test_every_call_fails_in_every_way(void **state)
{
	unsigned int n = 0;
	(void)state;
	for (size_t i = 0; i < n_scenarios; i++) {
		unsigned int n_calls = count_calls(&scenarios[i]);
		for (unsigned int call = 1; call <= n_calls; call++) {
			for (size_t e = 0; e < N_ERRORS; e++) {
				struct bench bench;
				strike(&scenarios[i], &bench, call, errors[e], e % 3 * 100, false);
				scenario_repair(&bench);
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
	for (size_t i = 0; i < n_scenarios; i++) {
		unsigned int n_calls = count_calls(&scenarios[i]);
		for (unsigned int call = 1; call <= n_calls; call++) {
			struct bench bench;
			strike(&scenarios[i], &bench, call, EBUSY, 77, true);
			scenario_repair(&bench);
		}
	}
}

static void test_the_domain_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_scenarios; i++) {
		unsigned int n_calls = count_calls(&scenarios[i]);
		for (unsigned int call = 1; call <= n_calls; call++) {
			struct bench bench;
			scenario_begin(&scenarios[i], &bench);
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
	if (scenario->begin == scenario_create)
		assert_true(bench->forgotten || bench->record.state == GONE || bench->record.state == ACTIVE);
	else if (bench->killed == KILL_WORKER)
		assert_int_equal(bench->record.state, scenario->outcome);
	/* Unless it was so, and the journal does not say yet that anything was begun. */
	else if (scenario->prepare != scenario_stuck && scenario->prepare != scenario_stuck_part &&
		 scenario->prepare != scenario_stuck_move && scenario->prepare != scenario_adopted_stuck_move)
		assert_int_not_equal(bench->record.state, STUCK);
}

static void test_somebody_dies_at_every_point(void **state)
{
	unsigned int n = 0;
	(void)state;
	for (size_t i = 0; i < n_scenarios; i++) {
		for (enum killed killed = KILL_BROKER; killed <= KILL_BOTH; killed++) {
			bool died = true;
			for (unsigned int point = 1; died; point++) {
				struct bench bench;
				scenario_begin(&scenarios[i], &bench);
				bench.killed = killed;
				bench.kill_at = point;
				bench_run(&bench);
				died = bench.n_points >= point;
				check_after_death(&scenarios[i], &bench);
				scenario_repair(&bench);
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
	for (size_t i = 0; i < n_scenarios; i++) {
		unsigned int n_calls = count_calls(&scenarios[i]);
		for (unsigned int call = 1; call <= n_calls; call++) {
			for (size_t k = 0; k < sizeof(pages) / sizeof(pages[0]); k++) {
				for (enum killed killed = KILL_BROKER; killed <= KILL_BOTH; killed++) {
					struct bench bench;
					scenario_begin(&scenarios[i], &bench);
					xen.fail_call = call;
					xen.fail_error = EINTR;
					xen.fail_good_pages = pages[k];
					xen.fail_for_ever = true;
					bench.kill_in_call = true;
					bench.killed = killed;
					bench_run(&bench);
					check_after_death(&scenarios[i], &bench);
					scenario_repair(&bench);
					n++;
				}
			}
		}
	}
	printf("%u deaths\n", n);
}

/* And when there are pages that do not move at all. */
static void test_somebody_dies_while_pages_are_stuck(void **state)
{
	static const uint64_t immovable[] = {
		BENCH_VRAM + 20, BENCH_VRAM + 400, BENCH_VRAM + 560, BENCH_NEW + 300};
	(void)state;
	for (size_t i = 0; i < n_scenarios; i++) {
		for (size_t k = 0; k < sizeof(immovable) / sizeof(immovable[0]); k++) {
			bool died = true;
			for (unsigned int point = 1; died; point++) {
				struct bench bench;
				scenario_begin(&scenarios[i], &bench);
				xen.immovable_gfn = immovable[k];
				bench.killed = point % 2 ? KILL_BROKER : KILL_BOTH;
				bench.kill_at = point;
				bench_run(&bench);
				died = bench.n_points >= point;
				bench_check(&bench);
				xen.immovable_gfn = FAKE_NO_GFN;
				scenario_repair(&bench);
			}
		}
	}
}

/* ---- the journal ---- */

/* Nothing goes ahead, and nothing ends, that a later broker would not know of; what goes back goes on. */
static void test_the_journal_cannot_be_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_scenarios; i++) {
		bool did = true;
		for (unsigned int writes = 0; did; writes++) {
			struct bench bench;
			scenario_begin(&scenarios[i], &bench);
			bool was_stuck = bench.task.is_on_disk;
			struct region_record before = bench.task.before;
			bench.limited_writes = true;
			bench.writes_left = writes;
			bench_run(&bench);
			bench_check(&bench);
			did = bench.task.failed;
			if (!did) {
				assert_int_equal(bench.record.state, scenarios[i].outcome);
			} else if (writes > 0) {
				assert_int_equal(bench.record.state, STUCK);
				assert_int_equal(bench.task.failure.status, XENVRAM__V1__STATUS__STUCK);
			} else {
				/* What was called off leaves no trace. */
				assert_int_equal(bench.task.failure.os_error, EIO);
				if (scenarios[i].begin != scenario_create)
					assert_int_equal(bench.record.state, was_stuck ? STUCK : ACTIVE);
				assert_memory_equal(&bench.record.live, &before.live, sizeof(before.live));
				assert_int_equal(bench.record.vram_gfn, before.vram_gfn);
				assert_int_equal(bench.record.old_vram_gfn, before.old_vram_gfn);
			}
			scenario_repair(&bench);
		}
	}
}

/* And then the broker dies: the next one has an old record. */
static void test_the_journal_is_old(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_scenarios; i++) {
		for (unsigned int writes = 1; writes < 12; writes++) {
			bool died = true;
			for (unsigned int point = 1; died; point++) {
				struct bench bench;
				scenario_begin(&scenarios[i], &bench);
				bench.limited_writes = true;
				bench.writes_left = writes;
				bench.killed = KILL_BROKER;
				bench.kill_at = point;
				bench_run(&bench);
				died = bench.n_points >= point;
				bench_check(&bench);
				scenario_repair(&bench);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_fails_in_every_way),
		cmocka_unit_test(test_nothing_works_any_more),
		cmocka_unit_test(test_the_domain_ends),
		cmocka_unit_test(test_somebody_dies_at_every_point),
		cmocka_unit_test(test_somebody_dies_in_a_relocation),
		cmocka_unit_test(test_somebody_dies_while_pages_are_stuck),
		cmocka_unit_test(test_the_journal_cannot_be_written),
		cmocka_unit_test(test_the_journal_is_old),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
