/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/relocation.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"
#include "daemon/worker/pages.h"

/* A relocation is not preemptible: this bounds how long one call keeps a physical CPU. */
#define CHUNK_PAGES 256u
/* Passes of probing and moving before pages that do not move are called stuck. */
#define MAX_PASSES 3u

struct page_map {
	bool *vram;
	bool *backing;
};

static void page_map_deinit(struct page_map *map)
{
	free(map->vram);
	free(map->backing);
}

static int page_map_probe(struct page_map *map, struct guest *guest, const Xenvram__Internal__Region *region,
	struct failure *failure)
{
	if (pages_probe(guest, region->vram_gfn, region->nr_pages, map->vram, failure) < 0)
		return -1;
	return pages_probe(guest, region->backing_gfn, region->nr_pages, map->backing, failure);
}

static uint32_t pin_type(Xenvram__V1__CacheAttr attr)
{
	switch (attr) {
	case XENVRAM__V1__CACHE_ATTR__UC:
		return XEN_DMOP_MEM_CACHEATTR_UC;
	case XENVRAM__V1__CACHE_ATTR__UC_MINUS:
		return XEN_DMOP_MEM_CACHEATTR_UCM;
	case XENVRAM__V1__CACHE_ATTR__WC:
		return XEN_DMOP_MEM_CACHEATTR_WC;
	case XENVRAM__V1__CACHE_ATTR__WT:
		return XEN_DMOP_MEM_CACHEATTR_WT;
	case XENVRAM__V1__CACHE_ATTR__WP:
		return XEN_DMOP_MEM_CACHEATTR_WP;
	case XENVRAM__V1__CACHE_ATTR__WB:
	default:
		return XEN_DMOP_MEM_CACHEATTR_WB;
	}
}

static int set_pin(struct guest *guest, const Xenvram__Internal__Region *region, uint32_t type)
{
	return xendevicemodel_pin_memory_cacheattr(guest->devicemodel, guest->domid, region->vram_gfn,
		region->vram_gfn + region->nr_pages - 1, type);
}

static int pin(struct guest *guest, const Xenvram__Internal__Region *region, bool *ret_pinned,
	struct failure *ret_warning, struct failure *failure)
{
	bool pinned = set_pin(guest, region, pin_type(region->cache_attr)) == 0;
	if (!pinned) {
		struct failure refused;
		guest_failure(guest, &refused, "the hypervisor refuses the pin of the memory type");
		if (region->require_cache_attr || refused.status == XENVRAM__V1__STATUS__NO_DOMAIN) {
			*failure = refused;
			return -1;
		}
		*ret_warning = refused;
	}
	*ret_pinned = pinned;
	return 0;
}

/* ENOENT: nothing is pinned there, as after a worker died between moving and pinning. */
static int unpin(struct guest *guest, const Xenvram__Internal__Region *region, struct failure *failure)
{
	if (set_pin(guest, region, XEN_DMOP_DELETE_MEM_CACHEATTR) == 0 || errno == ENOENT)
		return 0;
	return guest_failure(guest, failure, "the hypervisor refuses to unpin");
}

static int relocate(struct guest *guest, uint64_t source, uint64_t destination, uint64_t n)
{
	for (uint64_t done = 0; done < n; done += CHUNK_PAGES) {
		uint32_t chunk = n - done < CHUNK_PAGES ? n - done : CHUNK_PAGES;
		if (xendevicemodel_relocate_memory(
			    guest->devicemodel, guest->domid, chunk, source + done, destination + done) < 0)
			return -1;
	}
	return 0;
}

/*
 * Moves back what is at vram and has a hole at backing, run by run. After a run fails its pages are tried
 * one by one in the next pass, so that one bad page does not keep the others.
 */
static int move_back(struct guest *guest, const Xenvram__Internal__Region *region, struct page_map *map,
	struct failure *failure)
{
	uint64_t max_run = region->nr_pages;

	for (unsigned int pass = 0; pass < MAX_PASSES; pass++) {
		bool failed = false;
		if (page_map_probe(map, guest, region, failure) < 0)
			return -1;
		for (uint64_t i = 0; i < region->nr_pages;) {
			uint64_t n = 0;
			while (i + n < region->nr_pages && n < max_run && map->vram[i + n] &&
				!map->backing[i + n])
				n++;
			if (n > 0 && relocate(guest, region->vram_gfn + i, region->backing_gfn + i, n) < 0) {
				guest_failure(guest, failure, "cannot move pages back");
				if (failure->status == XENVRAM__V1__STATUS__NO_DOMAIN)
					return -1;
				if (!failed)
					log_warning("%s", failure->text);
				failed = true;
			}
			i += n > 0 ? n : 1;
		}
		if (!failed)
			break;
		max_run = 1;
	}
	return page_map_probe(map, guest, region, failure);
}

/* Moves back what can be, and says what then is where it should not be. */
static int bring_home(struct guest *guest, const Xenvram__Internal__Region *region,
	struct failure *ret_warning, struct failure *failure)
{
	__attribute__((cleanup(page_map_deinit))) struct page_map map = {
		.vram = calloc(region->nr_pages, sizeof(bool)),
		.backing = calloc(region->nr_pages, sizeof(bool)),
	};
	if (!map.vram || !map.backing)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
	if (move_back(guest, region, &map, failure) < 0)
		return -1;

	uint64_t stuck = 0, first_stuck = 0, missing = 0;
	for (uint64_t i = 0; i < region->nr_pages; i++) {
		/* In a region that was never complete, a page at backing never left. */
		bool at_home = map.backing[i] && !region->placed;
		if (map.vram[i] && !at_home && stuck++ == 0)
			first_stuck = i;
		if (!map.vram[i] && !map.backing[i])
			missing++;
	}
	if (stuck > 0)
		return failure_set(failure, XENVRAM__V1__STATUS__STUCK, EBUSY,
			"domain %u: %" PRIu64 " of %" PRIu64
			" pages are still at vram, the first at gfn 0x%" PRIx64
			"%s; destroy the region again when the cause is gone",
			guest->domid, stuck, region->nr_pages, region->vram_gfn + first_stuck,
			map.backing[first_stuck] ? " with another page in its place at backing" : "");
	if (missing > 0)
		failure_set(ret_warning, XENVRAM__V1__STATUS__OK, 0,
			"domain %u: %" PRIu64 " of %" PRIu64
			" pages are neither at vram nor at backing: the guest or its toolstack took them",
			guest->domid, missing, region->nr_pages);
	return 0;
}

int relocation_undo(struct guest *guest, const Xenvram__Internal__Region *region, struct failure *ret_warning,
	struct failure *failure)
{
	if (unpin(guest, region, failure) < 0)
		return -1;
	return region->adopted ? 0 : bring_home(guest, region, ret_warning, failure);
}

int relocation_check(struct guest *guest, const Xenvram__Internal__Region *region, struct failure *failure)
{
	if (region->adopted)
		return pages_expect(guest, "vram", region->vram_gfn, region->nr_pages, true, failure);
	if (pages_expect(guest, "backing", region->backing_gfn, region->nr_pages, true, failure) < 0)
		return -1;
	return pages_expect(guest, "vram", region->vram_gfn, region->nr_pages, false, failure);
}

int relocation_place(struct guest *guest, const Xenvram__Internal__Region *region, bool *ret_pinned,
	struct failure *ret_warning, struct failure *failure)
{
	if (!region->adopted && relocate(guest, region->backing_gfn, region->vram_gfn, region->nr_pages) < 0)
		return guest_failure(guest, failure, "cannot move the pages into place");
	return pin(guest, region, ret_pinned, ret_warning, failure);
}
