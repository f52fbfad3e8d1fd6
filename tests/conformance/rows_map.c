// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "rows.h"

#define SPACE 0x80000u

#define PROBES(...)                                                                                          \
	(const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)

/* Which pages a batch has, told page by page. */
static void probing(struct world *world)
{
	xen_pfn_t with_hole[] = {0x1020, 0x1022};
	int errors[2] = {1, 1};
	void *pages;

	row_call("make a hole", "ok",
		xendevicemodel_relocate_memory(world->dm, world->guest, 1, 0x1022, SPACE));
	row_probe(world, world->guest, "pages, a hole, a page that was moved, a hole beside it",
		"ok ok EINVAL ok ok EINVAL", PROBES(0x1020, 0x1021, 0x1022, 0x1023, SPACE, SPACE + 1));
	row_probe(world, world->guest, "only a hole", "EINVAL", PROBES(0x1022));
	row_probe(world, world->guest, "the first page, the last, and beyond it", "ok ok EINVAL EINVAL",
		PROBES(0, RAM_PAGES - 1, RAM_PAGES, RAM_PAGES + 1));
	row_probe(world, world->guest, "the same page twice", "ok ok", PROBES(0x1020, 0x1020));
	row_probe(world, world->guest, "high gfns", "EINVAL EINVAL EINVAL",
		PROBES(1ull << 28, 1ull << 36, (1ull << 40) - 1));
	row_probe(world, world->guest, "interrupt controllers", "EINVAL EINVAL", PROBES(0xfec00, 0xfee00));
	row_probe(world, world->guest, "from 2^40 on they wrap around", "ok EINVAL",
		PROBES((1ull << 40) + 0x1020, (1ull << 40) + 0x1022));

	errno = 0;
	pages = xenforeignmemory_map(world->memory, world->guest, PROT_READ, 2, with_hole, NULL);
	row("a page and a hole, without room for errors", "EINVAL",
		pages ? "mapped" : strerrorname_np(errno));

	pages = xenforeignmemory_map(world->memory, world->guest, PROT_NONE, 2, with_hole, errors);
	row("a page and a hole, to be neither read nor written", "mapped", pages ? "mapped" : "not mapped");
	row_number("tells nothing of the page", 0, errors[0]);
	row_number("nor of the hole", 0, errors[1]);
	if (pages)
		xenforeignmemory_unmap(world->memory, pages, 2);

	row_call("heal the hole", "ok",
		xendevicemodel_relocate_memory(world->dm, world->guest, 1, SPACE, 0x1022));
	row_probe(world, world->guest, "healed", "ok ok ok EINVAL", PROBES(0x1021, 0x1022, 0x1023, SPACE));
	row_probe(world, ABSENT_DOMID, "a domain that does not exist", "ESRCH ESRCH", PROBES(0x1000, 0x1001));
}

static void reading(struct world *world)
{
	const xen_pfn_t gfns[] = {0x1040, 0x1041, 0x1042, 0x1043};
	volatile uint32_t *words;

	words = xenforeignmemory_map(world->memory, world->guest, PROT_READ, 4, gfns, NULL);
	row("map 4 pages for reading", "mapped", words ? "mapped" : "not mapped");
	if (!words)
		return;
	world_write(world, 0x40, GFNS(0x1040, 0x1041, 0x1042, 0x1043));
	row_number("the guest's word in the first", 0x40, words[0]);
	row_number("the guest's word in the last", 0x43, words[3 * 1024]);

	row_dirty(world, "track them: all dirty", 0x1040, 4, "0-3");
	row_number("read again", 0x42, words[2 * 1024]);
	row_dirty(world, "reading dirties nothing", 0x1040, 4, "none");
	world_write(world, 0x50, GFNS(0x1041));
	row_number("read what was written", 0x50, words[1024]);
	row_dirty(world, "reading cleans nothing", 0x1040, 4, "1");
	row_call("stop", "ok", world_stop_tracking(world, world->guest));
	xenforeignmemory_unmap(world->memory, (void *)words, 4);
}

void rows_map(struct world *world)
{
	probing(world);
	reading(world);
}
