/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hypercalls that a device model makes itself where there is no service. */
#ifndef XENVRAM_TESTS_BENCH_DIRECT_H
#define XENVRAM_TESTS_BENCH_DIRECT_H

#include <stdint.h>
#include <xendevicemodel.h>

struct direct {
	xendevicemodel_handle *devicemodel;
	uint32_t domid;
	uint64_t first_gfn;
	uint32_t nr_pages;
	unsigned long *bitmap;
};

/* Ends the program if it cannot. */
void direct_init(struct direct *direct, uint32_t domid, uint64_t first_gfn, uint32_t nr_pages);
void direct_deinit(struct direct *direct);

/* Asks n times which pages are dirty; a bench subject. */
void direct_track(void *data, uint32_t n);

#endif
