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

int xenvram_destroy_region(struct xenvram *conn, uint64_t cookie)
{
	Xenvram__V1__DestroyRegion destroy_region = XENVRAM__V1__DESTROY_REGION__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	destroy_region.cookie = cookie;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_DESTROY_REGION;
	request.destroy_region = &destroy_region;
	return call_without_result(conn, &request);
}
