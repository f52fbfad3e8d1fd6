/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "client/libxenvram/call.h"

int xenvram_move_ram(struct xenvram *conn, uint32_t domid, uint64_t source_gfn, uint64_t destination_gfn,
	uint64_t nr_pages, uint32_t flags)
{
	Xenvram__V1__MoveRam move_ram = XENVRAM__V1__MOVE_RAM__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	if (flags & ~XENVRAM_MOVE_FORCE) {
		connection_begin(conn);
		return connection_fail(conn, EINVAL, "flags 0x%x has unknown bits", flags);
	}
	move_ram.domid = domid;
	move_ram.source_gfn = source_gfn;
	move_ram.destination_gfn = destination_gfn;
	move_ram.nr_pages = nr_pages;
	move_ram.force = flags & XENVRAM_MOVE_FORCE;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MOVE_RAM;
	request.move_ram = &move_ram;
	return call_without_result(conn, &request);
}
