/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inspect DOMID: what the simulated hypervisor holds of a domain and no hypercall tells: its pins, the range
 * that it tracks, and where in the host file its memory lies. One JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/host.h"

static void print_pins(const struct pins *pins)
{
	const char *separator = "";

	printf("\"pins\": [");
	for (unsigned int i = 0; i < PIN_MAX_RANGES; i++) {
		const struct pin *pin = &pins->ranges[i];
		if (!pin->used)
			continue;
		printf("%s[%" PRIu64 ", %" PRIu64 ", %" PRIu32 "]", separator, pin->first_gfn, pin->last_gfn,
			pin->type);
		separator = ", ";
	}
	printf("], ");
}

/* [gfn, offset in the host file] for each populated page. */
static void print_pages(const struct host *host, const struct p2m *p2m)
{
	const char *separator = "";

	printf("\"pages\": [");
	for (uint64_t gfn = 0; p2m_next(p2m, gfn, &gfn); gfn++) {
		printf("%s[%" PRIu64 ", %" PRIu64 "]", separator, gfn,
			(uint64_t)frame_offset(host, p2m_get(p2m, gfn)));
		separator = ", ";
	}
	printf("]");
}

int main(int argc, char **argv)
{
	struct domain *domain;
	struct host host;

	if (argc != 2) {
		fprintf(stderr, "usage: inspect DOMID\n");
		return 2;
	}
	int result = host_open(&host);
	if (result == 0)
		result = domain_find(&host, strtoul(argv[1], NULL, 0), &domain);
	if (result < 0) {
		fprintf(stderr, "inspect: domain %s: %s\n", argv[1], strerror(-result));
		return 1;
	}
	printf("{\"alive\": %s, ", domain->state == DOMAIN_ALIVE ? "true" : "false");
	printf("\"tracked\": [%" PRIu64 ", %" PRIu32 "], ", domain->tracking.first_gfn,
		domain->tracking.nr_pages);
	print_pins(&domain->pins);
	print_pages(&host, &domain->p2m);
	printf("}\n");
	domain_unlock(domain);
	host_close(&host);
	return 0;
}
