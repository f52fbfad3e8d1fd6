/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/pin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static uint32_t type_of(Xenvram__V1__CacheAttr attr)
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

static int call(struct guest *guest, struct extent gfns, uint32_t type)
{
	return xendevicemodel_pin_memory_cacheattr(
		guest->devicemodel, guest->domid, gfns.first, extent_end(gfns) - 1, type);
}

int pin_set(
	struct guest *guest, struct extent gfns, Xenvram__V1__CacheAttr cache_attr, struct failure *failure)
{
	if (call(guest, gfns, type_of(cache_attr)) == 0)
		return 0;
	char what[96];
	int refused = errno;
	snprintf(what, sizeof(what),
		"the hypervisor refuses the pin of gfn 0x%" PRIx64 " + %" PRIu64 " pages' memory type",
		gfns.first, gfns.nr_pages);
	errno = refused;
	return guest_failure(guest, failure, what);
}

int pin_delete(struct guest *guest, struct extent gfns, struct failure *failure)
{
	if (call(guest, gfns, XEN_DMOP_DELETE_MEM_CACHEATTR) == 0 || errno == ENOENT)
		return 0;
	return guest_failure(guest, failure, "the hypervisor refuses to unpin");
}
