/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ranges of gfns that are no regions. */
#include "client/libxenvram/call.h"
#include "client/libxenvram/snapshot.h"

int xenvram_track_dirty(struct xenvram *conn, uint32_t domid, uint64_t first_gfn, uint64_t nr_pages,
	uint64_t since, uint64_t *bitmap, struct xenvram_snapshot *ret_snapshot)
{
	Xenvram__V1__TrackDirty track_dirty = XENVRAM__V1__TRACK_DIRTY__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	track_dirty.domid = domid;
	track_dirty.first_gfn = first_gfn;
	track_dirty.nr_pages = nr_pages;
	track_dirty.since = since;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_TRACK_DIRTY;
	request.track_dirty = &track_dirty;
	if (nr_pages == 0)
		return call_without_result(conn, &request);

	_call_free_ Xenvram__V1__Packet *packet = call(conn, &request, XENVRAM__V1__REPLY__RESULT_SNAPSHOT);
	if (!packet)
		return -1;
	return snapshot_take(conn, packet->reply->snapshot, nr_pages, bitmap, nr_pages, ret_snapshot);
}
