/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/arrangement.h"

#include <errno.h>

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

static int set_pin(struct guest *guest, const Xenvram__Internal__Range *range, uint32_t type)
{
	return xendevicemodel_pin_memory_cacheattr(guest->devicemodel, guest->domid, range->first_gfn,
		range->first_gfn + range->nr_pages - 1, type);
}

int arrangement_apply(struct guest *guest, const Xenvram__Internal__Arrange *arrange, bool *ret_pinned,
	struct failure *ret_warning, struct failure *failure)
{
	struct failure refused;
	bool pinned = true;

	for (size_t i = 0; i < arrange->n_unpin; i++) {
		/* ENOENT: nothing is pinned there, as after a worker died between moving and pinning. */
		if (set_pin(guest, arrange->unpin[i], XEN_DMOP_DELETE_MEM_CACHEATTR) < 0 && errno != ENOENT)
			return guest_failure(guest, failure, "the hypervisor refuses to unpin");
	}
	for (size_t i = 0; i < arrange->n_pin; i++) {
		if (set_pin(guest, arrange->pin[i], pin_type(arrange->cache_attr)) == 0)
			continue;
		guest_failure(guest, &refused, "the hypervisor refuses the pin of the memory type");
		if (arrange->require_pin || refused.status == XENVRAM__V1__STATUS__NO_DOMAIN) {
			*failure = refused;
			return -1;
		}
		*ret_warning = refused;
		pinned = false;
	}
	*ret_pinned = pinned;
	return 0;
}
