/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving a region's pages into place and back, so that whatever fails or dies in the middle can be put
 * right: the hypervisor does not say how far a move came, so the truth is always probed. No page is ever
 * moved onto a populated gfn, which would free the page there.
 */
#ifndef XENVRAM_WORKER_RELOCATION_H
#define XENVRAM_WORKER_RELOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/worker/guest.h"
#include "proto/internal.pb-c.h"

/* Is every backing page there and every vram gfn a hole; or, to be adopted, every vram page there? 0, or -1
 * with CONFLICT naming the page that is not.
 */
int relocation_check(struct guest *guest, const Xenvram__Internal__Region *region, struct failure *failure);

/*
 * Backing to vram, unless adopted, then the pin, after relocation_check said yes. 0 with *ret_pinned and,
 * where the pin was refused but not required, a warning. After a failure (-1) pages may be at either place:
 * relocation_undo.
 */
int relocation_place(struct guest *guest, const Xenvram__Internal__Region *region, bool *ret_pinned,
	struct failure *ret_warning, struct failure *failure);

/*
 * Unpins, and, unless they were adopted, moves back every page of the region that is at its vram gfn, from
 * whatever state the region is in. May be repeated. 0, with a warning if pages are in neither place (the
 * guest gave them up); or -1: STUCK when pages remain that could not be moved, or what a probe failed with.
 */
int relocation_undo(struct guest *guest, const Xenvram__Internal__Region *region, struct failure *ret_warning,
	struct failure *failure);

#endif
