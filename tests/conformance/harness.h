/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A row states one thing that Xen does: a line of output, "ok" or "FAIL", with what was expected and what was
 * found. Expectations are text, so that they read the same in the source and in the output:
 *
 *   of a call      "ok" or the name of its errno
 *   of a bitmap    the dirty pages, "0 5 60-63" or "none"; or the errno's name
 *   of words       hexadecimal, "hole" where the guest has no memory
 *   of a probe     "ok" or the errno's name for each page
 */
#ifndef XENVRAM_TESTS_HARNESS_H
#define XENVRAM_TESTS_HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#include "guest_driver.h"

/* The domains to work on, and how this Xen differs from others. */
struct world {
	uint32_t guest;       /* runs the guest of guest_ctl.h; RAM is gfns 0 to RAM_PAGES - 1 */
	uint32_t other;       /* exists; any domain with our kind of paging */
	uint32_t victim;      /* to be destroyed while nothing of it is mapped */
	uint32_t held_victim; /* to be destroyed while a page of it is mapped */
	uint32_t pv;          /* a PV domain */
	const char *destroy_command;

	const char *hole_error; /* of relocating a page that is not there */
	bool overlap_survives;  /* relocating forward onto itself keeps every page */

	xendevicemodel_handle *dm;
	xenforeignmemory_handle *memory;
	struct guest_driver driver;
};

#define RAM_PAGES    0x4000u
#define ABSENT_DOMID 999u

/* Opens the two handles, as a process does that has none yet. */
void world_open_handles(struct world *world);

/* Runs rows in a process of their own, with fresh handles: what they restrict or give up stays there. */
void world_run_apart(struct world *world, void (*rows)(struct world *world));

/* A bitmap's address must never be page-aligned when nothing is tracked: Linux would overrun its heap. */
unsigned long *world_bitmap(void);

/* Ends all tracking in a domain. */
int world_stop_tracking(struct world *world, uint32_t domid);

/* A list of gfns as two arguments. */
#define GFNS(...) (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)

/* Has the guest write value + i to the first word of the i-th page. */
void world_write(struct world *world, uint32_t value, const uint32_t *gfns, uint32_t count);

/* Has the guest stop all drawing. */
void world_idle(struct world *world);

void row(const char *what, const char *expected, const char *found);
void row_call(const char *what, const char *expected, int rc);
void row_number(const char *what, uint64_t expected, uint64_t found);

/* Tracks [first, first + nr) of the guest: one hypercall. */
void row_dirty(struct world *world, const char *what, uint64_t first, uint32_t nr, const char *expected);

/* The guest reads the first word of each page. */
void row_words(
	struct world *world, const char *what, const char *expected, const uint32_t *gfns, uint32_t count);

/* The pages' state as told by mapping them into this process. */
void row_probe(struct world *world, uint32_t domid, const char *what, const char *expected,
	const uint64_t *gfns, uint32_t count);

/* Says that rows could not be run. */
void row_skip(const char *what, const char *why);

/* Prints the closing line; returns how many rows failed. */
unsigned int rows_summary(void);
void rows_init(void);

#endif
