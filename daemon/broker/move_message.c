/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/move_message.h"

static void fill_expectation(
	struct move_message *message, unsigned int i, const char *name, uint64_t first_gfn, uint64_t nr_pages)
{
	Xenvram__Internal__Expectation *expected = &message->expected[i];

	xenvram__internal__range__init(&message->range[i]);
	message->range[i].first_gfn = first_gfn;
	message->range[i].nr_pages = nr_pages;
	xenvram__internal__expectation__init(expected);
	expected->name = (char *)name;
	expected->range = &message->range[i];
	message->expected_pointers[i] = expected;
}

static void fill_check(struct move_message *message, const struct move_record *record)
{
	Xenvram__Internal__Check *check = &message->check;

	fill_expectation(message, 0, "source", record->source, record->nr_pages);
	message->expected[0].populated = true;
	fill_expectation(message, 1, "destination", record->destination, record->nr_pages);
	xenvram__internal__check__init(check);
	/* By force, whatever is at the destination is dropped. */
	check->n_expected = record->force ? 1 : 2;
	check->expected = message->expected_pointers;
	message->command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_CHECK;
	message->command.check = check;
}

static void fill_stop_tracking(struct move_message *message)
{
	xenvram__internal__arrange__init(&message->arrange);
	message->arrange.tracking = XENVRAM__INTERNAL__TRACKING__STOPS;
	message->command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_ARRANGE;
	message->command.arrange = &message->arrange;
}

static void fill_shift(struct move_message *message, const struct move *move)
{
	const struct move_record *record = &move->record;
	Xenvram__Internal__Shift *shift = &message->shift;
	struct extent chunk = move_chunk(move);
	bool goes_back = move->stage == MOVE_BACK;
	uint64_t source = record->source + chunk.first, destination = record->destination + chunk.first;

	message->from_gfn = goes_back ? destination : source;
	xenvram__internal__shift__init(shift);
	shift->n_from_gfn = 1;
	shift->from_gfn = &message->from_gfn;
	shift->to_gfn = goes_back ? source : destination;
	shift->nr_pages = chunk.nr_pages;
	shift->thorough = goes_back;
	/* By force: every source was populated, and so may every destination have been. */
	shift->home_wins = goes_back && record->force;
	shift->force = !goes_back && record->force;
	message->command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_SHIFT;
	message->command.shift = shift;
}

static void fill_map(struct move_message *message, const struct move_record *record)
{
	Xenvram__Internal__Map *map = &message->map;

	xenvram__v1__run__init(&message->run);
	message->run.nr_pages = record->nr_pages;
	message->run_pointer = &message->run;
	xenvram__internal__map__init(map);
	map->n_runs = 1;
	map->runs = &message->run_pointer;
	map->vram_gfn = record->destination;
	map->has_backing = true;
	map->backing_gfn = record->source;
	message->command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_MAP;
	message->command.map = map;
}

void move_message_fill(struct move_message *message, const struct move *move)
{
	xenvram__internal__command__init(&message->command);
	switch (move->stage) {
	case MOVE_CHECK:
		fill_check(message, &move->record);
		break;
	case MOVE_SHIFT:
	case MOVE_BACK:
		fill_shift(message, move);
		break;
	case MOVE_MAP:
		fill_map(message, &move->record);
		break;
	case MOVE_LOOSEN:
	case MOVE_SETTLE:
	default:
		fill_stop_tracking(message);
	}
}
