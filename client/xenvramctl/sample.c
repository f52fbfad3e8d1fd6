/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/sample.h"

#define NS_PER_S 1000000000.0

static uint64_t found_dirty_pages(const struct xenvram_view_info *info)
{
	return info->dirty_guest_pages + info->dirty_device_model_pages + info->dirty_forced_pages;
}

static void begin_rates(struct sample *sample, uint64_t now_ns)
{
	sample->base_ns = now_ns;
	sample->base_polls = sample->info.polls;
	sample->base_dirty_pages = found_dirty_pages(&sample->info);
}

void sample_init(struct sample *sample, const struct xenvram_view *view, uint64_t now_ns)
{
	*sample = (struct sample){0};
	xenvram_view_info(view, &sample->info);
	begin_rates(sample, now_ns);
}

void sample_take(struct sample *sample, const struct xenvram_view *view, uint64_t now_ns, uint64_t *cursor,
	uint64_t *bitmap)
{
	xenvram_view_info(view, &sample->info);
	sample->dirty_pages = xenvram_view_read(view, cursor, 0, sample->info.nr_pages, bitmap);

	double elapsed_s = (now_ns - sample->base_ns) / NS_PER_S;
	bool second_is_over = elapsed_s >= 1;
	if (elapsed_s > 0 && (second_is_over || !sample->has_rates)) {
		sample->polls_per_s = (sample->info.polls - sample->base_polls) / elapsed_s;
		sample->dirty_pages_per_s =
			(found_dirty_pages(&sample->info) - sample->base_dirty_pages) / elapsed_s;
	}
	if (second_is_over) {
		sample->has_rates = true;
		begin_rates(sample, now_ns);
	}
}
