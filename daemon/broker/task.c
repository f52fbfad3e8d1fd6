/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/task.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/broker/task_state.h"

static void set_active(struct region_record *record)
{
	record->state = ACTIVE;
	record->going = (struct extent){0};
	record->ending = record->between = record->going_back = false;
	record->old_vram_gfn = 0;
	record->frontier = record->nr_pages;
	record->unsettled = 0;
}

static void swap_vram(struct region_record *record)
{
	uint64_t old = record->old_vram_gfn;
	record->old_vram_gfn = record->vram_gfn;
	record->vram_gfn = old;
}

/* In the middle of a move its vram is where it should be next, its old vram where else pages may be. */
static void set_stuck(struct region_record *record)
{
	if (record->going_back)
		swap_vram(record);
	record->going_back = false;
	record->state = STUCK;
	region_record_unsettle(record);
}

/* ---- beginnings ---- */

/* `before`: what the record was, or is again; is_on_disk: and that is in the journal. */
static void start(struct task *task, const struct region_record *record, const struct region_record *before,
	enum task_stage stage, bool is_on_disk)
{
	*task = (struct task){
		.stage = stage,
		.before = *before,
		.cursor = unsettled_end(record),
		.is_on_disk = is_on_disk,
	};
}

void task_begin_creation(struct task *task, struct region_record *record)
{
	struct region_record before = *record;

	before.state = GONE;
	record->state = CREATING;
	record->live = extents_whole(record->nr_pages);
	record->frontier = record->unsettled = 0;
	start(task, record, &before, TASK_CHECK, false);
	task->creation = true;
}

void task_begin_destruction(struct task *task, struct region_record *record, struct extent going)
{
	struct region_record before = *record;
	bool was_active = record->state == ACTIVE;
	bool partial = going.nr_pages > 0 && going.nr_pages < extents_n_pages(&record->live);

	if (partial) {
		record->state = SHRINKING;
		record->going = going;
	} else {
		record->state = DESTROYING;
		record->ending = true;
	}
	struct extent target = target_of(record);
	record->frontier = was_active ? extent_end(target) : target.first;
	record->unsettled = was_active ? 0 : target.nr_pages;
	start(task, record, &before, TASK_LOOSEN, !was_active);
}

void task_begin_move(struct task *task, struct region_record *record, uint64_t new_vram_gfn)
{
	struct region_record before = *record;
	bool was_active = record->state == ACTIVE;

	record->state = MOVING;
	if (was_active) {
		record->between = true;
		record->old_vram_gfn = record->vram_gfn;
		record->vram_gfn = new_vram_gfn;
		record->frontier = record->unsettled = 0;
	} else {
		if (new_vram_gfn != record->vram_gfn)
			swap_vram(record);
		region_record_unsettle(record);
	}
	start(task, record, &before, was_active ? TASK_CHECK : TASK_LOOSEN, !was_active);
}

/* Nobody can be given the cookie of a creation any more. */
static void set_ending(struct region_record *record)
{
	record->state = DESTROYING;
	record->ending = true;
}

void task_begin_inherited(struct task *task, struct region_record *record)
{
	if (record->state == CREATING)
		set_ending(record);
	if (record->state == MOVING)
		region_record_unsettle(record);
	start(task, record, record,
		record->state == ACTIVE || record->state == STUCK ? TASK_IDLE : TASK_LOOSEN, true);
	task->begun = true;
}

/* ---- answers ---- */

static void fail(struct task *task, const struct failure *failure)
{
	/* The first one is why; what follows from it is not. */
	if (!task->failed)
		task->failure = *failure;
	task->failed = true;
}

static void warn(struct task *task, const char *text)
{
	struct failure earlier = task->warning;

	if (*text)
		failure_set(&task->warning, XENVRAM__V1__STATUS__OK, 0, "%.150s%s%.160s", earlier.text,
			*earlier.text ? "; " : "", text);
}

/* Back from wherever it is. */
static void go_back(struct task *task, struct region_record *record, enum task_stage stage)
{
	task->stage = stage;
	task->cursor = unsettled_end(record);
	task->n_stuck = task->n_missing = 0;
	task->incomplete = false;
	task->warning.text[0] = '\0';
}

static void undo(struct task *task, struct region_record *record, const struct failure *failure)
{
	fail(task, failure);
	task->begun = true;
	if (task->creation)
		set_ending(record);
	else
		record->going_back = true;
	go_back(task, record, TASK_LOOSEN);
}

/* Nothing was changed yet. */
static void call_off(struct task *task, struct region_record *record, const struct failure *failure)
{
	fail(task, failure);
	*record = task->before;
	task->stage = TASK_END;
}

