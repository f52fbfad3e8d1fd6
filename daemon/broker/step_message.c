/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/step_message.h"

static void fill_range(struct step_message *message, unsigned int i, struct gfn_range range)
{
	xenvram__internal__range__init(&message->range[i]);
	message->range[i].first_gfn = range.first_gfn;
	message->range[i].nr_pages = range.nr_pages;
	message->range_pointers[i] = &message->range[i];
}

static void fill_check(
	struct step_message *message, const struct region_record *record, const struct task_step *step)
{
	Xenvram__Internal__Check *check = &message->check;

	xenvram__internal__check__init(check);
	check->cookie = record->cookie;
	check->n_expected = step->n_expected;
	check->expected = message->expected_pointers;
	for (unsigned int i = 0; i < step->n_expected; i++) {
		Xenvram__Internal__Expectation *expected = &message->expected[i];
		fill_range(message, i, step->expected[i].range);
		xenvram__internal__expectation__init(expected);
		expected->name = (char *)step->expected[i].name;
		expected->populated = step->expected[i].populated;
		expected->range = &message->range[i];
		message->expected_pointers[i] = expected;
	}
	message->command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_CHECK;
	message->command.check = check;
}

static void fill_placement(struct step_message *message, const struct region_record *record,
	uint64_t vram_gfn, bool scattered, const struct extents *live)
{
	Xenvram__Internal__Placement *placement = &message->placement;

	xenvram__internal__placement__init(placement);
	placement->cookie = record->cookie;
	placement->vram_gfn = vram_gfn;
	placement->nr_pages = record->nr_pages;
	placement->scattered = scattered;
	placement->n_live = live->n;
	placement->live = message->run_pointers;
	for (unsigned int i = 0; i < live->n; i++) {
		xenvram__v1__run__init(&message->run[i]);
		message->run[i].first = live->run[i].first;
		message->run[i].nr_pages = live->run[i].nr_pages;
		message->run_pointers[i] = &message->run[i];
	}
}

static Xenvram__Internal__Tracking tracking_of(enum tracking_change change)
{
	switch (change) {
	case TRACKING_FOLLOWS:
		return XENVRAM__INTERNAL__TRACKING__FOLLOWS;
	case TRACKING_ENDS:
		return XENVRAM__INTERNAL__TRACKING__ENDS;
	case TRACKING_STOPS:
	default:
		return XENVRAM__INTERNAL__TRACKING__STOPS;
	}
}

static void fill_arrange(
	struct step_message *message, const struct region_record *record, const struct task_step *step)
{
	Xenvram__Internal__Arrange *arrange = &message->arrange;

	xenvram__internal__arrange__init(arrange);
	arrange->cookie = record->cookie;
	arrange->n_unpin = step->n_unpin;
	arrange->unpin = message->range_pointers;
	for (unsigned int i = 0; i < step->n_unpin; i++)
		fill_range(message, i, step->unpin[i]);
	arrange->n_pin = step->n_pin;
	arrange->pin = message->range_pointers + step->n_unpin;
	for (unsigned int i = 0; i < step->n_pin; i++)
		fill_range(message, step->n_unpin + i, step->pin[i]);
	arrange->cache_attr = (Xenvram__V1__CacheAttr)record->cache_attr;
	arrange->require_pin = step->require_pin;
	arrange->tracking = tracking_of(step->tracking);
	if (step->tracking == TRACKING_FOLLOWS) {
		fill_placement(message, record, step->vram_gfn, step->scattered, &step->live);
		arrange->placement = &message->placement;
	}
	message->command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_ARRANGE;
	message->command.arrange = arrange;
}

static void fill_shift(
	struct step_message *message, const struct region_record *record, const struct task_step *step)
{
	Xenvram__Internal__Shift *shift = &message->shift;

	xenvram__internal__shift__init(shift);
	shift->cookie = record->cookie;
	shift->n_from_gfn = step->n_from;
	shift->from_gfn = message->from_gfn;
	for (unsigned int i = 0; i < step->n_from; i++)
		message->from_gfn[i] = step->from_gfn[i];
	shift->to_gfn = step->to_gfn;
	shift->nr_pages = step->nr_pages;
	shift->thorough = step->thorough;
	message->command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_SHIFT;
	message->command.shift = shift;
}

void step_message_fill(
	struct step_message *message, const struct region_record *record, const struct task_step *step)
{
	xenvram__internal__command__init(&message->command);
	if (step->stage == TASK_CHECK)
		fill_check(message, record, step);
	else if (step->stage == TASK_SHIFT)
		fill_shift(message, record, step);
	else
		fill_arrange(message, record, step);
}

void step_message_attach(struct step_message *message, const struct region_record *record)
{
	xenvram__internal__command__init(&message->command);
	fill_placement(message, record, record->vram_gfn, record->between, &record->live);
	message->command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_ATTACH;
	message->command.attach = &message->placement;
}
