// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rows.h"

enum cache_type { UC = 0, WC = 1, WT = 4, WP = 5, WB = 6, UC_MINUS = 7 };

#define UNPIN    UINT32_MAX
#define MAX_PINS 64u

static int pin(struct world *world, uint64_t first, uint64_t last, uint32_t type)
{
	return xendevicemodel_pin_memory_cacheattr(world->dm, world->guest, first, last, type);
}

static void exact_bounds(struct world *world)
{
	row_call("pin 16 pages", "ok", pin(world, 0x1800, 0x180f, WC));
	row_call("the same range with another type", "ok", pin(world, 0x1800, 0x180f, WB));
	row_call("the same range with the first type again", "ok", pin(world, 0x1800, 0x180f, WC));
	row_call("a range that overlaps the end", "EBUSY", pin(world, 0x1808, 0x1817, WC));
	row_call("a range that overlaps the start", "EBUSY", pin(world, 0x17f8, 0x1807, WC));
	row_call("a range inside", "EBUSY", pin(world, 0x1804, 0x1805, WB));
	row_call("a range around", "EBUSY", pin(world, 0x17f0, 0x181f, WB));
	row_call("unpin a part", "ENOENT", pin(world, 0x1800, 0x1807, UNPIN));
	row_call("unpin more", "ENOENT", pin(world, 0x1800, 0x181f, UNPIN));
	row_call("unpin elsewhere", "ENOENT", pin(world, 0x2000, 0x200f, UNPIN));
	row_call("unpin exactly", "ok", pin(world, 0x1800, 0x180f, UNPIN));
	row_call("unpin again", "ENOENT", pin(world, 0x1800, 0x180f, UNPIN));

	row_call("the end is inclusive: one page", "ok", pin(world, 0x1810, 0x1810, WC));
	row_call("the page beside it", "ok", pin(world, 0x1811, 0x1811, WC));
	row_call("neighbours do not merge", "ENOENT", pin(world, 0x1810, 0x1811, UNPIN));
	row_call("unpin the one", "ok", pin(world, 0x1810, 0x1810, UNPIN));
	row_call("unpin the other", "ok", pin(world, 0x1811, 0x1811, UNPIN));
}

static void types(struct world *world)
{
	static const uint32_t good[] = {UC, WC, WT, WP, WB, UC_MINUS};
	static const uint32_t bad[] = {2, 3, 8};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		row_call("a type there is", "ok", pin(world, 0x1800, 0x1801, good[i]));
		row_call("unpinned", "ok", pin(world, 0x1800, 0x1801, UNPIN));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		row_call("a type there is not", "EINVAL", pin(world, 0x1800, 0x1801, bad[i]));
}

static void odd_ranges(struct world *world)
{
	row_call("the end before the start", "EINVAL", pin(world, 0x1810, 0x180f, WC));
	row_call("all gfns", "EINVAL", pin(world, 0, UINT64_MAX, WC));
	row_call("from gfn 2^52 on", "EINVAL", pin(world, 1ull << 52, (1ull << 52) + 1, WC));
	row_call("from gfn 2^36 on", "ok", pin(world, 1ull << 36, (1ull << 36) + 1, WC));
	row_call("from gfn 2^36 on, unpinned", "ok", pin(world, 1ull << 36, (1ull << 36) + 1, UNPIN));
	row_call("pages that are not there", "ok", pin(world, 0x80000, 0x8000f, WC));
	row_call("pages that are not there, unpinned", "ok", pin(world, 0x80000, 0x8000f, UNPIN));
}

static void how_many(struct world *world)
{
	uint32_t n_pinned = 0;
	uint32_t n_unpinned = 0;

	while (n_pinned < 2 * MAX_PINS && pin(world, 0x1800 + 2 * n_pinned, 0x1800 + 2 * n_pinned, WC) == 0)
		n_pinned++;
	row_number("ranges that can be pinned", MAX_PINS, n_pinned);
	row_call("one more", "ENOSPC", pin(world, 0x1800 + 2 * n_pinned, 0x1800 + 2 * n_pinned, WC));
	row_call("one of them with another type, when all are taken", "ok", pin(world, 0x1800, 0x1800, WB));
	while (n_unpinned < n_pinned &&
		pin(world, 0x1800 + 2 * n_unpinned, 0x1800 + 2 * n_unpinned, UNPIN) == 0)
		n_unpinned++;
	row_number("ranges that can be unpinned", n_pinned, n_unpinned);
}

void rows_pin(struct world *world)
{
	exact_bounds(world);
	types(world);
	odd_ranges(world);
	how_many(world);
	row_call("the caller's own domain", "EPERM",
		xendevicemodel_pin_memory_cacheattr(world->dm, 0, 0, 1, WB));
	row_call("a domain that does not exist", "ESRCH",
		xendevicemodel_pin_memory_cacheattr(world->dm, ABSENT_DOMID, 0, 1, WB));
	row_call(
		"a PV domain", "EINVAL", xendevicemodel_pin_memory_cacheattr(world->dm, world->pv, 0, 1, WB));
}
