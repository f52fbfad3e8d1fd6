/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A mapped region log and what wakes its reader. */
#ifndef XENVRAM_CLIENT_VIEW_H
#define XENVRAM_CLIENT_VIEW_H

#include "client/libxenvram/xenvram.h"
#include "proto/region_log.h"

struct view {
	struct xenvram_view public; /* first: its address is the user's handle */
	struct region_log log;
	uint64_t subscription;
	uint64_t first; /* what it subscribed to, all within the log */
	uint64_t nr_pages;
	int wake_fd; /* -1: none */
};

/*
 * Of all the log's pages. Maps the log and takes over wake_fd, which may be -1, also when it fails: NULL with
 * errno, EPROTO when they are not what they should be. A log must be sealed against shrinking, or loading
 * from it could kill the process; the wake descriptor must be a pipe, or emptying it could do anything.
 */
struct view *view_new(uint64_t subscription, int log_fd, int wake_fd);
struct view *view_free(struct view *view);

static inline struct view *view_of(const struct xenvram_view *view)
{
	return (struct view *)view;
}

#endif
