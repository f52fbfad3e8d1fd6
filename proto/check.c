/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "proto/limits.h"

#define INVALID XENVRAM__V1__STATUS__INVALID

/* By which cap of proto/limits.h, in the words of refusals by limits. */
#define FIXED_BY(cap) ", by " #cap ", which is fixed in this build"

static int check_domid(uint32_t domid, struct failure *failure)
{
	if (domid > MAX_DOMID)
		return failure_set(
			failure, INVALID, EINVAL, "domid %" PRIu32 " is above %u", domid, MAX_DOMID);
	return 0;
}

static int check_cookie(uint64_t cookie, struct failure *failure)
{
	if (cookie == 0)
		return failure_set(failure, INVALID, EINVAL, "cookie 0 names no region");
	return 0;
}

/* first + nr_pages neither wraps nor leaves the frames that the hypervisor handles safely. */
static int check_range(const char *name, uint64_t first, uint64_t nr_pages, struct failure *failure)
{
	if (first >= MAX_GFN || nr_pages > MAX_GFN - first)
		return failure_set(failure, INVALID, EINVAL,
			"%s 0x%" PRIx64 " + %" PRIu64 " pages does not lie below gfn 0x%llx", name, first,
			nr_pages, MAX_GFN);
	return 0;
}

static int check_cache_attr(Xenvram__V1__CacheAttr cache_attr, struct failure *failure)
{
	if (!protobuf_c_enum_descriptor_get_value(&xenvram__v1__cache_attr__descriptor, cache_attr))
		return failure_set(failure, INVALID, EINVAL, "cache_attr %d is not one of 0 (WB) to 5 (WP)",
			(int)cache_attr);
	return 0;
}

static int check_apart(const char *name, uint64_t first, const char *other_name, uint64_t other_first,
	uint64_t nr_pages, struct failure *failure)
{
	if (first < other_first + nr_pages && other_first < first + nr_pages)
		return failure_set(failure, INVALID, EINVAL,
			"%s 0x%" PRIx64 " and %s 0x%" PRIx64 " overlap within %" PRIu64 " pages", name, first,
			other_name, other_first, nr_pages);
	return 0;
}

/* As many as one range can be tracked of. */
static int check_nr_pages(uint64_t nr_pages, struct failure *failure)
{
	if (nr_pages == 0 || nr_pages > MAX_REGION_PAGES)
		return failure_set(failure, INVALID, EINVAL,
			"nr_pages %" PRIu64 " is not in 1..%llu" FIXED_BY(MAX_REGION_PAGES), nr_pages,
			MAX_REGION_PAGES);
	return 0;
}

static int check_backing(const Xenvram__V1__CreateRegion *create, struct failure *failure)
{
	uint64_t nr_pages = create->nr_pages;

	if (check_range("backing_gfn", create->backing_gfn, nr_pages, failure) < 0)
		return -1;
	return check_apart(
		"vram_gfn", create->vram_gfn, "backing_gfn", create->backing_gfn, nr_pages, failure);
}

static int check_no_backing(const Xenvram__V1__CreateRegion *create, struct failure *failure)
{
	if (create->backing_gfn != 0)
		return failure_set(failure, INVALID, EINVAL,
			"backing_gfn 0x%" PRIx64
			" is given for pages to be adopted where they are, which have none",
			create->backing_gfn);
	return 0;
}

static int check_create_region(const Xenvram__V1__CreateRegion *create, struct failure *failure)
{
	uint64_t nr_pages = create->nr_pages;

	if (check_domid(create->domid, failure) < 0 || check_nr_pages(nr_pages, failure) < 0)
		return -1;
	if (check_range("vram_gfn", create->vram_gfn, nr_pages, failure) < 0)
		return -1;
	if (create->adopt ? check_no_backing(create, failure) < 0 : check_backing(create, failure) < 0)
		return -1;
	return check_cache_attr(create->cache_attr, failure);
}

static int check_way(uint32_t domid, uint64_t source_gfn, uint64_t destination_gfn, uint64_t nr_pages,
	struct failure *failure)
{
	if (check_domid(domid, failure) < 0 || check_nr_pages(nr_pages, failure) < 0 ||
		check_range("source_gfn", source_gfn, nr_pages, failure) < 0 ||
		check_range("destination_gfn", destination_gfn, nr_pages, failure) < 0)
		return -1;
	return check_apart("source_gfn", source_gfn, "destination_gfn", destination_gfn, nr_pages, failure);
}

