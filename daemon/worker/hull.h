/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hypervisor tracks one range a domain: which, when several are wanted? */
#ifndef XENVRAM_WORKER_HULL_H
#define XENVRAM_WORKER_HULL_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/common/extent.h"

/*
 * The range to track for these extents of gfns, none of them empty: their hull or, when that has more than
 * max_pages, a range of at most max_pages that covers as many of their pages as any does. `current` is kept
 * if it covers as many: a change of range costs all readers everything dirty once.
 */
struct extent hull_choose(const struct extent *extents, size_t n, uint64_t max_pages, struct extent current);

#endif
