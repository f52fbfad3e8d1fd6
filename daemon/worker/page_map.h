/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where each page of a region is, found out by probing. */
#ifndef XENVRAM_WORKER_PAGE_MAP_H
#define XENVRAM_WORKER_PAGE_MAP_H

#include "daemon/worker/guest.h"
#include "proto/internal.pb-c.h"

/*
 * Stores the first runs of pages at the same place, at most max_runs, and their number, which is less only
 * when all pages are in them. 0, or -1 with the failure.
 */
int page_map_list(struct guest *guest, const Xenvram__Internal__Map *map, Xenvram__V1__MappedRun *runs,
	size_t max_runs, size_t *ret_n_runs, struct failure *failure);

#endif
