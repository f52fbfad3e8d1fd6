// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xentoolcore.h>

#include "rows.h"

#define N      64u
#define NOBODY 65534

static int track(struct world *world, uint32_t domid)
{
	return xendevicemodel_track_dirty_vram(world->dm, domid, 0x1800, N, world_bitmap());
}

static int move(struct world *world, uint64_t from, uint64_t to)
{
	return xendevicemodel_relocate_memory(world->dm, world->guest, 1, from, to);
}

static int pin(struct world *world, uint32_t type)
{
	return xendevicemodel_pin_memory_cacheattr(world->dm, world->guest, 0x1800, 0x1801, type);
}

static void become_nobody(void)
{
	row_call("become nobody's group", "ok", setgid(NOBODY));
	row_call("become nobody", "ok", setuid(NOBODY));
}

static void all_calls_on_guest(struct world *world)
{
	row_call("track", "ok", track(world, world->guest));
	row_call("relocate", "ok", move(world, 0x1805, 0x80500));
	row_call("relocate back", "ok", move(world, 0x80500, 0x1805));
	row_call("pin", "ok", pin(world, 6));
	row_call("unpin", "ok", pin(world, UINT32_MAX));
	row_call("modified", "ok", xendevicemodel_modified_memory(world->dm, world->guest, 0x1800, 1));
	row_call("stop tracking", "ok", world_stop_tracking(world, world->guest));
}

/* Opening is what needs privilege; the open handle does not, and can be restricted still. */
static void opened_before_dropping(struct world *world)
{
	xendevicemodel_handle *fresh;

	become_nobody();
	row_call("nobody, opened as root: the guest", "ok", track(world, world->guest));
	row_call("nobody, opened as root: another domain", "ok", track(world, world->other));
	row_call("nobody restricts the handle", "ok", xendevicemodel_restrict(world->dm, world->guest));
	row_call("nobody, restricted: the guest", "ok", track(world, world->guest));
	row_call("nobody, restricted: another domain", "EPERM", track(world, world->other));
	errno = 0;
	fresh = xendevicemodel_open(NULL, 0);
	row("nobody opens a handle", "EACCES", fresh ? "opened" : strerrorname_np(errno));
}

static void one_handle(struct world *world)
{
	row_call("restrict a handle", "ok", xendevicemodel_restrict(world->dm, world->guest));
	all_calls_on_guest(world);
	row_call("restricted: another domain", "EPERM", track(world, world->other));
	row_call("restricted: a domain that does not exist", "EPERM", track(world, ABSENT_DOMID));
	row_call("restricted: the caller's own domain", "EPERM", track(world, 0));
	row_call("restrict it to another domain", "EINVAL", xendevicemodel_restrict(world->dm, world->other));
	row_call("restrict it to the same domain again", "ok",
		xendevicemodel_restrict(world->dm, world->guest));
}

static void all_handles(struct world *world)
{
	const uint64_t gfns[] = {0x1800, 0x80000};
	xendevicemodel_handle *fresh;

	row_call("restrict all handles", "ok", xentoolcore_restrict_all(world->guest));
	all_calls_on_guest(world);
	row_call("all restricted: another domain", "EPERM", track(world, world->other));
	row_probe(world, world->guest, "all restricted: probe the guest", "ok EINVAL", gfns, 2);
	row_probe(world, world->other, "all restricted: probe another domain", "no mapping, EPERM", gfns, 2);
	row_probe(world, 0, "all restricted: probe dom0", "no mapping, EPERM", gfns, 2);

	fresh = xendevicemodel_open(NULL, 0);
	row("all restricted, but root opens another", "opened", fresh ? "opened" : "not opened");
	if (fresh) {
		row_call("that one reaches another domain", "ok",
			xendevicemodel_track_dirty_vram(fresh, world->other, 0x1800, N, world_bitmap()));
		xendevicemodel_close(fresh);
	}

	become_nobody();
	all_calls_on_guest(world);
	row_probe(world, world->guest, "all restricted, nobody: probe the guest", "ok EINVAL", gfns, 2);
	row_probe(world, world->other, "all restricted, nobody: probe another", "no mapping, EPERM", gfns, 2);
}

void rows_restrict(struct world *world)
{
	if (geteuid() != 0) {
		row_skip("what is left when privileges are dropped", "needs root to begin with");
		return;
	}
	world_run_apart(world, opened_before_dropping);
	world_run_apart(world, one_handle);
	world_run_apart(world, all_handles);
	row_call("handles elsewhere are not restricted", "ok", track(world, world->other));
	world_stop_tracking(world, world->other);
	world_stop_tracking(world, world->guest);
}
