/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which gfns of the guest have a page behind them? */
#ifndef XENVRAM_WORKER_PAGES_H
#define XENVRAM_WORKER_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/worker/guest.h"

/*
 * Sets populated[i] for each of n gfns from `first` on, all below MAX_GFN (beyond 2^40 the answer would be
 * that of another gfn). Found out by mapping: the guest notices nothing, no dirty bit changes. 0, or -1 with
 * the failure: NO_DOMAIN, or HYPERVISOR when a gfn is neither clearly RAM nor clearly a hole.
 */
int pages_probe(struct guest *guest, uint64_t first, uint64_t n, bool *populated, struct failure *failure);

/* Is every page as `expected`? 0, or -1 with CONFLICT naming `what` and the first gfn that is not. */
int pages_expect(struct guest *guest, const char *what, uint64_t first, uint64_t n, bool expected,
	struct failure *failure);

#endif
