/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>

#include "client/libxenvram/call.h"

static_assert(XENVRAM_MAX_REGION_PAGES == MAX_REGION_PAGES, "the public cap is the protocol's");
static_assert(
	(int)XENVRAM_CACHE_WB == (int)XENVRAM__V1__CACHE_ATTR__WB, "values go over the wire as they are");
static_assert((int)XENVRAM_CACHE_UC == (int)XENVRAM__V1__CACHE_ATTR__UC, "");
static_assert((int)XENVRAM_CACHE_UC_MINUS == (int)XENVRAM__V1__CACHE_ATTR__UC_MINUS, "");
static_assert((int)XENVRAM_CACHE_WC == (int)XENVRAM__V1__CACHE_ATTR__WC, "");
static_assert((int)XENVRAM_CACHE_WT == (int)XENVRAM__V1__CACHE_ATTR__WT, "");
static_assert((int)XENVRAM_CACHE_WP == (int)XENVRAM__V1__CACHE_ATTR__WP, "");
static_assert((int)XENVRAM_REGION_CREATING == (int)XENVRAM__V1__REGION_STATE__CREATING, "");
static_assert((int)XENVRAM_REGION_ACTIVE == (int)XENVRAM__V1__REGION_STATE__ACTIVE, "");
static_assert((int)XENVRAM_REGION_DESTROYING == (int)XENVRAM__V1__REGION_STATE__DESTROYING, "");
static_assert((int)XENVRAM_REGION_STUCK == (int)XENVRAM__V1__REGION_STATE__REGION_STUCK, "");
static_assert((int)XENVRAM_REGION_GONE == (int)XENVRAM__V1__REGION_STATE__GONE, "");
static_assert((int)XENVRAM_REGION_MOVING == (int)XENVRAM__V1__REGION_STATE__MOVING, "");
static_assert((int)XENVRAM_REGION_SHRINKING == (int)XENVRAM__V1__REGION_STATE__SHRINKING, "");
static_assert((int)XENVRAM_AT_VRAM == (int)XENVRAM__V1__PAGE_PLACE__AT_VRAM, "");
static_assert((int)XENVRAM_AT_BACKING == (int)XENVRAM__V1__PAGE_PLACE__AT_BACKING, "");
static_assert((int)XENVRAM_AT_OLD_VRAM == (int)XENVRAM__V1__PAGE_PLACE__AT_OLD_VRAM, "");
static_assert((int)XENVRAM_MISSING == (int)XENVRAM__V1__PAGE_PLACE__MISSING, "");
static_assert((int)XENVRAM_CONTESTED == (int)XENVRAM__V1__PAGE_PLACE__CONTESTED, "");

int xenvram_create_region(struct xenvram *conn, const struct xenvram_create *create, uint64_t *ret_cookie)
{
	Xenvram__V1__CreateRegion create_region = XENVRAM__V1__CREATE_REGION__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	create_region.domid = create->domid;
	create_region.vram_gfn = create->vram_gfn;
	create_region.backing_gfn = create->backing_gfn;
	create_region.nr_pages = create->nr_pages;
	create_region.cache_attr = (Xenvram__V1__CacheAttr)create->cache_attr;
	create_region.require_cache_attr = create->require_cache_attr;
	create_region.adopt = create->adopt;
	create_region.dry_run = create->dry_run;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_CREATE_REGION;
	request.create_region = &create_region;

	_call_free_ Xenvram__V1__Packet *packet =
		call(conn, &request, XENVRAM__V1__REPLY__RESULT_CREATE_REGION);
	if (!packet)
		return -1;
	uint64_t cookie = packet->reply->create_region->cookie;
	if ((cookie == 0) != create->dry_run)
		return connection_break(conn, EPROTO,
			"xenvramd created a region without a cookie, or a cookie without a region");
	*ret_cookie = cookie;
	return 0;
}

static int destroy(struct xenvram *conn, uint64_t cookie, uint64_t first_page, uint64_t nr_pages)
{
	Xenvram__V1__DestroyRegion destroy_region = XENVRAM__V1__DESTROY_REGION__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	destroy_region.cookie = cookie;
	destroy_region.first_page = first_page;
	destroy_region.nr_pages = nr_pages;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_DESTROY_REGION;
	request.destroy_region = &destroy_region;
	return call_without_result(conn, &request);
}

