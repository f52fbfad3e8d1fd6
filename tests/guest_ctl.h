/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a test drives a guest: the ABI of the control page, spoken alike by the PVH guest of tests/xen
 * and by the simulated guest of tests/simxen. The test maps the page at GUEST_CTL_GFN, writes a
 * request, and waits for `done` to equal `request`. Little-endian, naturally aligned, usable from
 * freestanding 32-bit code.
 */
#ifndef XENVRAM_TESTS_GUEST_CTL_H
#define XENVRAM_TESTS_GUEST_CTL_H

#include <stdint.h>

#define GUEST_CTL_GFN	0x200u	    /* the control page */
#define GUEST_DRAWN_GFN 0x201u	    /* first of GUEST_DRAWN_PAGES pages of draw counts */
#define GUEST_CTL_MAGIC 0x31474d58u /* "XMG1", once the guest runs */

#define GUEST_MAX_LIST	  256u
#define GUEST_DRAWN_PAGES 8u
#define GUEST_MAX_DRAWN	  (GUEST_DRAWN_PAGES * 4096u / 4u) /* pages that the counts cover */

enum guest_mode {
	GUEST_IDLE = 0,
	GUEST_PAINT = 1, /* draw frame after frame: a band of band_pages that moves through [base, base + n) */
	GUEST_SWEEP = 2, /* write one word in each page of [base, base + n) in turn */
};

enum guest_op {
	GUEST_OP_WRITE = 0, /* word 0 of page list[i] = value + i */
	GUEST_OP_READ = 1,  /* out[i] = word 0 of page list[i]; a hole reads as ~0 */
};

struct guest_ctl {
	volatile uint32_t magic;
	volatile uint32_t mode;	      /* enum guest_mode, set by the test */
	volatile uint32_t mode_now;   /* what the guest does; equal to mode once it has noticed */
	volatile uint32_t base_gfn;   /* of the picture */
	volatile uint32_t nr_pages;   /* of the picture */
	volatile uint32_t band_pages; /* pages drawn in a frame by GUEST_PAINT */
	volatile uint32_t pace;	      /* busy-loop rounds between two pages */
	volatile uint32_t beat;	      /* always advancing */
	volatile uint32_t cursor;     /* next page of the picture to draw, from 0 */
	volatile uint32_t frames;     /* frames, or sweeps, finished */

	volatile uint32_t request; /* the test increments it ... */
	volatile uint32_t done;	   /* ... and the guest makes this equal when it has acted */
	volatile uint32_t op;	   /* enum guest_op */
	volatile uint32_t count;   /* of list, at most GUEST_MAX_LIST */
	volatile uint32_t value;
	volatile uint32_t reserved;

	volatile uint32_t list[GUEST_MAX_LIST]; /* gfns */
	volatile uint32_t out[GUEST_MAX_LIST];
};

/*
 * The table of draw counts, uint32_t[GUEST_MAX_DRAWN] from GUEST_DRAWN_GFN on: entry i counts how often
 * page base_gfn + i was written, by painting, sweeping or GUEST_OP_WRITE. The guest writes the page first
 * and counts afterwards; with mode_now idle and done == request the counts are exact.
 */

#endif
