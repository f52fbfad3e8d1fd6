// SPDX-License-Identifier: LGPL-2.1-or-later
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "rows.h"

#define A      0x1000u
#define B      0x1100u
#define N      64u
#define ALL    "0-63"
#define NONE   "none"
#define ROUNDS 10

#define ENOUGH_FRAMES 50u
#define MAX_POLLS     20000

static int track(struct world *world, uint32_t domid, uint32_t nr, unsigned long *bitmap)
{
	return xendevicemodel_track_dirty_vram(world->dm, domid, A, nr, bitmap);
}

static void single_writes(struct world *world)
{
	row_dirty(world, "first call: all dirty", A, N, ALL);
	row_dirty(world, "reading clears", A, N, NONE);
	world_write(world, 1, GFNS(A, A + 5, A + 63));
	row_dirty(world, "three pages written", A, N, "0 5 63");
	row_dirty(world, "nothing written since", A, N, NONE);
	world_write(world, 2, GFNS(A + 5, A + 5));
	row_dirty(world, "a page written twice", A, N, "5");
	world_write(world, 3, GFNS(A - 1, A + N));
	row_dirty(world, "written just outside", A, N, NONE);
	row_words(world, "the guest reads a page", "3", GFNS(A + 63));
	row_dirty(world, "reading a page does not dirty it", A, N, NONE);
}

static void drawing(struct world *world)
{
	uint32_t before[N];
	unsigned int n_differ = 0;
	int r = 0;

	for (int round = 0; round < ROUNDS && r == 0; round++) {
		unsigned long *bitmap = world_bitmap();

		for (uint32_t i = 0; i < N; i++)
			before[i] = world->driver.drawn[i];
		r = guest_driver_paint(&world->driver, A, N, 5, 0);
		if (r == 0)
			r = guest_driver_wait_frames(&world->driver, 1 + round % 3);
		world_idle(world);
		if (track(world, world->guest, N, bitmap) != 0)
			n_differ++;
		for (uint32_t i = 0; i < N; i++) {
			bool is_drawn = world->driver.drawn[i] != before[i];

			n_differ += is_drawn != (bitmap[0] >> i & 1);
		}
	}
	row_number("the guest draws when it is told to", 0, r);
	row_number("pages drawn but not dirty, or dirty but not drawn", 0, n_differ);
}

/*
 * A page that was drawn between two polls is in the second one. It may be in the first one instead, when that
 * came between the guest's writing the page and counting it.
 */
static void polled_while_drawing(struct world *world)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	unsigned long *bitmap = world_bitmap();
	unsigned long previous = ~0ul;
	unsigned int n_lost = 0;
	uint32_t counts[N];
	uint32_t first_frame = world->driver.ctl->frames;

	for (uint32_t i = 0; i < N; i++)
		counts[i] = world->driver.drawn[i];
	guest_driver_paint(&world->driver, A, N, 7, 100);
	for (int poll = 0; poll < MAX_POLLS && world->driver.ctl->frames - first_frame < ENOUGH_FRAMES;
		poll++) {
		unsigned long drawn = 0;

		for (uint32_t i = 0; i < N; i++)
			drawn |= (unsigned long)(world->driver.drawn[i] != counts[i]) << i;
		if (track(world, world->guest, N, bitmap) != 0)
			n_lost++;
		for (uint32_t i = 0; i < N; i++)
			counts[i] = world->driver.drawn[i];
		n_lost += __builtin_popcountl(drawn & ~(previous | bitmap[0]));
		previous = bitmap[0];
		nanosleep(&pause, NULL);
	}
	row("the guest draws while it is polled", "yes",
		world->driver.ctl->frames - first_frame >= ENOUGH_FRAMES ? "yes" : "no");
	row_number("pages drawn between two polls and not told by them", 0, n_lost);
	world_idle(world);
	row_call("a last poll", "ok", track(world, world->guest, N, bitmap));
	row_dirty(world, "nothing is left of it", A, N, NONE);
}

/* What the guest does not write itself is not seen. */
static void writes_by_dom0(struct world *world)
{
	const xen_pfn_t gfn = A + 7;
	volatile uint32_t *page =
		xenforeignmemory_map(world->memory, world->guest, PROT_READ | PROT_WRITE, 1, &gfn, NULL);

	row("dom0 maps a tracked page", "mapped", page ? "mapped" : "not mapped");
	if (!page)
		return;
	page[0] = 0x77;
	row_words(world, "the guest sees what dom0 wrote", "77", GFNS(A + 7));
	row_dirty(world, "written by dom0: not dirty", A, N, NONE);
	xenforeignmemory_unmap(world->memory, (void *)page, 1);
	row_dirty(world, "nor when dom0 unmaps it", A, N, NONE);

	row_call("modified_memory of two tracked pages", "ok",
		xendevicemodel_modified_memory(world->dm, world->guest, A + 9, 2));
	row_dirty(world, "it does not make them dirty", A, N, NONE);
}