int xenvram_destroy_region(struct xenvram *conn, uint64_t cookie)
{
	return destroy(conn, cookie, 0, 0);
}

int xenvram_destroy_range(struct xenvram *conn, uint64_t cookie, uint64_t first_page, uint64_t nr_pages)
{
	/* To the service no pages are all of them; nobody may destroy a region because he counted to nothing.
	 */
	if (nr_pages == 0) {
		if (connection_begin_connected(conn) < 0)
			return -1;
		return connection_fail(conn, EINVAL, "nr_pages 0 is no part of a region");
	}
	return destroy(conn, cookie, first_page, nr_pages);
}

int xenvram_move_region(struct xenvram *conn, uint64_t cookie, uint64_t vram_gfn)
{
	Xenvram__V1__MoveRegion move_region = XENVRAM__V1__MOVE_REGION__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	move_region.cookie = cookie;
	move_region.vram_gfn = vram_gfn;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MOVE_REGION;
	request.move_region = &move_region;
	return call_without_result(conn, &request);
}

/* ---- page maps ---- */

/* 0 with the end of the reply's runs in *end; or what each() returned; or -1, also when runs go back. */
static int each_run(struct xenvram *conn, const Xenvram__V1__MapRegionReply *map, uint64_t *end,
	int (*each)(const struct xenvram_mapped_run *run, void *data), void *data)
{
	for (size_t i = 0; i < map->n_runs; i++) {
		const Xenvram__V1__MappedRun *packed = map->runs[i];
		struct xenvram_mapped_run run = {
			.first = packed->first,
			.nr_pages = packed->nr_pages,
			.place = (enum xenvram_page_place)packed->place,
			.gfn = packed->gfn,
		};
		if (run.first < *end || run.nr_pages == 0 || run.nr_pages > MAX_REGION_PAGES ||
			run.first >= MAX_REGION_PAGES)
			return connection_break(conn, EPROTO, "xenvramd mapped pages out of order");
		*end = run.first + run.nr_pages;
		int result = each(&run, data);
		if (result != 0)
			return result;
	}
	return 0;
}

/* Asks again from *first_page, a field of the request, until all is told. */
static int map_pages(struct xenvram *conn, Xenvram__V1__Request *request, uint64_t *first_page,
	int (*each)(const struct xenvram_mapped_run *run, void *data), void *data)
{
	uint64_t end = 0;

	do {
		_call_free_ Xenvram__V1__Packet *packet =
			call(conn, request, XENVRAM__V1__REPLY__RESULT_MAP_REGION);
		if (!packet)
			return -1;
		const Xenvram__V1__MapRegionReply *map = packet->reply->map_region;
		int result = each_run(conn, map, &end, each, data);
		if (result != 0)
			return result;
		if (map->next_page != 0 && (map->next_page < end || map->next_page <= *first_page))
			return connection_break(conn, EPROTO, "xenvramd maps the same pages again");
		*first_page = map->next_page;
	} while (*first_page != 0);
	return 0;
}

int xenvram_map_region(struct xenvram *conn, uint64_t cookie,
	int (*each)(const struct xenvram_mapped_run *run, void *data), void *data)
{
	Xenvram__V1__MapRegion map_region = XENVRAM__V1__MAP_REGION__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	map_region.cookie = cookie;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MAP_REGION;
	request.map_region = &map_region;
	return map_pages(conn, &request, &map_region.first_page, each, data);
}

int xenvram_map_ram(struct xenvram *conn, uint32_t domid, uint64_t source_gfn, uint64_t destination_gfn,
	uint64_t nr_pages, int (*each)(const struct xenvram_mapped_run *run, void *data), void *data)
{
	Xenvram__V1__MapRam map_ram = XENVRAM__V1__MAP_RAM__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	map_ram.domid = domid;
	map_ram.source_gfn = source_gfn;
	map_ram.destination_gfn = destination_gfn;
	map_ram.nr_pages = nr_pages;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MAP_RAM;
	request.map_ram = &map_ram;
	return map_pages(conn, &request, &map_ram.first_page, each, data);
}
