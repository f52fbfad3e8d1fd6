/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ranges of a domain with a pinned cache attribute. The caller holds the domain's lock. */
#ifndef XENVRAM_SIMXEN_PIN_H
#define XENVRAM_SIMXEN_PIN_H

#include <stdint.h>

#define PIN_MAX_RANGES 64u

struct pin {
	uint64_t first_gfn;
	uint64_t last_gfn;
	uint32_t type;
	uint32_t used; /* written last */
};

struct pins {
	struct pin ranges[PIN_MAX_RANGES];
};

/* Pins, changes or deletes, by type. 0, or a negative errno. */
int pin_set(struct pins *pins, uint64_t first_gfn, uint64_t last_gfn, uint32_t type);

#endif