/* With any other status nothing would have changed. Of a creation nobody has the cookie yet. */
static void set_stuck_failure(const struct task *task, struct failure *stuck,
	const struct region_record *record, const struct failure *cause)
{
	failure_set(stuck, XENVRAM__V1__STATUS__STUCK, EBUSY,
		"%.190s; %s region 0x%" PRIx64 "%s when the cause is gone", cause->text,
		record->state == MOVING ? "move or destroy" : "destroy", record->cookie,
		task->creation ? "" : " again");
}

static void give_up(struct task *task, const struct region_record *record, const struct failure *failure)
{
	if (!task->incomplete)
		set_stuck_failure(task, &task->stuck, record, failure);
	task->incomplete = true;
	task->stage = TASK_SETTLE;
}

static void loosened(struct task *task, struct region_record *record, const struct task_answer *answer)
{
	if (!answer->failure) {
		task->pieces_pinned = answer->pinned;
		task->stage = TASK_SHIFT;
	} else if (goes_ahead(record)) {
		undo(task, record, answer->failure);
	} else if (record->state == SHRINKING && task->cursor == extent_end(record->going) &&
		   record->unsettled == 0) {
		fail(task, answer->failure);
		task->reverting = true;
		task->stage = TASK_SETTLE;
	} else {
		give_up(task, record, answer->failure);
	}
}

static uint64_t n_concerned(const struct region_record *record)
{
	return record->state == SHRINKING ? record->going.nr_pages : extents_n_pages(&record->live);
}

static void say_stuck(struct task *task, const struct region_record *record, const struct task_answer *answer)
{
	const char *place = moves_within_vram(record) ? record->state == MOVING ? "the new " : "the old "
			    : record->between         ? "the new or old "
						      : "";
	struct failure cause;

	failure_set(&cause, XENVRAM__V1__STATUS__STUCK, EBUSY,
		"domain %u: %" PRIu64 " of %" PRIu64 " pages are still at %svram, the first at gfn 0x%" PRIx64
		"%s%s%s",
		record->domid, task->n_stuck, n_concerned(record), place, answer->first_stuck_gfn,
		answer->contested ? " with another page at one of its places" : "",
		answer->os_error ? ": " : "", answer->os_error ? strerror(answer->os_error) : "");
	set_stuck_failure(task, &task->stuck, record, &cause);
}

static void shifted_ahead(struct task *task, struct region_record *record, const struct task_answer *answer)
{
	uint64_t end = unsettled_end(record);
	struct failure failure;

	if (answer->n_stuck > 0) {
		failure_set(&failure,
			answer->contested ? XENVRAM__V1__STATUS__CONFLICT : XENVRAM__V1__STATUS__HYPERVISOR,
			answer->contested ? EEXIST : answer->os_error,
			"domain %u: the page at gfn 0x%" PRIx64 " cannot be moved on: %s", record->domid,
			answer->first_stuck_gfn,
			answer->contested ? "there is another one in its place" : strerror(answer->os_error));
		undo(task, record, &failure);
		return;
	}
	task->n_missing += answer->n_missing;
	record->frontier = extent_end(task->chunk);
	record->unsettled = end - record->frontier;
}

static void shifted_back(struct task *task, struct region_record *record, const struct task_answer *answer)
{
	task->cursor = task->chunk.first;
	task->n_stuck += answer->n_stuck;
	task->n_missing += answer->n_missing;
	if (answer->n_stuck > 0) {
		task->incomplete = true;
		say_stuck(task, record, answer);
	} else if (!task->incomplete) {
		record->unsettled = task->cursor - record->frontier;
	}
}

static void shifted(struct task *task, struct region_record *record, const struct task_answer *answer)
{
	/* Found out before it was begun with. */
	if (answer->failure && answer->failure->status == XENVRAM__V1__STATUS__CONFLICT)
		record->unsettled = 0;
	if (answer->failure && goes_ahead(record))
		undo(task, record, answer->failure);
	else if (answer->failure)
		give_up(task, record, answer->failure);
	else if (goes_ahead(record))
		shifted_ahead(task, record, answer);
	else
		shifted_back(task, record, answer);
}

static void say_missing(struct task *task, const struct region_record *record)
{
	struct failure missing;

	if (task->n_missing == 0)
		return;
	failure_set(&missing, XENVRAM__V1__STATUS__OK, 0,
		"domain %u: %" PRIu64 " of %" PRIu64
		" pages are neither at %s: the guest or its toolstack took them",
		record->domid, task->n_missing, n_concerned(record),
		moves_within_vram(record) ? "the old nor at the new vram" : "vram nor at backing");
	warn(task, missing.text);
}

/* What stays of the extent has the pins of its pieces, every other one what it had. */
static void shrink(const struct task *task, struct region_record *record)
{
	const struct extents before = record->live;
	const struct extent *holder = extents_find(&before, record->going);
	uint32_t pinned = 0;
	unsigned int n_pieces = 0;

	extents_remove(&before, record->going, &record->live);
	for (unsigned int i = 0; i < record->live.n; i++) {
		const struct extent *of = extents_find(&before, record->live.run[i]);
		bool is = of == holder ? task->pieces_pinned >> n_pieces++ & 1
				       : record->pinned >> (of - before.run) & 1;
		pinned |= (uint32_t)is << i;
	}
	record->pinned = pinned;
}

