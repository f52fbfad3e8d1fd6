// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "rows.h"

#define N           64u
#define PATIENCE_MS 20000

static int track(struct world *world, uint32_t domid)
{
	return xendevicemodel_track_dirty_vram(world->dm, domid, 0x1000, N, world_bitmap());
}

static int modified(struct world *world, uint32_t domid)
{
	return xendevicemodel_modified_memory(world->dm, domid, 0x1000, 1);
}

/* Calls until it fails, for a domain does not die all at once. Returns what the last call returned. */
static int until_it_fails(
	struct world *world, uint32_t domid, int (*call)(struct world *world, uint32_t domid))
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int rc = 0;

	for (int i = 0; i < PATIENCE_MS && rc == 0; i++) {
		rc = call(world, domid);
		if (rc == 0)
			nanosleep(&pause, NULL);
	}
	return rc;
}

static void destroy(struct world *world, uint32_t domid)
{
	char command[256];

	fflush(stdout);
	snprintf(command, sizeof(command), "%s %u", world->destroy_command, domid);
	row_number("a domain is destroyed", 0, system(command));
}

static void nothing_mapped(struct world *world)
{
	const uint64_t gfns[] = {0x1000, 0x1001, 0x80000};
	uint32_t domid = world->victim;

	row_call("alive: track", "ok", track(world, domid));
	row_probe(world, domid, "alive: probe", "ok ok EINVAL", gfns, 3);
	destroy(world, domid);
	row_call("dying: track fails at last", "ESRCH", until_it_fails(world, domid, track));
	row_call("dying: modified fails at last", "ESRCH", until_it_fails(world, domid, modified));
	row_call("gone: track", "ESRCH", track(world, domid));
	row_call("gone: stop tracking", "ESRCH", world_stop_tracking(world, domid));
	row_call("gone: relocate", "ESRCH",
		xendevicemodel_relocate_memory(world->dm, domid, 1, 0x1000, 0x80000));
	row_call("gone: pin", "ESRCH",
		xendevicemodel_pin_memory_cacheattr(world->dm, domid, 0x1000, 0x1001, 6));
	row_call("gone: modified", "ESRCH", modified(world, domid));
	row_probe(world, domid, "gone: probe", "ESRCH ESRCH ESRCH", gfns, 3);
}

/* As long as a page of it is mapped somewhere, a dead domain stays, and its domid with it. */
static void page_mapped(struct world *world)
{
	const xen_pfn_t gfn = 0x1000;
	const uint64_t gfns[] = {0x1001};
	uint32_t domid = world->held_victim;
	volatile uint32_t *page;

	page = xenforeignmemory_map(world->memory, domid, PROT_READ | PROT_WRITE, 1, &gfn, NULL);
	row("map a page of a domain", "mapped", page ? "mapped" : "not mapped");
	if (!page)
		return;
	page[0] = 0xdead;
	destroy(world, domid);
	row_call("held: track fails at last", "ESRCH", until_it_fails(world, domid, track));
	row_call("held: track", "ESRCH", track(world, domid));
	row_call("held: stop tracking", "ESRCH", world_stop_tracking(world, domid));
	row_call("held: pin", "ok", xendevicemodel_pin_memory_cacheattr(world->dm, domid, 0x1000, 0x1001, 6));
	row_call("held: modified", "ok", modified(world, domid));
	row_number("held: the page's first word", 0xdead, page[0]);
	xenforeignmemory_unmap(world->memory, (void *)page, 1);
	row_call("let go: modified fails at last", "ESRCH", until_it_fails(world, domid, modified));
	row_call("let go: track", "ESRCH", track(world, domid));
	row_probe(world, domid, "let go: probe", "ESRCH", gfns, 1);
}

void rows_death(struct world *world)
{
	nothing_mapped(world);
	page_mapped(world);
}
