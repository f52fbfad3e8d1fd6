/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be done next for a move (moves.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/broker/moves.h"

/* Runs of pages that a reason for a failure names. */
#define MAX_NAMED_RUNS 4u

static void fail(struct move *move, const struct failure *failure)
{
	/* The first reason is the one that counts. */
	if (!move->failed)
		move->failure = *failure;
	move->failed = true;
}

static void end(struct move *move, const struct failure *failure)
{
	fail(move, failure);
	move->stage = MOVE_END;
}

/* Everything below `end` may have moved. */
static void go_back(struct move *move, uint64_t end, const struct failure *failure)
{
	struct failure forced = *failure;

	/* The one change that cannot be undone. */
	if (move->record.force && end > 0)
		failure_set(&forced, failure->status, failure->os_error,
			"%.200s; what was at the first %" PRIu64 " pages of the destination may be dropped",
			failure->text, end);
	fail(move, &forced);
	move->stage = end > 0 ? MOVE_BACK : MOVE_SETTLE;
	move->frontier = end;
}

void move_begin_inherited(struct move *move)
{
	struct failure failure;
	failure_set(
		&failure, XENVRAM__V1__STATUS__RETRY, EAGAIN, "the service was restarted during the move");
	go_back(move, move->record.nr_pages, &failure);
}

struct extent move_chunk(const struct move *move)
{
	uint64_t left = move->stage == MOVE_BACK ? move->frontier : move->record.nr_pages - move->frontier;
	uint64_t n = left < CHUNK_PAGES ? left : CHUNK_PAGES;
	return (struct extent){move->stage == MOVE_BACK ? move->frontier - n : move->frontier, n};
}

bool move_is_journaled(const struct move *move)
{
	return move->stage != MOVE_CHECK && move->stage != MOVE_END;
}

void move_call_off(struct move *move, const struct failure *failure)
{
	end(move, failure);
}

void move_unended(struct move *move, const struct failure *failure)
{
	go_back(move, move->record.nr_pages, failure);
}

void move_resume(struct move *move, const struct failure *lost)
{
	bool was_at_work = move->at_work;

	move->at_work = false;
	if (was_at_work && move->stage == MOVE_SHIFT)
		go_back(move, extent_end(move_chunk(move)), lost);
}

/* ---- answers ---- */

static void on_shifted(struct move *move, const struct failure *failure)
{
	struct extent chunk = move_chunk(move);
	uint64_t end = extent_end(chunk);

	if (failure) {
		/* The destination is taken: found out before the chunk was begun with. */
		bool unbegun = failure->status == XENVRAM__V1__STATUS__CONFLICT;
		go_back(move, unbegun ? chunk.first : end, failure);
		return;
	}
	move->frontier = end;
	if (end == move->record.nr_pages)
		move->stage = MOVE_SETTLE;
}

static void on_back(struct move *move, const Xenvram__Internal__Done *done, const struct failure *failure)
{
	struct extent chunk = move_chunk(move);

	move->n_missing += done->shifted ? done->shifted->n_missing : 0;
	/* Where its pages are is not known then: the map may tell. */
	if (failure || !done->shifted) {
		move->n_stuck += chunk.nr_pages;
		move->stuck_error = failure ? failure->os_error : EPROTO;
	} else if (done->shifted->n_stuck > 0) {
		move->n_stuck += done->shifted->n_stuck;
		/* It was not tried where there is a page already. */
		move->stuck_error = done->shifted->os_error ? done->shifted->os_error : EEXIST;
	}
	move->frontier = chunk.first;
	if (move->frontier == 0)
		move->stage = move->n_stuck > 0 ? MOVE_MAP : MOVE_SETTLE;
}

/* The runs of pages that are, or may be, at the destination, as far as there is room for them. */
static void name_runs(const Xenvram__Internal__Done *done, char *text, size_t size)
{
	unsigned int n_runs = 0;
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < done->n_map; i++) {
		const Xenvram__V1__MappedRun *run = done->map[i];
		bool contested = run->place == XENVRAM__V1__PAGE_PLACE__CONTESTED;
		/* To the worker, which maps as for a region, the destination is the vram. */
		if ((run->place != XENVRAM__V1__PAGE_PLACE__AT_VRAM && !contested) ||
			n_runs++ >= MAX_NAMED_RUNS)
			continue;
		used += snprintf(text + used, size - used, "%s%" PRIu64 " to %" PRIu64 "%s", used ? ", " : "",
			run->first, run->first + run->nr_pages - 1, contested ? " (and at the source)" : "");
	}
	if (n_runs > MAX_NAMED_RUNS)
		snprintf(text + used, size - used, ", and %u more runs", n_runs - MAX_NAMED_RUNS);
}

static void on_mapped(struct move *move, const Xenvram__Internal__Done *done, const struct failure *failure)
{
	struct failure stuck;
	char runs[192];

	move->stage = MOVE_SETTLE;
	if (!failure)
		name_runs(done, runs, sizeof(runs));
	failure_set(&stuck, XENVRAM__V1__STATUS__STUCK, EBUSY,
		"%.100s; moving back failed (%s): of %" PRIu64 " pages, counted from 0, %s%s%s",
		move->failure.text, strerror(move->stuck_error), move->record.nr_pages,
		failure   ? "where they are cannot be told"
		: runs[0] ? runs
			  : "none",
		failure ? "" : " are at the destination, the others at the source",
		!failure && move->n_missing > 0 ? " or nowhere" : "");
	move->failure = stuck;
}

/* The guest or its toolstack took them. */
static void say_missing(struct move *move)
{
	struct failure why = move->failure;

	if (move->failed && move->n_missing > 0)
		failure_set(&move->failure, why.status, why.os_error,
			"%.220s; %" PRIu64 " of %" PRIu64
			" pages are neither at the source nor at the destination",
			why.text, move->n_missing, move->record.nr_pages);
}

void move_answered(struct move *move, const Xenvram__Internal__Done *done, const struct failure *failure)
{
	move->at_work = false;
	if (failure && failure->status == XENVRAM__V1__STATUS__NO_DOMAIN) {
		move->failed = false;
		end(move, failure);
		return;
	}
	switch (move->stage) {
	case MOVE_CHECK:
	case MOVE_LOOSEN:
		if (failure)
			end(move, failure);
		else
			move->stage++;
		break;
	case MOVE_SHIFT:
		on_shifted(move, failure);
		break;
	case MOVE_BACK:
		on_back(move, done, failure);
		break;
	case MOVE_MAP:
		on_mapped(move, done, failure);
		break;
	case MOVE_SETTLE:
		say_missing(move);
		/* Nothing is followed any more than it was: what is read next is fresh. */
		move->stage = MOVE_END;
		break;
	case MOVE_END:
		break;
	}
}
