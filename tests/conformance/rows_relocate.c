// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/mman.h>

#include "rows.h"

/* Gfns far above the guest's memory, a place for each group of rows. */
#define SPACE       0x80000u
#define MANY_PAGES  4096u
#define MANY_FROM   0x1800u
#define MANY_SPACE  0xa0000u
#define TRACK_FROM  0x1200u
#define TRACK_SPACE 0xb0000u

static int move(struct world *world, uint32_t nr, uint64_t from, uint64_t to)
{
	return xendevicemodel_relocate_memory(world->dm, world->guest, nr, from, to);
}

static void there_and_back(struct world *world)
{
	world_write(world, 0xabc00000, GFNS(0x1000, 0x1001, 0x1002, 0x1003));
	row_call("4 pages to a hole", "ok", move(world, 4, 0x1000, SPACE));
	row_words(world, "they are there", "abc00000 abc00001 abc00002 abc00003",
		GFNS(SPACE, SPACE + 1, SPACE + 2, SPACE + 3));
	row_words(world, "and no longer here", "hole hole", GFNS(0x1000, 0x1003));
	row_call("once more from where they were", world->hole_error, move(world, 4, 0x1000, SPACE + 0x10));
	row_call("4 pages back", "ok", move(world, 4, SPACE, 0x1000));
	row_words(world, "they are back", "abc00000 abc00001 abc00002 abc00003",
		GFNS(0x1000, 0x1001, 0x1002, 0x1003));
	row_words(world, "and no longer there", "hole hole", GFNS(SPACE, SPACE + 3));
	row_call("pages that never were", world->hole_error, move(world, 4, 0x90000, SPACE));
}

static void onto_memory(struct world *world)
{
	world_write(world, 0xd00, GFNS(0x1004, 0x1014));
	row_call("onto a page that is there", "ok", move(world, 1, 0x1004, 0x1014));
	row_words(world, "replaces it", "hole d00", GFNS(0x1004, 0x1014));
	row_call("the first one back", "ok", move(world, 1, 0x1014, 0x1004));
	row_words(world, "the second one is lost", "d00 hole", GFNS(0x1004, 0x1014));
}

static void partly(struct world *world)
{
	static const char *const error_of_page[] = {"first", "second", "third"};

	world_write(world, 0x1020, GFNS(0x1020, 0x1021, 0x1022, 0x1023, 0x1024));
	row_call("make a hole", "ok", move(world, 1, 0x1022, SPACE + 0x100));
	row_call("5 pages, the third is a hole", world->hole_error, move(world, 5, 0x1020, SPACE + 0x200));
	row_words(world, "the first two have moved", "1020 1021 hole hole hole",
		GFNS(SPACE + 0x200, SPACE + 0x201, SPACE + 0x202, SPACE + 0x203, SPACE + 0x204));
	row_words(world, "the last two have not", "hole hole hole 1023 1024",
		GFNS(0x1020, 0x1021, 0x1022, 0x1023, 0x1024));
	row_call("the same again", world->hole_error, move(world, 5, 0x1020, SPACE + 0x200));
	for (uint32_t i = 0; i < 3; i++)
		row_call(error_of_page[i], world->hole_error, move(world, 1, 0x1020 + i, SPACE + 0x200 + i));
	row_call("fourth", "ok", move(world, 1, 0x1023, SPACE + 0x203));
	row_call("fifth", "ok", move(world, 1, 0x1024, SPACE + 0x204));
	row_words(world, "page by page, all are there and none is harmed", "1020 1021 hole 1023 1024",
		GFNS(SPACE + 0x200, SPACE + 0x201, SPACE + 0x202, SPACE + 0x203, SPACE + 0x204));
	row_call("heal the hole", "ok", move(world, 1, SPACE + 0x100, SPACE + 0x202));
	row_call("5 pages back", "ok", move(world, 5, SPACE + 0x200, 0x1020));
	row_words(world, "all as it was", "1020 1021 1022 1023 1024",
		GFNS(0x1020, 0x1021, 0x1022, 0x1023, 0x1024));
}

static void nothing_to_do(struct world *world)
{
	world_write(world, 0x1030, GFNS(0x1030));
	row_call("no page", "ok", move(world, 0, 0x1030, SPACE));
	row_call("onto itself", "ok", move(world, 1, 0x1030, 0x1030));
	row_words(world, "changes nothing", "1030 hole", GFNS(0x1030, SPACE));
}

static void overlapping(struct world *world)
{
	world_write(world, 0x50, GFNS(0x1050, 0x1051, 0x1052, 0x1053, 0x1054, 0x1055));
	row_call("4 pages forward by 2", "ok", move(world, 4, 0x1050, 0x1052));
	row_words(world, "what is left of them",
		world->overlap_survives ? "hole hole 50 51 52 53" : "hole hole hole hole 50 51",
		GFNS(0x1050, 0x1051, 0x1052, 0x1053, 0x1054, 0x1055));

	world_write(world, 0x60, GFNS(0x1060, 0x1061, 0x1062, 0x1063, 0x1064, 0x1065));
	row_call("4 pages backward by 2", "ok", move(world, 4, 0x1062, 0x1060));
	row_words(world, "keep their order", "62 63 64 65 hole hole",
		GFNS(0x1060, 0x1061, 0x1062, 0x1063, 0x1064, 0x1065));
}

