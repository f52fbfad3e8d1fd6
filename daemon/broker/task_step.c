/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the worker is to do next. */
#include "daemon/broker/task_state.h"

static void fill_check(const struct region_record *record, struct task_step *step)
{
	bool moving = record->state == MOVING;
	struct {
		const char *name;
		uint64_t gfn;
		bool populated;
	} places[2];
	unsigned int n_places = 0;

	if (moving) {
		places[n_places++] = (typeof(*places)){"vram", record->old_vram_gfn, true};
		places[n_places++] = (typeof(*places)){"new vram", record->vram_gfn, false};
	} else if (record->adopted) {
		places[n_places++] = (typeof(*places)){"vram", record->vram_gfn, true};
	} else {
		places[n_places++] = (typeof(*places)){"backing", record->backing_gfn, true};
		places[n_places++] = (typeof(*places)){"vram", record->vram_gfn, false};
	}
	for (unsigned int i = 0; i < n_places; i++) {
		for (unsigned int k = 0; k < record->live.n; k++) {
			struct extent run = record->live.run[k];
			step->expected[step->n_expected++] = (struct expectation){places[i].name,
				{places[i].gfn + run.first, run.nr_pages}, places[i].populated};
		}
	}
}

static struct gfn_range run_at(struct extent run, uint64_t gfn)
{
	return (struct gfn_range){gfn + run.first, run.nr_pages};
}

static unsigned int add_extents(
	struct gfn_range *ranges, unsigned int n, const struct extents *extents, uint64_t gfn)
{
	for (unsigned int i = 0; i < extents->n; i++)
		ranges[n++] = run_at(extents->run[i], gfn);
	return n;
}

/* What stays on either side of the pages that are going. */
static unsigned int add_pieces(struct gfn_range *ranges, unsigned int n, const struct region_record *record)
{
	const struct extent *extent = extents_find(&record->live, record->going);
	uint64_t end = extent_end(record->going);

	if (record->going.first > extent->first)
		ranges[n++] = (struct gfn_range){
			record->vram_gfn + extent->first, record->going.first - extent->first};
	if (extent_end(*extent) > end)
		ranges[n++] = (struct gfn_range){record->vram_gfn + end, extent_end(*extent) - end};
	return n;
}

static unsigned int add_holder(struct gfn_range *ranges, unsigned int n, const struct region_record *record)
{
	const struct extent *extent = extents_find(&record->live, record->going);
	ranges[n++] = (struct gfn_range){record->vram_gfn + extent->first, extent->nr_pages};
	return n;
}

static void fill_loosen(const struct task *task, const struct region_record *record, struct task_step *step)
{
	step->tracking = TRACKING_STOPS;
	switch (record->state) {
	case SHRINKING:
		step->n_unpin = add_holder(step->unpin, 0, record);
		/* A piece whose pin is refused now must not have one from before. */
		if (task->begun || record->unsettled > 0)
			step->n_unpin = add_pieces(step->unpin, step->n_unpin, record);
		if (region_record_is_run_pinned(record, record->going))
			step->n_pin = add_pieces(step->pin, 0, record);
		step->require_pin = record->require_cache_attr;
		break;
	case MOVING:
		step->n_unpin = add_extents(step->unpin, 0, &record->live, record->old_vram_gfn);
		/* It may have come as far as the last step before. */
		if (unsettled_end(record) > 0)
			step->n_unpin =
				add_extents(step->unpin, step->n_unpin, &record->live, record->vram_gfn);
		break;
	case DESTROYING:
		step->n_unpin = add_extents(step->unpin, 0, &record->live, record->vram_gfn);
		if (record->between)
			step->n_unpin =
				add_extents(step->unpin, step->n_unpin, &record->live, record->old_vram_gfn);
		if (record->going.nr_pages > 0)
			step->n_unpin = add_pieces(step->unpin, step->n_unpin, record);
		break;
	default: /* a creation: nothing is pinned yet */
		break;
	}
}

