/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim.h"

#include <err.h>
#include <stdio.h>
#include <string.h>

void sim_open(struct host *host)
{
	int result = host_open(host);
	if (result < 0)
		errx(1, "cannot open the host named by " HOST_ENV ": %s", strerror(-result));
}

void sim_create_domain(struct host *host, uint16_t domid, uint32_t ram_pages)
{
	char name[16], uuid[DOMAIN_UUID_BYTES];
	const struct domain_spec spec = {
		.domid = domid, .kind = DOMAIN_PVH, .ram_pages = ram_pages, .name = name, .uuid = uuid};

	snprintf(name, sizeof(name), "bench%u", domid);
	snprintf(uuid, sizeof(uuid), "00000000-0000-4000-8000-%012u", domid);
	int result = domain_create(host, &spec);
	if (result < 0)
		errx(1, "cannot create domain %u: %s", domid, strerror(-result));
}

void sim_write(struct host *host, uint16_t domid, uint64_t first_gfn, uint32_t n, uint32_t step)
{
	struct domain *domain;
	if (domain_find(host, domid, &domain) < 0)
		errx(1, "domain %u is gone", domid);
	for (uint32_t i = 0; i < n; i++)
		track_mark(&domain->tracking, first_gfn + i * step);
	domain_unlock(domain);
}

uint64_t sim_count_track_calls(struct host *host)
{
	return atomic_load(&host->file->calls[CALL_TRACK]);
}
