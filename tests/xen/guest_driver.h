/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The test's end of guest_ctl.h: drives a guest by its control page, on real and on simulated Xen alike.
 * Functions return 0 or a negative errno; -ETIMEDOUT when the guest does not answer.
 */
#ifndef XENVRAM_TESTS_GUEST_DRIVER_H
#define XENVRAM_TESTS_GUEST_DRIVER_H

#include <stdint.h>
#include <xenforeignmemory.h>

#include "../guest_ctl.h"

struct guest_driver {
	xenforeignmemory_handle *memory; /* the caller's */
	volatile struct guest_ctl *ctl;
	volatile uint32_t *drawn;
};

/* Waits until the guest in domid runs, and maps what is needed to drive it. */
int guest_driver_init(struct guest_driver *driver, xenforeignmemory_handle *memory, uint32_t domid);
void guest_driver_deinit(struct guest_driver *driver);

/* Stops all drawing. When this returns, nothing is written any more and the draw counts are exact. */
int guest_driver_idle(struct guest_driver *driver);

/*
 * Starts to draw from page 0 of the picture on, after all earlier drawing has ended. The counts go on if it
 * is the same picture as before, and start from 0 for another one.
 */
int guest_driver_paint(struct guest_driver *driver, uint32_t base_gfn, uint32_t nr_pages, uint32_t band_pages,
	uint32_t pace);
int guest_driver_sweep(struct guest_driver *driver, uint32_t base_gfn, uint32_t nr_pages, uint32_t pace);

/* Waits until nr_frames more frames or sweeps are finished. */
int guest_driver_wait_frames(struct guest_driver *driver, uint32_t nr_frames);

/* Word 0 of page gfns[i] becomes value + i. At most GUEST_MAX_LIST pages, also below. */
int guest_driver_write(struct guest_driver *driver, const uint32_t *gfns, uint32_t count, uint32_t value);

/* Reads word 0 of each page as the guest sees it; ~0 where it has none. */
int guest_driver_read(struct guest_driver *driver, const uint32_t *gfns, uint32_t count, uint32_t *ret_words);

#endif
