/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory types of ranges of the guest, pinned and unpinned. */
#ifndef XENVRAM_WORKER_ARRANGEMENT_H
#define XENVRAM_WORKER_ARRANGEMENT_H

#include <stdint.h>

#include "daemon/worker/guest.h"
#include "proto/internal.pb-c.h"

/*
 * Unpins, then pins. May be repeated: what is not pinned needs no unpinning, and what is pinned alike can be
 * pinned again. 0 with *ret_pinned (bit i: pin[i] is) and, where the hypervisor refused a pin
 * that is not required, a warning; or -1.
 */
int arrangement_apply(struct guest *guest, const Xenvram__Internal__Arrange *arrange, uint32_t *ret_pinned,
	struct failure *ret_warning, struct failure *failure);

#endif
