/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pinned memory type of a range of the guest. */
#ifndef XENVRAM_WORKER_PIN_H
#define XENVRAM_WORKER_PIN_H

#include "daemon/common/extent.h"
#include "daemon/worker/guest.h"

/*
 * Pins, or gives what is pinned with these very bounds another type. 0, or -1 with the failure. The
 * hypervisor refuses what overlaps another pin (EBUSY), the 65th (ENOSPC), and, from 4.21 on, types other
 * than WB for a domain without devices of its own (EPERM).
 */
int pin_set(
	struct guest *guest, struct extent gfns, Xenvram__V1__CacheAttr cache_attr, struct failure *failure);

/* Unpins what is pinned with these very bounds; done, too, when nothing is. 0, or -1 with the failure. */
int pin_delete(struct guest *guest, struct extent gfns, struct failure *failure);

#endif
