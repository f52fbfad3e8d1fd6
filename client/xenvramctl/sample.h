/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a view shows at one frame, and how fast that goes. */
#ifndef XENVRAM_CTL_SAMPLE_H
#define XENVRAM_CTL_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/libxenvram/xenvram.h"

struct sample {
	struct xenvram_view_info info;
	uint64_t dirty_pages; /* since the frame before */
	double polls_per_s;
	double dirty_pages_per_s; /* found by polls */

	/* What the rates are counted from; moved on every second. The first second goes by what it has. */
	bool has_rates;
	uint64_t base_ns;
	uint64_t base_polls;
	uint64_t base_dirty_pages;
};

void sample_init(struct sample *sample, const struct xenvram_view *view, uint64_t now_ns);

/* Takes the next frame: counters and rates, and the bitmap of what is dirty since the frame before. */
void sample_take(struct sample *sample, const struct xenvram_view *view, uint64_t now_ns, uint64_t *cursor,
	uint64_t *bitmap);

#endif
