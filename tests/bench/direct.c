/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "direct.h"

#include <err.h>
#include <stdlib.h>

void direct_init(struct direct *direct, uint32_t domid, uint64_t first_gfn, uint32_t nr_pages)
{
	*direct = (struct direct){.domid = domid, .first_gfn = first_gfn, .nr_pages = nr_pages};
	direct->devicemodel = xendevicemodel_open(NULL, 0);
	direct->bitmap = calloc((nr_pages + 63) / 64, sizeof(*direct->bitmap));
	if (!direct->devicemodel || !direct->bitmap)
		err(1, "cannot open the device model interface of Xen");
}

void direct_deinit(struct direct *direct)
{
	xendevicemodel_close(direct->devicemodel);
	free(direct->bitmap);
}

void direct_track(void *data, uint32_t n)
{
	const struct direct *direct = data;
	for (uint32_t i = 0; i < n; i++) {
		if (xendevicemodel_track_dirty_vram(direct->devicemodel, direct->domid, direct->first_gfn,
			    direct->nr_pages, direct->bitmap) < 0)
			err(1, "track_dirty_vram");
	}
}
