/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/relocation.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/worker/pages.h"
#include "proto/limits.h"

/* Of probing and moving before pages that do not move are called stuck. */
#define MAX_PASSES 3u
/* The vram of a region and, in a move, its old vram. */
#define MAX_SOURCES 2u

int relocation_check(struct guest *guest, const Xenvram__Internal__Check *check, struct failure *failure)
{
	for (size_t i = 0; i < check->n_expected; i++) {
		const Xenvram__Internal__Expectation *expected = check->expected[i];
		if (pages_expect(guest, expected->name, expected->range->first_gfn, expected->range->nr_pages,
			    expected->populated, failure) < 0)
			return -1;
	}
	return 0;
}

static int relocate(struct guest *guest, uint64_t source, uint64_t destination, uint64_t n)
{
	return xendevicemodel_relocate_memory(guest->devicemodel, guest->domid, n, source, destination);
}

static int shift_at_once(struct guest *guest, const Xenvram__Internal__Shift *shift, struct failure *failure)
{
	if (!shift->force &&
		pages_expect(guest, "destination", shift->to_gfn, shift->nr_pages, false, failure) < 0)
		return -1;
	if (relocate(guest, shift->from_gfn[0], shift->to_gfn, shift->nr_pages) < 0)
		return guest_failure(guest, failure, "cannot move the pages into place");
	return 0;
}

/* ---- thoroughly ---- */

/* Which pages are where; one array of n for each place. */
struct page_map {
	bool *at_source[MAX_SOURCES];
	bool *at_home;
};

static void page_map_deinit(struct page_map *map)
{
	free(map->at_home);
}

static int page_map_init(struct page_map *map, uint64_t n, struct failure *failure)
{
	map->at_home = calloc(n, MAX_SOURCES + 1);
	if (!map->at_home)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
	for (unsigned int i = 0; i < MAX_SOURCES; i++)
		map->at_source[i] = map->at_home + (i + 1) * n;
	return 0;
}

static int page_map_probe(struct page_map *map, struct guest *guest, const Xenvram__Internal__Shift *shift,
	struct failure *failure)
{
	for (size_t k = 0; k < shift->n_from_gfn; k++) {
		if (pages_probe(guest, shift->from_gfn[k], shift->nr_pages, map->at_source[k], failure) < 0)
			return -1;
	}
	return pages_probe(guest, shift->to_gfn, shift->nr_pages, map->at_home, failure);
}

/* Is there one page at source k that can only be the one that is to go home? */
static bool is_movable(const struct page_map *map, size_t k, uint64_t page)
{
	return map->at_source[k][page] && !map->at_source[1 - k][page] && !map->at_home[page];
}

static uint64_t length_of_run(const struct page_map *map, size_t k, uint64_t first, uint64_t end)
{
	uint64_t n = 0;
	while (first + n < end && is_movable(map, k, first + n))
		n++;
	return n;
}

/* Moves what is at source k, in runs of at most max_run. 0; 1: not all moved, errno in *ret_error; -1. */
static int move_runs(struct guest *guest, const Xenvram__Internal__Shift *shift, struct page_map *map,
	size_t k, uint64_t max_run, int *ret_error, struct failure *failure)
{
	bool failed = false;

	for (uint64_t i = 0; i < shift->nr_pages;) {
		uint64_t left = shift->nr_pages - i;
		uint64_t n = length_of_run(map, k, i, i + (left < max_run ? left : max_run));
		if (n > 0 && relocate(guest, shift->from_gfn[k] + i, shift->to_gfn + i, n) < 0) {
			*ret_error = errno;
			if (errno == ESRCH)
				return guest_failure(guest, failure, "");
			failed = true;
		} else {
			for (uint64_t page = i; page < i + n; page++) {
				map->at_source[k][page] = false;
				map->at_home[page] = true;
			}
		}
		i += n > 0 ? n : 1;
	}
	return failed;
}

/* After a run fails its pages are tried one by one, so that one bad page does not keep the others. */
static int move_all(struct guest *guest, const Xenvram__Internal__Shift *shift, struct page_map *map,
	int *ret_error, struct failure *failure)
{
	uint64_t max_run = shift->nr_pages;

	if (page_map_probe(map, guest, shift, failure) < 0)
		return -1;
	for (unsigned int pass = 0; pass < MAX_PASSES; pass++) {
		bool failed = false;
		for (size_t k = 0; k < shift->n_from_gfn; k++) {
			int rc = move_runs(guest, shift, map, k, max_run, ret_error, failure);
			/* It did not say how far it came: nothing may go where a page is by now. */
			if (rc < 0 || (rc > 0 && page_map_probe(map, guest, shift, failure) < 0))
				return -1;
			failed |= rc > 0;
		}
		if (!failed)
			break;
		max_run = 1;
	}
	return 0;
}

static int shift_thoroughly(struct guest *guest, const Xenvram__Internal__Shift *shift,
	Xenvram__Internal__Shifted *shifted, struct failure *failure)
{
	__attribute__((cleanup(page_map_deinit))) struct page_map map = {.at_home = NULL};
	int error = 0;

	if (page_map_init(&map, shift->nr_pages, failure) < 0 ||
		move_all(guest, shift, &map, &error, failure) < 0)
		return -1;
	for (uint64_t i = 0; i < shift->nr_pages; i++) {
		bool at_first = map.at_source[0][i], at_second = map.at_source[1][i];
		if (!at_first && !at_second) {
			shifted->n_missing += !map.at_home[i];
		} else if (!(map.at_home[i] && shift->home_wins) && shifted->n_stuck++ == 0) {
			shifted->first_stuck_gfn = shift->from_gfn[at_first ? 0 : 1] + i;
			shifted->contested = map.at_home[i] || (at_first && at_second);
		}
	}
	shifted->os_error = error;
	return 0;
}

int relocation_shift(struct guest *guest, const Xenvram__Internal__Shift *shift,
	Xenvram__Internal__Shifted *shifted, struct failure *failure)
{
	if (shift->n_from_gfn == 0 || shift->n_from_gfn > MAX_SOURCES || shift->nr_pages == 0 ||
		shift->nr_pages > MAX_REGION_PAGES)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, EINVAL, "a chunk that is none");
	return shift->thorough ? shift_thoroughly(guest, shift, shifted, failure)
			       : shift_at_once(guest, shift, failure);
}
