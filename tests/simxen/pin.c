/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/pin.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <xen/xen.h>

#include <xen/hvm/dm_op.h>

#define PHYSICAL_GFN_BITS 40u

static bool type_is_good(uint32_t type)
{
	switch (type) {
	case XEN_DMOP_MEM_CACHEATTR_UC:
	case XEN_DMOP_MEM_CACHEATTR_WC:
	case XEN_DMOP_MEM_CACHEATTR_WT:
	case XEN_DMOP_MEM_CACHEATTR_WP:
	case XEN_DMOP_MEM_CACHEATTR_WB:
	case XEN_DMOP_MEM_CACHEATTR_UCM:
	case XEN_DMOP_DELETE_MEM_CACHEATTR:
		return true;
	default:
		return false;
	}
}

int pin_set(struct pins *pins, uint64_t first_gfn, uint64_t last_gfn, uint32_t type)
{
	struct pin *unused = NULL;

	if (last_gfn < first_gfn || last_gfn >> PHYSICAL_GFN_BITS || !type_is_good(type))
		return -EINVAL;
	for (unsigned int i = 0; i < PIN_MAX_RANGES; i++) {
		struct pin *pin = &pins->ranges[i];
		if (!pin->used) {
			unused = pin;
		} else if (pin->first_gfn == first_gfn && pin->last_gfn == last_gfn) {
			if (type == XEN_DMOP_DELETE_MEM_CACHEATTR)
				pin->used = 0;
			else
				pin->type = type;
			return 0;
		} else if (type != XEN_DMOP_DELETE_MEM_CACHEATTR && pin->first_gfn <= last_gfn &&
			   first_gfn <= pin->last_gfn) {
			return -EBUSY;
		}
	}
	if (type == XEN_DMOP_DELETE_MEM_CACHEATTR)
		return -ENOENT;
	if (!unused)
		return -ENOSPC;
	unused->first_gfn = first_gfn;
	unused->last_gfn = last_gfn;
	unused->type = type;
	atomic_signal_fence(memory_order_seq_cst);
	unused->used = 1;
	return 0;
}