static void far_away(struct world *world)
{
	world_write(world, 0x70, GFNS(0x1070, 0x1071, 0x1072));
	row_call("to the last gfn there is, 2^36 - 1", "ok", move(world, 1, 0x1070, (1ull << 36) - 1));
	row_call("and back", "ok", move(world, 1, (1ull << 36) - 1, 0x1070));
	row_call("to 2^41 - 1", "ENOENT", move(world, 1, 0x1071, (1ull << 41) - 1));
	row_call("to ~0", "EINVAL", move(world, 1, 0x1072, UINT64_MAX));
	row_words(world, "too far, and the page is lost", "70 hole 72", GFNS(0x1070, 0x1071, 0x1072));
}

static void mapped_by_dom0(struct world *world)
{
	const xen_pfn_t gfn = 0x1080;
	volatile uint32_t *page =
		xenforeignmemory_map(world->memory, world->guest, PROT_READ | PROT_WRITE, 1, &gfn, NULL);

	row("dom0 maps a page", "mapped", page ? "mapped" : "not mapped");
	if (!page)
		return;
	row_call("a page that dom0 has mapped", "ok", move(world, 1, 0x1080, SPACE + 0x300));
	world_write(world, 0x81, GFNS(SPACE + 0x300));
	row_number("the mapping goes with the page", 0x81, page[0]);
	row_call("back", "ok", move(world, 1, SPACE + 0x300, 0x1080));
	xenforeignmemory_unmap(world->memory, (void *)page, 1);
}

static void many_pages(struct world *world)
{
	uint32_t gfns[GUEST_MAX_LIST];
	uint32_t words[GUEST_MAX_LIST];
	uint32_t n_right = 0;

	/* Every 16th. */
	for (uint32_t i = 0; i < GUEST_MAX_LIST; i++)
		gfns[i] = MANY_FROM + i * (MANY_PAGES / GUEST_MAX_LIST);
	world_write(world, 0x4000, gfns, GUEST_MAX_LIST);
	row_call("4096 pages", "ok", move(world, MANY_PAGES, MANY_FROM, MANY_SPACE));
	row_words(world, "none is left", "hole hole", GFNS(MANY_FROM, MANY_FROM + MANY_PAGES - 1));
	row_call("4096 pages back", "ok", move(world, MANY_PAGES, MANY_SPACE, MANY_FROM));
	row_number("the guest reads them", 0, guest_driver_read(&world->driver, gfns, GUEST_MAX_LIST, words));
	for (uint32_t i = 0; i < GUEST_MAX_LIST; i++)
		n_right += words[i] == 0x4000 + i;
	row_number("pages with what they held before", GUEST_MAX_LIST, n_right);
}

static void while_tracked(struct world *world)
{
	row_dirty(world, "track 16 pages", TRACK_FROM, 16, "0-15");
	row_dirty(world, "all clean", TRACK_FROM, 16, "none");
	row_call("move the tracked pages away", "ok", move(world, 16, TRACK_FROM, TRACK_SPACE));
	row_dirty(world, "what has gone is clean", TRACK_FROM, 16, "none");
	row_dirty(world, "track where they went", TRACK_SPACE, 16, "0-15");
	row_dirty(world, "all clean there", TRACK_SPACE, 16, "none");
	world_write(world, 1, GFNS(TRACK_SPACE + 5));
	row_dirty(world, "a page written there", TRACK_SPACE, 16, "5");
	row_call("move them back", "ok", move(world, 16, TRACK_SPACE, TRACK_FROM));
	row_dirty(world, "what has gone is clean again", TRACK_SPACE, 16, "none");
	row_call("stop", "ok", world_stop_tracking(world, world->guest));

	row_dirty(world, "track 16 holes", TRACK_SPACE, 16, "0-15");
	row_dirty(world, "holes stay clean", TRACK_SPACE, 16, "none");
	row_call("move pages into them", "ok", move(world, 16, TRACK_FROM, TRACK_SPACE));
	row_dirty(world, "what has come is dirty", TRACK_SPACE, 16, "0-15");
	world_write(world, 1, GFNS(TRACK_SPACE + 2));
	row_dirty(world, "then what is written", TRACK_SPACE, 16, "2");
	row_dirty(world, "then nothing", TRACK_SPACE, 16, "none");
	row_call("and back", "ok", move(world, 16, TRACK_SPACE, TRACK_FROM));
	row_call("stop again", "ok", world_stop_tracking(world, world->guest));
}

void rows_relocate(struct world *world)
{
	there_and_back(world);
	onto_memory(world);
	partly(world);
	nothing_to_do(world);
	overlapping(world);
	far_away(world);
	mapped_by_dom0(world);
	many_pages(world);
	while_tracked(world);
	row_call("the caller's own domain", "EPERM",
		xendevicemodel_relocate_memory(world->dm, 0, 1, 0x1000, SPACE));
	row_call("a domain that does not exist", "ESRCH",
		xendevicemodel_relocate_memory(world->dm, ABSENT_DOMID, 1, 0x1000, SPACE));
	row_call("a PV domain", "EINVAL",
		xendevicemodel_relocate_memory(world->dm, world->pv, 1, 0x1000, SPACE));
}
