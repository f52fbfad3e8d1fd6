// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rows.h"

static int modified(struct world *world, uint32_t domid, uint64_t first, uint32_t nr)
{
	return xendevicemodel_modified_memory(world->dm, domid, first, nr);
}

/* Without a migration that listens, it has no effect to be seen; that it is accepted is all. */
void rows_modified(struct world *world)
{
	row_call("a page", "ok", modified(world, world->guest, 0x1800, 1));
	row_call("no page", "ok", modified(world, world->guest, 0x1800, 0));
	row_call("pages that are not there", "ok", modified(world, world->guest, 0x80000, 4));
	row_call("a range that wraps around", "ok", modified(world, world->guest, UINT64_MAX, 2));
	row_call("the caller's own domain", "EPERM", modified(world, 0, 0, 1));
	row_call("a domain that does not exist", "ESRCH", modified(world, ABSENT_DOMID, 0, 1));
	row_call("a PV domain", "EINVAL", modified(world, world->pv, 0, 1));
}