static int check_move_ram(const Xenvram__V1__MoveRam *move, struct failure *failure)
{
	return check_way(move->domid, move->source_gfn, move->destination_gfn, move->nr_pages, failure);
}

static int check_map_ram(const Xenvram__V1__MapRam *map, struct failure *failure)
{
	if (check_way(map->domid, map->source_gfn, map->destination_gfn, map->nr_pages, failure) < 0)
		return -1;
	if (map->first_page >= map->nr_pages)
		return failure_set(failure, INVALID, ERANGE,
			"first_page %" PRIu64 " is none of %" PRIu64 " pages", map->first_page,
			map->nr_pages);
	return 0;
}

static int check_track_dirty(const Xenvram__V1__TrackDirty *track, struct failure *failure)
{
	if (check_domid(track->domid, failure) < 0)
		return -1;
	if (track->nr_pages == 0 && track->first_gfn == 0)
		return 0;
	if (check_nr_pages(track->nr_pages, failure) < 0)
		return -1;
	return check_range("first_gfn", track->first_gfn, track->nr_pages, failure);
}

/* A pin may be longer than any region, and lie where there are no pages. */
static int check_pinned_range(uint32_t domid, uint64_t first_gfn, uint64_t nr_pages, struct failure *failure)
{
	if (check_domid(domid, failure) < 0)
		return -1;
	if (nr_pages == 0)
		return failure_set(failure, INVALID, EINVAL, "nr_pages 0 is no range");
	return check_range("first_gfn", first_gfn, nr_pages, failure);
}

static int check_pin_cacheattr(const Xenvram__V1__PinCacheattr *pin, struct failure *failure)
{
	if (check_pinned_range(pin->domid, pin->first_gfn, pin->nr_pages, failure) < 0)
		return -1;
	return check_cache_attr(pin->cache_attr, failure);
}

static int check_destroy_region(const Xenvram__V1__DestroyRegion *destroy, struct failure *failure)
{
	if (check_cookie(destroy->cookie, failure) < 0)
		return -1;
	if (destroy->nr_pages == 0 && destroy->first_page != 0)
		return failure_set(failure, INVALID, EINVAL,
			"first_page %" PRIu64 " with nr_pages 0, which is all of the region",
			destroy->first_page);
	return 0;
}

static int check_move_region(const Xenvram__V1__MoveRegion *move, struct failure *failure)
{
	if (check_cookie(move->cookie, failure) < 0)
		return -1;
	return check_range("vram_gfn", move->vram_gfn, 1, failure);
}

static int check_period(uint32_t period_us, struct failure *failure)
{
	if (period_us != 0 && (period_us < MIN_PERIOD_US || period_us > MAX_PERIOD_US))
		return failure_set(failure, INVALID, EINVAL,
			"period_us %" PRIu32
			" is neither 0 (default, %u) nor in %u..%u" FIXED_BY(MIN_PERIOD_US..MAX_PERIOD_US),
			period_us, DEFAULT_PERIOD_US, MIN_PERIOD_US, MAX_PERIOD_US);
	return 0;
}

static int check_mark_dirty(const Xenvram__V1__MarkDirty *mark, struct failure *failure)
{
	if (check_cookie(mark->cookie, failure) < 0)
		return -1;
	if (mark->n_runs == 0 || mark->n_runs > MAX_MARKED_RUNS)
		return failure_set(failure, INVALID, EINVAL,
			"%zu runs are not in 1..%u" FIXED_BY(MAX_MARKED_RUNS), mark->n_runs, MAX_MARKED_RUNS);
	uint64_t end = 0; /* so that no request costs more than its region is long */
	for (size_t i = 0; i < mark->n_runs; i++) {
		const Xenvram__V1__Run *run = mark->runs[i];
		if (run->nr_pages == 0 || run->nr_pages > MAX_REGION_PAGES || run->first >= MAX_REGION_PAGES)
			return failure_set(failure, INVALID, EINVAL,
				"run %zu: page %" PRIu64 " + %" PRIu64
				" pages lies in no region of at most %llu" FIXED_BY(MAX_REGION_PAGES),
				i, run->first, run->nr_pages, MAX_REGION_PAGES);
		if (run->first < end)
			return failure_set(failure, INVALID, EINVAL,
				"run %zu begins at page %" PRIu64 ", before the end of the one before it", i,
				run->first);
		end = run->first + run->nr_pages;
	}
	return 0;
}