/* All of it is done, or undone; going ahead, these were pinned. */
static void conclude(struct task *task, struct region_record *record, uint32_t pinned)
{
	say_missing(task, record);
	if (task->incomplete) {
		task->failed = true;
		task->failure = task->stuck;
		set_stuck(record);
		task->stage = TASK_END;
		return;
	}
	task->concluded = true;
	task->unconcluded = *record;
	if (record->state == DESTROYING) {
		record->state = GONE;
	} else {
		if (record->going_back)
			swap_vram(record);
		if (record->state != SHRINKING)
			record->pinned = record->going_back ? wanted_pins(record) : pinned;
		else if (!task->reverting)
			shrink(task, record);
		set_active(record);
	}
	task->stage = TASK_END;
}

/* An undone move has not left what there was. */
static void say_unpinned(struct task *task, const struct failure *refusal)
{
	struct failure why = task->failure;

	if (task->failed)
		failure_set(&task->failure, why.status, why.os_error,
			"%.100s; and back at the old vram %.90s", why.text, refusal->text);
	else
		fail(task, refusal);
}

static void settled(struct task *task, struct region_record *record, const struct task_answer *answer)
{
	if (answer->failure && goes_ahead(record)) {
		undo(task, record, answer->failure);
		return;
	}
	if (answer->failure && record->going_back && !task->incomplete) {
		say_unpinned(task, answer->failure);
		give_up(task, record, &task->failure);
		return;
	}
	if (answer->failure)
		warn(task, answer->failure->text);
	bool has_lost_pin = task->reverting && region_record_is_run_pinned(record, record->going) &&
			    !(answer->pinned & 1);
	/* Nothing may have changed after a refusal. What is pinned now, only another attempt can find out. */
	if (task->reverting && (answer->failure || has_lost_pin)) {
		task->incomplete = true;
		set_stuck_failure(task, &task->stuck, record, &task->failure);
	}
	conclude(task, record, answer->pinned);
}

void task_answered(struct task *task, struct region_record *record, const struct task_answer *answer)
{
	task->begun = task->stage != TASK_CHECK;
	if (answer->failure && answer->failure->status == XENVRAM__V1__STATUS__NO_DOMAIN) {
		task_abandon(task, record, answer->failure);
		return;
	}
	if (!answer->failure)
		warn(task, answer->warning);
	switch (task->stage) {
	case TASK_CHECK:
		if (answer->failure)
			call_off(task, record, answer->failure);
		else
			task->stage = TASK_LOOSEN;
		break;
	case TASK_LOOSEN:
		loosened(task, record, answer);
		break;
	case TASK_SHIFT:
		shifted(task, record, answer);
		break;
	case TASK_SETTLE:
		settled(task, record, answer);
		break;
	default:
		break;
	}
}

/* ---- what comes between ---- */

/* It ends as what the journal says that it is. */
static void unconclude(struct task *task, struct region_record *record, const struct failure *failure)
{
	*record = task->unconcluded;
	task->concluded = false;
	task->failed = true;
	set_stuck_failure(task, &task->failure, record, failure);
	set_stuck(record);
}

void task_unwritten(struct task *task, struct region_record *record, int os_error)
{
	struct failure failure;

	failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, os_error, "the journal cannot be written: %s",
		strerror(os_error));
	task->is_on_its_way = false;
	if (!task->begun)
		call_off(task, record, &failure);
	else if (goes_ahead(record))
		undo(task, record, &failure);
	/* The next reader would undo it: rather now, while somebody is told. */
	else if (task->stage == TASK_END && task->creation && record->state == ACTIVE)
		undo(task, record, &failure);
	else if (task->stage == TASK_END && task->concluded && task->is_on_disk)
		unconclude(task, record, &failure);
}

void task_resume(struct task *task, struct region_record *record, const struct failure *lost)
{
	if (task->stage == TASK_IDLE || task->stage == TASK_END || task->stage == TASK_CHECK ||
		task->reverting)
		return;
	task->begun = true;
	if (record->state == CREATING)
		undo(task, record, lost);
	else
		go_back(task, record, TASK_LOOSEN);
}

void task_abandon(struct task *task, struct region_record *record, const struct failure *failure)
{
	task->failed = true;
	task->failure = *failure;
	task->concluded = false;
	record->state = GONE;
	task->stage = TASK_END;
}

void task_give_up(struct task *task, struct region_record *record, const struct failure *failure)
{
	if (task->stage == TASK_IDLE || task->stage == TASK_END)
		return;
	if (!task->begun) {
		call_off(task, record, failure);
		return;
	}
	task->failed = true;
	set_stuck_failure(task, &task->failure, record, failure);
	set_stuck(record);
	task->stage = TASK_END;
}
