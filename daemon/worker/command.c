/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/command.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/worker/arrangement.h"
#include "daemon/worker/page_map.h"
#include "daemon/worker/pin.h"
#include "daemon/worker/relocation.h"

/* Also one that is followed elsewhere, or in part, up to now. */
static int place(struct hands *hands, const Xenvram__Internal__Placement *placement, struct failure *failure)
{
	struct extent live[MAX_REGION_EXTENTS];
	size_t n_live = 0;

	for (; n_live < placement->n_live && n_live < MAX_REGION_EXTENTS; n_live++)
		live[n_live] =
			(struct extent){placement->live[n_live]->first, placement->live[n_live]->nr_pages};
	if (tracker_place(hands->tracker, placement->cookie, placement->vram_gfn, placement->scattered, live,
		    n_live) < 0)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno,
			"region 0x%" PRIx64 " cannot be followed: %s", placement->cookie, strerror(errno));
	return 0;
}

static int attach(struct hands *hands, const Xenvram__Internal__Placement *placement, struct failure *failure)
{
	struct extent vram = {placement->vram_gfn, placement->nr_pages};
	int fd = log_store_fd(hands->logs, placement->cookie);
	if (fd < 0 || tracker_add(hands->tracker, placement->cookie, vram, fd) < 0)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno,
			"the log of region 0x%" PRIx64 " cannot be used: %s", placement->cookie,
			strerror(errno));
	return place(hands, placement, failure);
}

/* Unlike a new broker's attaching it keeps the readers that the region has. */
static int follow(struct hands *hands, const Xenvram__Internal__Placement *placement, struct failure *failure)
{
	return tracker_has(hands->tracker, placement->cookie) ? place(hands, placement, failure)
							      : attach(hands, placement, failure);
}

/* A page that is missing may be the first sign of the domain's end; one that is in the way is none. */
static int check(struct hands *hands, const Xenvram__Internal__Check *check, struct failure *failure)
{
	struct failure gone;

	if (relocation_check(hands->guest, check, failure) == 0)
		return 0;
	if (failure->os_error == EEXIST)
		return -1;
	tracker_suspend(hands->tracker);
	if (guest_check_alive(hands->guest, &gone) < 0)
		*failure = gone;
	return -1;
}

/* Tracking is off while pages are moved, and has to begin anew after that: what was not read is all dirty. */
static int arrange(struct hands *hands, const Xenvram__Internal__Arrange *arrange,
	struct command_answer *answer, struct failure *failure)
{
	uint32_t pinned = 0;

	tracker_suspend(hands->tracker);
	if (guest_check_alive(hands->guest, failure) < 0 ||
		arrangement_apply(hands->guest, arrange, &pinned, &answer->warning, failure) < 0)
		return -1;
	answer->done.pinned = pinned;
	switch (arrange->tracking) {
	case XENVRAM__INTERNAL__TRACKING__FOLLOWS:
		return follow(hands, arrange->placement, failure);
	case XENVRAM__INTERNAL__TRACKING__ENDS:
		tracker_remove(hands->tracker, arrange->cookie);
		return 0;
	default:
		return 0;
	}
}

static int no_region(uint64_t cookie, struct failure *failure)
{
	return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno, "region 0x%" PRIx64 ": %s", cookie,
		strerror(errno));
}

static int mark(struct hands *hands, const Xenvram__Internal__Mark *mark, struct failure *failure)
{
	struct extent pages[MAX_MARKED_RUNS];
	if (mark->n_runs > MAX_MARKED_RUNS)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, E2BIG, "%zu runs", mark->n_runs);
	for (size_t i = 0; i < mark->n_runs; i++)
		pages[i] = (struct extent){mark->runs[i]->first, mark->runs[i]->nr_pages};
	return tracker_mark(hands->tracker, mark->cookie, pages, mark->n_runs) < 0
		       ? no_region(mark->cookie, failure)
		       : 0;
}

static int add_reader(struct hands *hands, const Xenvram__Internal__Reader *reader, struct frame *frame,
	struct failure *failure)
{
	struct extent pages = {reader->first, reader->nr_pages};
	if (tracker_add_reader(hands->tracker, reader->cookie, reader->subscription, pages, reader->period_us,
		    frame_take_fd(frame, 0)) < 0)
		return no_region(reader->cookie, failure);
	return 0;
}

/* 1: will be answered later. */
static int poll_pages(
	struct hands *hands, const Xenvram__Internal__Poll *poll, uint64_t serial, struct failure *failure)
{
	struct extent pages = {poll->first, poll->nr_pages};
	return tracker_poll(hands->tracker, poll->cookie, pages, serial) < 0
		       ? no_region(poll->cookie, failure)
		       : 1;
}

static int shift(struct hands *hands, const Xenvram__Internal__Shift *shift, struct command_answer *answer,
	struct failure *failure)
{
	xenvram__internal__shifted__init(&answer->shifted);
	answer->done.shifted = &answer->shifted;
	return relocation_shift(hands->guest, shift, &answer->shifted, failure);
}

static int map(struct hands *hands, const Xenvram__Internal__Map *map, struct command_answer *answer,
	struct failure *failure)
{
	size_t n;
	if (page_map_list(hands->guest, map, answer->runs, MAX_MAPPED_RUNS, &n, failure) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		answer->run_pointers[i] = &answer->runs[i];
	answer->done.n_map = n;
	answer->done.map = answer->run_pointers;
	return 0;
}

static struct extent extent_of_pin(const Xenvram__Internal__Pin *pin)
{
	return (struct extent){pin->first_gfn, pin->nr_pages};
}

int command_carry_out(struct hands *hands, const Xenvram__Internal__Command *command, struct frame *frame,
	struct command_answer *answer, struct failure *failure)
{
	xenvram__internal__done__init(&answer->done);
	answer->done.serial = command->serial;
	answer->warning.text[0] = '\0';
	answer->done.warning = answer->warning.text;

	switch (command->what_case) {
	case XENVRAM__INTERNAL__COMMAND__WHAT_CHECK:
		return check(hands, command->check, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_ARRANGE:
		return arrange(hands, command->arrange, answer, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_SHIFT:
		return shift(hands, command->shift, answer, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_ATTACH:
		return attach(hands, command->attach, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_MAP:
		return map(hands, command->map, answer, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_ADD_READER:
		return add_reader(hands, command->add_reader, frame, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_DROP_READER:
		tracker_drop_reader(hands->tracker, command->drop_reader->subscription);
		return 0;
	case XENVRAM__INTERNAL__COMMAND__WHAT_POLL:
		return poll_pages(hands, command->poll, command->serial, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_MARK:
		return mark(hands, command->mark, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_LIMITS:
		tracker_limit(
			hands->tracker, command->limits->share_ppm, command->limits->refresh_ms * 1000000ull);
		return 0;
	case XENVRAM__INTERNAL__COMMAND__WHAT_PIN:
		return pin_set(hands->guest, extent_of_pin(command->pin), command->pin->cache_attr, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_UNPIN:
		return pin_delete(hands->guest, extent_of_pin(command->unpin), failure);
	default:
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, EPROTO, "unknown command %d",
			(int)command->what_case);
	}
}
