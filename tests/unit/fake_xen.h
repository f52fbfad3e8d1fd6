/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One guest in memory, behind the functions of the Xen libraries that a worker calls: where its pages are,
 * what is pinned, what was written. With faults on demand, and a note of everything that must never happen.
 */
#ifndef XENVRAM_TESTS_FAKE_XEN_H
#define XENVRAM_TESTS_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_DOMID    7u
#define FAKE_GFNS     8192u
#define FAKE_MAX_PINS 64u
#define FAKE_NO_GFN   UINT64_MAX

struct fake_pin {
	uint64_t first, last;
	uint32_t type;
};

struct fake_xen {
	uint32_t page[FAKE_GFNS]; /* the page behind each gfn, told apart by number; 0: a hole */
	unsigned int n_handles;   /* open */
	unsigned int n_maps;      /* mapped */
	bool restricted;

	/* What must never happen. */
	unsigned int n_freed;     /* pages that a relocation dropped */
	unsigned int n_overruns;  /* track calls that would corrupt dom0's kernel */
	unsigned int n_long_runs; /* relocations of more than max_run pages */
	unsigned int max_run;

	/* Every hypercall on the domain counts; of one that fails, so do those that follow if fail_for_ever.
	 */
	unsigned int n_calls;
	unsigned int fail_call; /* the one that fails with fail_error; 0: none */
	bool fail_for_ever;
	int fail_error;
	unsigned int fail_good_pages; /* that a relocation moves before it fails */

	/* Faults; 0 or FAKE_NO_GFN: none. */
	int open_error;
	int domain_error; /* of every call on the domain, as an errno */
	int probe_error;  /* of the page at probe_error_gfn, as a positive errno */
	uint64_t probe_error_gfn;
	int relocate_error; /* fails once relocate_good_pages have moved, relocate_failures times */
	unsigned int relocate_good_pages;
	unsigned int relocate_failures;
	uint64_t immovable_gfn; /* a source that always fails with EBUSY */
	int pin_error;          /* of pinning */
	int unpin_error;

	struct fake_pin pins[FAKE_MAX_PINS];
	unsigned int n_pins;

	/* Dirty tracking. */
	bool shadow;     /* the first answer is ENODATA, not all ones */
	int track_error; /* the next track_failures calls fail so */
	unsigned int track_failures;
	bool track_error_loses_bits; /* as a fault on copying out does */
	uint64_t track_first, track_pages;
	bool dirty[FAKE_GFNS];
	void (*on_poll)(void); /* if any: lets the time pass that a track call takes */
	unsigned int n_polls;  /* track calls with pages */
	unsigned int n_starts; /* those that began with a range */
	unsigned int n_stops;  /* track calls without pages */
};

extern struct fake_xen xen;

/* An empty guest with no faults. */
void fake_xen_reset(void);

/* Puts n numbered pages at first, the numbers starting with `number`. */
void fake_xen_populate(uint64_t first, uint64_t n, uint32_t number);

/* The guest writes to the page at gfn. */
void fake_xen_write(uint64_t gfn);

#endif