static void fill_settle(const struct task *task, const struct region_record *record, struct task_step *step)
{
	step->tracking = TRACKING_FOLLOWS;
	step->vram_gfn = record->going_back ? record->old_vram_gfn : record->vram_gfn;
	step->live = record->live;
	step->scattered = record->between && task->incomplete;
	switch (record->state) {
	case SHRINKING:
		if (task->reverting) {
			step->n_unpin = add_pieces(step->unpin, 0, record);
			step->n_unpin = add_holder(step->unpin, step->n_unpin, record);
			if (region_record_is_run_pinned(record, record->going))
				step->n_pin = add_holder(step->pin, 0, record);
		} else if (!task->incomplete) {
			extents_remove(&record->live, record->going, &step->live);
		}
		break;
	case DESTROYING:
		step->tracking = task->incomplete ? TRACKING_FOLLOWS : TRACKING_ENDS;
		break;
	default:
		for (unsigned int i = 0; i < record->live.n && !task->incomplete; i++) {
			if (wanted_pins(record) >> i & 1)
				step->pin[step->n_pin++] = run_at(record->live.run[i], step->vram_gfn);
		}
		step->require_pin = record->require_cache_attr || record->going_back;
	}
}

/* The next chunk ahead. What is unsettled comes first; with none left, a fresh one becomes so. */
static struct extent chunk_ahead(struct region_record *record, bool *ret_thorough)
{
	const struct extents *live = &record->live;
	struct extent chunk = extents_first(live, record->frontier, unsettled_end(record), CHUNK_PAGES);

	*ret_thorough = chunk.nr_pages > 0;
	if (chunk.nr_pages > 0)
		return chunk;
	chunk = extents_first(live, unsettled_end(record), record->nr_pages, CHUNK_PAGES);
	record->frontier = chunk.nr_pages > 0 ? chunk.first : record->nr_pages;
	record->unsettled = chunk.nr_pages;
	return chunk;
}

/* The next chunk back. What could not be put back stays unsettled, with all that was looked at after it. */
static struct extent chunk_back(const struct task *task, struct region_record *record)
{
	const struct extents *live = &record->live;
	uint64_t first = target_of(record).first, end = unsettled_end(record);
	struct extent chunk = extents_last(
		live, record->frontier > first ? record->frontier : first, task->cursor, CHUNK_PAGES);

	if (chunk.nr_pages > 0)
		return chunk;
	chunk = extents_last(
		live, first, record->frontier < task->cursor ? record->frontier : task->cursor, CHUNK_PAGES);
	if (chunk.nr_pages > 0) {
		record->frontier = chunk.first;
		record->unsettled = end - chunk.first;
	}
	return chunk;
}

static void fill_shift(const struct task *task, const struct region_record *record, struct task_step *step)
{
	uint64_t to_gfn = record->backing_gfn;

	step->nr_pages = task->chunk.nr_pages;
	step->n_from = 1;
	if (moves_within_vram(record)) {
		step->from_gfn[0] = record->going_back ? record->vram_gfn : record->old_vram_gfn;
		to_gfn = record->going_back ? record->old_vram_gfn : record->vram_gfn;
	} else if (record->state == CREATING) {
		step->from_gfn[0] = record->backing_gfn;
		to_gfn = record->vram_gfn;
	} else {
		step->from_gfn[0] = record->vram_gfn;
		step->from_gfn[1] = record->old_vram_gfn;
		step->n_from = record->between ? 2 : 1;
	}
	for (unsigned int i = 0; i < step->n_from; i++)
		step->from_gfn[i] += task->chunk.first;
	step->to_gfn = to_gfn + task->chunk.first;
}

/* Is there a chunk left to be shifted? */
static bool next_shift(struct task *task, struct region_record *record, struct task_step *step)
{
	if (record->adopted && !moves_within_vram(record))
		return false;
	step->thorough = true;
	task->chunk = goes_ahead(record) ? chunk_ahead(record, &step->thorough) : chunk_back(task, record);
	if (task->chunk.nr_pages == 0)
		return false;
	fill_shift(task, record, step);
	return true;
}

void task_next(struct task *task, struct region_record *record, struct task_step *ret_step)
{
	*ret_step = (struct task_step){0};
	if (task->stage == TASK_SHIFT && !next_shift(task, record, ret_step))
		task->stage = TASK_SETTLE;
	ret_step->stage = task->stage;
	ret_step->journal = task->stage != TASK_CHECK;
	task->is_on_disk |= task->is_on_its_way;
	task->is_on_its_way = ret_step->journal;
	if (task->stage == TASK_CHECK)
		fill_check(record, ret_step);
	else if (task->stage == TASK_LOOSEN)
		fill_loosen(task, record, ret_step);
	else if (task->stage == TASK_SETTLE)
		fill_settle(task, record, ret_step);
}
