/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/task_bench.h"

#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/broker/step_message.h"
#include "daemon/worker/arrangement.h"
#include "daemon/worker/relocation.h"
#include "tests/unit/fake_xen.h"

static struct guest guest = {.domid = FAKE_DOMID};

void bench_reset(struct bench *bench)
{
	fake_xen_reset();
	xen.max_run = CHUNK_PAGES;
	fake_xen_populate(BENCH_BACKING, BENCH_PAGES, BENCH_NUMBER);
	*bench = (struct bench){.record = {
					.cookie = 1,
					.domid = FAKE_DOMID,
					.uuid = "u",
					.vram_gfn = BENCH_VRAM,
					.backing_gfn = BENCH_BACKING,
					.nr_pages = BENCH_PAGES,
				}};
}

/* ---- the worker's part ---- */

static int arrange(struct bench *bench, const Xenvram__Internal__Arrange *arrange, struct task_answer *answer,
	struct failure *warning, struct failure *failure)
{
	const Xenvram__Internal__Placement *placement = arrange->placement;

	if (guest_check_alive(&guest, failure) < 0 ||
		arrangement_apply(&guest, arrange, &answer->pinned, warning, failure) < 0)
		return -1;
	if (arrange->tracking == XENVRAM__INTERNAL__TRACKING__ENDS)
		bench->followed = false;
	if (!placement)
		return 0;
	bench->followed = true;
	bench->followed_gfn = placement->vram_gfn;
	bench->scattered = placement->scattered;
	bench->followed_live.n = placement->n_live;
	for (size_t i = 0; i < placement->n_live; i++)
		bench->followed_live.run[i] =
			(struct extent){placement->live[i]->first, placement->live[i]->nr_pages};
	return 0;
}

static int obey(struct bench *bench, const struct task_step *step, struct task_answer *answer,
	struct failure *warning, struct failure *failure)
{
	struct step_message message;
	Xenvram__Internal__Shifted shifted = XENVRAM__INTERNAL__SHIFTED__INIT;

	step_message_fill(&message, &bench->record, step);
	switch (message.command.what_case) {
	case XENVRAM__INTERNAL__COMMAND__WHAT_CHECK:
		return relocation_check(&guest, message.command.check, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_ARRANGE:
		return arrange(bench, message.command.arrange, answer, warning, failure);
	default:
		if (relocation_shift(&guest, message.command.shift, &shifted, failure) < 0)
			return -1;
		answer->n_stuck = shifted.n_stuck;
		answer->n_missing = shifted.n_missing;
		answer->first_stuck_gfn = shifted.first_stuck_gfn;
		answer->contested = shifted.contested;
		answer->os_error = shifted.os_error;
		return 0;
	}
}

/* ---- the broker's ---- */

static void resume(struct bench *bench)
{
	struct failure lost;
	failure_set(&lost, XENVRAM__V1__STATUS__RETRY, EAGAIN, "the worker died");
	task_resume(&bench->task, &bench->record, &lost);
}

static void begin_anew(struct bench *bench)
{
	struct region_record record;

	bench->forgotten = region_journal_decode(bench->slot, &record) != 1;
	if (bench->forgotten)
		return;
	bench->record = record;
	task_begin_inherited(&bench->task, &bench->record);
}

static void die(struct bench *bench)
{
	bench->anew = true;
	bench->kill_in_call = false;
	bench->limited_writes = false;
	if (bench->killed != KILL_BROKER)
		bench->followed = false;
	if (bench->killed == KILL_WORKER)
		resume(bench);
	else
		begin_anew(bench);
}

/* Has somebody died here? Then all that was going on is forgotten. */
static bool dies(struct bench *bench)
{
	if (++bench->n_points != bench->kill_at)
		return false;
	die(bench);
	return true;
}

static bool died_in_call(struct bench *bench)
{
	if (!bench->kill_in_call || xen.n_calls < xen.fail_call)
		return false;
	xen.fail_call = 0;
	die(bench);
	return true;
}

/* What a new worker, or a new broker, has of the region when no task does. */
static void attach(struct bench *bench)
{
	bool is_there = bench->record.state == XENVRAM__V1__REGION_STATE__ACTIVE ||
			bench->record.state == XENVRAM__V1__REGION_STATE__REGION_STUCK;
	if (bench->forgotten || !is_there || !bench->anew)
		return;
	bench->followed = true;
	bench->followed_gfn = bench->record.vram_gfn;
	bench->followed_live = bench->record.live;
	bench->scattered = bench->record.between;
}

static bool write_journal(struct bench *bench)
{
	enum task_stage stage = bench->task.stage;
	struct region_record before = bench->record;

	bool gone = before.state == XENVRAM__V1__REGION_STATE__GONE;

	if (gone && bench->slot[0] == 0)
		return true;
	if (!bench->limited_writes || bench->writes_left > 0) {
		bench->writes_left -= bench->limited_writes;
		if (gone)
			memset(bench->slot, 0, sizeof(bench->slot));
		else
			region_journal_encode(&bench->record, bench->slot);
		return true;
	}
	task_unwritten(&bench->task, &bench->record, EIO);
	if (bench->task.stage == stage && before.state == bench->record.state &&
		before.going_back == bench->record.going_back)
		return true;
	bench->anew = true;
	return false;
}

void bench_run(struct bench *bench)
{
	while (!bench->forgotten && bench->task.stage != TASK_IDLE) {
		struct failure failure, warning = {.text = ""};
		struct task_answer answer = {.failure = NULL};
		struct task_step step;

		if (bench->pause_after && bench->n_steps == bench->pause_after)
			return;
		assert_true(bench->n_steps++ < 100);
		task_next(&bench->task, &bench->record, &step);
		if (dies(bench) || (step.journal && !write_journal(bench)) || dies(bench))
			continue;
		if (step.stage == TASK_END)
			break;
		int rc = obey(bench, &step, &answer, &warning, &failure);
		if (died_in_call(bench) || dies(bench))
			continue;
		bench->anew |= rc < 0;
		answer.failure = rc < 0 ? &failure : NULL;
		answer.warning = warning.text;
		task_answered(&bench->task, &bench->record, &answer);
	}
	bench->task.stage = TASK_IDLE;
	attach(bench);
}

void bench_create(struct bench *bench)
{
	task_begin_creation(&bench->task, &bench->record);
	bench_run(bench);
	assert_int_equal(bench->record.state, XENVRAM__V1__REGION_STATE__ACTIVE);
	bench_check(bench);
}

void bench_shrink(struct bench *bench, uint64_t first, uint64_t nr_pages)
{
	struct extent going = {first, nr_pages};
	struct failure failure;
	assert_int_equal(task_admit_destruction(&bench->record, going, &failure), 0);
	task_begin_destruction(&bench->task, &bench->record, going);
	bench_run(bench);
	assert_int_equal(bench->record.state, XENVRAM__V1__REGION_STATE__ACTIVE);
	bench_check(bench);
}

/* ---- what must be ---- */

static unsigned int count_places(uint64_t page)
{
	uint32_t number = BENCH_NUMBER + page;
	return (xen.page[BENCH_BACKING + page] == number) + (xen.page[BENCH_VRAM + page] == number) +
	       (xen.page[BENCH_NEW + page] == number);
}

static void check_pins(const struct region_record *record)
{
	uint32_t pinned = 0;
	for (unsigned int i = 0; i < xen.n_pins; i++) {
		struct extent run = {
			xen.pins[i].first - record->vram_gfn, xen.pins[i].last - xen.pins[i].first + 1};
		const struct extent *extent = extents_find(&record->live, run);
		assert_non_null(extent);
		assert_int_equal(extent->nr_pages, run.nr_pages);
		pinned |= 1u << (extent - record->live.run);
	}
	assert_int_equal(pinned, record->pinned);
}

static void assert_same_extents(const struct extents *a, const struct extents *b)
{
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->run, b->run, a->n * sizeof(a->run[0]));
}