static void range_changes(struct world *world)
{
	world_write(world, 1, GFNS(A + 2));
	row_dirty(world, "another range: all dirty", B, N, ALL);
	row_dirty(world, "the same again", B, N, NONE);
	world_write(world, 1, GFNS(A + 1, B + 1));
	row_dirty(world, "back to the first range: all dirty", A, N, ALL);
	row_dirty(world, "the first range again", A, N, NONE);
	row_dirty(world, "shorter: all dirty", A, 32, "0-31");
	row_dirty(world, "shorter again", A, 32, NONE);
	row_dirty(world, "longer: all dirty", A, N, ALL);
	row_dirty(world, "longer again", A, N, NONE);
	row_dirty(world, "without its first page: all dirty", A + 1, N - 1, "0-62");
	row_dirty(world, "without its first page again", A + 1, N - 1, NONE);
	for (int i = 0; i < 4; i++)
		row_dirty(world, "two ranges in turn: always all dirty", i % 2 ? B : A, N, ALL);
}

/* Whole bytes are written, spare bits included, and nothing behind them. */
static void tails(struct world *world)
{
	unsigned long *bitmap = world_bitmap();

	memset(bitmap, 0x5a, 16);
	row_call("5 pages", "ok", track(world, world->guest, 5, bitmap));
	row_number("5 pages, first call, 8 bytes", 0x5a5a5a5a5a5a5aff, bitmap[0]);
	row_call("5 pages again", "ok", track(world, world->guest, 5, bitmap));
	row_number("5 pages, second call, 8 bytes", 0x5a5a5a5a5a5a5a00, bitmap[0]);
	world_write(world, 1, GFNS(A, A + 6));
	row_call("5 pages, the first and one outside written", "ok", track(world, world->guest, 5, bitmap));
	row_number("5 pages, third call, 8 bytes", 0x5a5a5a5a5a5a5a01, bitmap[0]);

	memset(bitmap, 0x5a, 16);
	row_call("65 pages", "ok", track(world, world->guest, 65, bitmap));
	row_number("65 pages, first call, bytes 0 to 7", 0xffffffffffffffff, bitmap[0]);
	row_number("65 pages, first call, bytes 8 to 15", 0x5a5a5a5a5a5a5aff, bitmap[1]);
	row_call("65 pages again", "ok", track(world, world->guest, 65, bitmap));
	row_number("65 pages, second call, bytes 0 to 7", 0, bitmap[0]);
	row_number("65 pages, second call, bytes 8 to 15", 0x5a5a5a5a5a5a5a00, bitmap[1]);
}

static void stopping(struct world *world)
{
	row_dirty(world, "armed", A, N, ALL);
	row_dirty(world, "armed and clean", A, N, NONE);
	row_call("0 pages without a bitmap", "EFAULT", track(world, world->guest, 0, NULL));
	row_dirty(world, "that has not stopped it", A, N, NONE);
	row_call("0 pages with a bitmap", "ok", world_stop_tracking(world, world->guest));
	row_dirty(world, "that has stopped it: all dirty", A, N, ALL);
	row_call("stopped", "ok", world_stop_tracking(world, world->guest));
	row_call("stopped twice", "ok", world_stop_tracking(world, world->guest));
}

static void refused_calls(struct world *world)
{
	row_dirty(world, "as much as Linux lets through, 32768 pages", A, 32768, "0-32767");
	row_dirty(world, "32768 pages again", A, 32768, NONE);
	world_write(world, 1, GFNS(A + 3));
	row_dirty(world, "one page more than Linux lets through", A, 32769, "E2BIG");
	row_dirty(world, "more than Xen would accept", A, 262145, "E2BIG");
	row_dirty(world, "tracking goes on as before the refusals", A, 32768, "3");

	row_dirty(world, "armed again", A, N, ALL);
	world_write(world, 1, GFNS(A + 3));
	row_call("a bitmap nowhere", "EFAULT", track(world, world->guest, N, NULL));
	row_dirty(world, "Linux refused that; no bit is lost", A, N, "3");

	row_call("the caller's own domain", "EPERM", track(world, 0, N, world_bitmap()));
	row_call("a domain that does not exist", "ESRCH", track(world, ABSENT_DOMID, N, world_bitmap()));
	row_call("DOMID_SELF", "ESRCH", track(world, 0x7ff0, N, world_bitmap()));
	row_call("a PV domain", "EINVAL", track(world, world->pv, N, world_bitmap()));
}

static void ranges_without_memory(struct world *world)
{
	row_dirty(world, "a range of holes: all dirty at first", 0x80000, N, ALL);
	row_dirty(world, "a range of holes: never again", 0x80000, N, NONE);
	row_dirty(world, "across the end of memory: all dirty at first", RAM_PAGES - 16, N, ALL);
	world_write(world, 1, GFNS(RAM_PAGES - 1, RAM_PAGES));
	row_dirty(world, "across the end of memory: only what is there", RAM_PAGES - 16, N, "15");
	row_dirty(world, "an absurdly high range: all dirty at first", 0xffffffffff, N, ALL);
	row_dirty(world, "an absurdly high range: never again", 0xffffffffff, N, NONE);
}

void rows_track(struct world *world)
{
	single_writes(world);
	drawing(world);
	polled_while_drawing(world);
	writes_by_dom0(world);
	range_changes(world);
	tails(world);
	stopping(world);
	refused_calls(world);
	ranges_without_memory(world);
	world_stop_tracking(world, world->guest);
}
