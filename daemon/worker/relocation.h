/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving pages of the guest, so that whatever fails or dies in the middle can be put right: the hypervisor
 * does not say how far a move came, so the truth is always probed. No page is ever moved onto a populated
 * gfn, which would free the page there.
 */
#ifndef XENVRAM_WORKER_RELOCATION_H
#define XENVRAM_WORKER_RELOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/worker/guest.h"
#include "proto/internal.pb-c.h"

/* Is every page as expected? 0, or -1 with CONFLICT naming the one that is not. */
int relocation_check(struct guest *guest, const Xenvram__Internal__Check *check, struct failure *failure);

/*
 * Moves a chunk. Not thorough: if all of to_gfn are holes, in one go; after a failure (-1) pages may be at
 * either end. Thorough: every page that is at from_gfn and has a hole at to_gfn, from whatever state, and may
 * be repeated; 0 with *shifted saying what could not be moved, or -1 with what a probe failed with.
 */
int relocation_shift(struct guest *guest, const Xenvram__Internal__Shift *shift,
	Xenvram__Internal__Shifted *shifted, struct failure *failure);

#endif