static void check_active(const struct bench *bench)
{
	const struct region_record *record = &bench->record;

	for (uint64_t page = 0; page < BENCH_PAGES; page++) {
		bool live = extents_find(&record->live, (struct extent){page, 1});
		uint64_t gfn = live ? record->vram_gfn : BENCH_BACKING;
		assert_int_equal(xen.page[gfn + page], BENCH_NUMBER + page);
	}
	check_pins(record);
	assert_true(bench->followed);
	assert_int_equal(bench->followed_gfn, record->vram_gfn);
	assert_same_extents(&bench->followed_live, &record->live);
	assert_false(record->between || record->going_back || record->ending || record->going.nr_pages);
}

void bench_check(const struct bench *bench)
{
	struct region_record read;

	assert_int_equal(xen.n_freed, 0);
	assert_int_equal(xen.n_maps, 0);
	assert_int_equal(xen.n_long_runs, 0);
	assert_int_equal(xen.n_overruns, 0);
	for (uint64_t page = 0; page < BENCH_PAGES; page++)
		assert_int_equal(count_places(page), 1);
	if (bench->forgotten || bench->record.state == XENVRAM__V1__REGION_STATE__GONE) {
		uint64_t home = bench->record.adopted ? bench->record.vram_gfn : BENCH_BACKING;
		for (uint64_t page = 0; page < BENCH_PAGES; page++)
			assert_int_equal(xen.page[home + page], BENCH_NUMBER + page);
		assert_int_equal(xen.n_pins, 0);
		return;
	}
	if (bench->record.state != XENVRAM__V1__REGION_STATE__GONE)
		assert_int_equal(bench->scattered, bench->record.between);
	if (bench->record.state == XENVRAM__V1__REGION_STATE__ACTIVE)
		check_active(bench);
	else
		assert_int_equal(bench->record.state, XENVRAM__V1__REGION_STATE__REGION_STUCK);
	if (bench->limited_writes)
		return;
	/* The journal says the same. */
	assert_int_equal(region_journal_decode(bench->slot, &read), 1);
	assert_int_equal(read.state, bench->record.state);
	assert_int_equal(read.vram_gfn, bench->record.vram_gfn);
	assert_same_extents(&read.live, &bench->record.live);
}
