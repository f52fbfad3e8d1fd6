/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/page_map.h"

#include "daemon/worker/pages.h"

/* Pages probed at a time. */
#define BATCH 1024u

struct lister {
	struct guest *guest;
	const Xenvram__Internal__Map *map;
	Xenvram__V1__MappedRun *runs;
	size_t max_runs;
	size_t n_runs;
};

/* Makes the last run longer, or begins another. Is there no room for that? */
static bool add_page(struct lister *lister, uint64_t page, Xenvram__V1__PagePlace place, uint64_t gfn)
{
	Xenvram__V1__MappedRun *last = lister->n_runs > 0 ? &lister->runs[lister->n_runs - 1] : NULL;

	if (last && last->first + last->nr_pages == page && last->place == place &&
		(place == XENVRAM__V1__PAGE_PLACE__MISSING || last->gfn + last->nr_pages == gfn)) {
		last->nr_pages++;
		return true;
	}
	if (lister->n_runs == lister->max_runs)
		return false;
	last = &lister->runs[lister->n_runs++];
	xenvram__v1__mapped_run__init(last);
	last->first = page;
	last->nr_pages = 1;
	last->place = place;
	last->gfn = gfn;
	return true;
}

static bool place_page(struct lister *lister, uint64_t page, bool at_vram, bool at_backing, bool at_old_vram)
{
	const Xenvram__Internal__Map *map = lister->map;

	if (at_vram + at_backing + at_old_vram > 1)
		return add_page(lister, page, XENVRAM__V1__PAGE_PLACE__CONTESTED,
			(at_vram ? map->vram_gfn : map->old_vram_gfn) + page);
	if (at_vram)
		return add_page(lister, page, XENVRAM__V1__PAGE_PLACE__AT_VRAM, map->vram_gfn + page);
	if (at_backing)
		return add_page(lister, page, XENVRAM__V1__PAGE_PLACE__AT_BACKING, map->backing_gfn + page);
	if (at_old_vram)
		return add_page(lister, page, XENVRAM__V1__PAGE_PLACE__AT_OLD_VRAM, map->old_vram_gfn + page);
	return add_page(lister, page, XENVRAM__V1__PAGE_PLACE__MISSING, 0);
}

/* 0; 1: there is no room for more runs; -1 with the failure. */
static int list_batch(struct lister *lister, uint64_t first, uint64_t n, struct failure *failure)
{
	const Xenvram__Internal__Map *map = lister->map;
	bool vram[BATCH], backing[BATCH] = {false}, old_vram[BATCH] = {false};

	if (pages_probe(lister->guest, map->vram_gfn + first, n, vram, failure) < 0)
		return -1;
	if (map->has_backing && pages_probe(lister->guest, map->backing_gfn + first, n, backing, failure) < 0)
		return -1;
	if (map->has_old_vram &&
		pages_probe(lister->guest, map->old_vram_gfn + first, n, old_vram, failure) < 0)
		return -1;
	for (uint64_t i = 0; i < n; i++) {
		if (!place_page(lister, first + i, vram[i], backing[i], old_vram[i]))
			return 1;
	}
	return 0;
}

int page_map_list(struct guest *guest, const Xenvram__Internal__Map *map, Xenvram__V1__MappedRun *runs,
	size_t max_runs, size_t *ret_n_runs, struct failure *failure)
{
	struct lister lister = {.guest = guest, .map = map, .runs = runs, .max_runs = max_runs};
	int rc = 0;

	for (size_t i = 0; i < map->n_runs && rc == 0; i++) {
		uint64_t end = map->runs[i]->first + map->runs[i]->nr_pages;
		for (uint64_t first = map->runs[i]->first; first < end && rc == 0; first += BATCH)
			rc = list_batch(&lister, first, end - first < BATCH ? end - first : BATCH, failure);
	}
	if (rc < 0)
		return -1;
	*ret_n_runs = lister.n_runs;
	return 0;
}