int check_hello(const Xenvram__V1__Hello *hello, uint32_t *ret_version, struct failure *failure)
{
	if (hello->version_min > hello->version_max)
		return failure_set(failure, INVALID, EINVAL,
			"version_min %" PRIu32 " is above version_max %" PRIu32, hello->version_min,
			hello->version_max);
	if (hello->version_min > PROTOCOL_VERSION_MAX || hello->version_max < PROTOCOL_VERSION_MIN)
		return failure_set(failure, XENVRAM__V1__STATUS__VERSION, EPROTONOSUPPORT,
			"protocol versions %" PRIu32 " to %" PRIu32 " asked for, %u to %u spoken here",
			hello->version_min, hello->version_max, PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX);
	*ret_version = hello->version_max < PROTOCOL_VERSION_MAX ? hello->version_max : PROTOCOL_VERSION_MAX;
	return 0;
}

int check_request(const Xenvram__V1__Request *request, struct failure *failure)
{
	if (request->serial == 0)
		return failure_set(failure, INVALID, EINVAL, "serial 0 is not allowed");

	switch (request->operation_case) {
	case XENVRAM__V1__REQUEST__OPERATION_HELLO:
		if (strlen(request->hello->client) > MAX_CLIENT_NAME_BYTES)
			return failure_set(failure, INVALID, EINVAL,
				"the client's name has %zu bytes; at most %u are allowed" FIXED_BY(
					MAX_CLIENT_NAME_BYTES),
				strlen(request->hello->client), MAX_CLIENT_NAME_BYTES);
		return 0;
	case XENVRAM__V1__REQUEST__OPERATION_BIND:
		return check_domid(request->bind->domid, failure);
	case XENVRAM__V1__REQUEST__OPERATION_CREATE_REGION:
		return check_create_region(request->create_region, failure);
	case XENVRAM__V1__REQUEST__OPERATION_DESTROY_REGION:
		return check_destroy_region(request->destroy_region, failure);
	case XENVRAM__V1__REQUEST__OPERATION_LIST_REGIONS:
		return request->list_regions->by_domid ? check_domid(request->list_regions->domid, failure)
						       : 0;
	case XENVRAM__V1__REQUEST__OPERATION_LIST_DOMAINS:
		return 0;
	case XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT:
		return check_cookie(request->snapshot->cookie, failure);
	case XENVRAM__V1__REQUEST__OPERATION_SUBSCRIBE:
		if (check_cookie(request->subscribe->cookie, failure) < 0)
			return -1;
		return check_period(request->subscribe->period_us, failure);
	case XENVRAM__V1__REQUEST__OPERATION_UNSUBSCRIBE:
		if (request->unsubscribe->subscription == 0)
			return failure_set(failure, INVALID, EINVAL, "subscription 0 names none");
		return 0;
	case XENVRAM__V1__REQUEST__OPERATION_MARK_DIRTY:
		return check_mark_dirty(request->mark_dirty, failure);
	case XENVRAM__V1__REQUEST__OPERATION_REFRESH:
		return check_cookie(request->refresh->cookie, failure);
	case XENVRAM__V1__REQUEST__OPERATION_MOVE_REGION:
		return check_move_region(request->move_region, failure);
	case XENVRAM__V1__REQUEST__OPERATION_MAP_REGION:
		return check_cookie(request->map_region->cookie, failure);
	case XENVRAM__V1__REQUEST__OPERATION_MOVE_RAM:
		return check_move_ram(request->move_ram, failure);
	case XENVRAM__V1__REQUEST__OPERATION_MAP_RAM:
		return check_map_ram(request->map_ram, failure);
	case XENVRAM__V1__REQUEST__OPERATION_TRACK_DIRTY:
		return check_track_dirty(request->track_dirty, failure);
	case XENVRAM__V1__REQUEST__OPERATION_PIN_CACHEATTR:
		return check_pin_cacheattr(request->pin_cacheattr, failure);
	case XENVRAM__V1__REQUEST__OPERATION_UNPIN_CACHEATTR:
		return check_pinned_range(request->unpin_cacheattr->domid,
			request->unpin_cacheattr->first_gfn, request->unpin_cacheattr->nr_pages, failure);
	case XENVRAM__V1__REQUEST__OPERATION_LIST_PINS:
		return check_domid(request->list_pins->domid, failure);
	case XENVRAM__V1__REQUEST__OPERATION__NOT_SET:
	default:
		return failure_set(failure, INVALID, EOPNOTSUPP, "no operation that this daemon knows");
	}
}
