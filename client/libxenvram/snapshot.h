/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XENVRAM_CLIENT_SNAPSHOT_H
#define XENVRAM_CLIENT_SNAPSHOT_H

#include "client/libxenvram/connection.h"

/*
 * Copies the reply's bitmap to one with room for bitmap_pages pages, and what it counts. `asked` pages were
 * asked for, 0: however many there are. -1 with ERANGE, too little room, or EPROTO.
 */
int snapshot_take(struct xenvram *conn, const Xenvram__V1__SnapshotReply *reply, uint64_t asked,
	uint64_t *bitmap, uint64_t bitmap_pages, struct xenvram_snapshot *ret_snapshot);

#endif
