/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What polling costs, domain by domain, and how fast its counters go from one listing to the next. No I/O. */
#ifndef XENVRAM_CTL_POLLING_H
#define XENVRAM_CTL_POLLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/libxenvram/xenvram.h"
#include "proto/limits.h"

struct polled_domain {
	struct xenvram_domain info; /* its uuid points nowhere; the one to use is below */
	char uuid[UUID_BYTES];

	/* 0 without rates: it was not in the listing before, or what is counted has begun anew. */
	bool has_rates;
	double polls_per_s;
	double cpu_percent; /* of one processor */
	double dirty_guest_pages_per_s;
	double dirty_device_model_pages_per_s;
	double dirty_forced_pages_per_s;
};

struct polling {
	struct polled_domain *domains;
	size_t n_domains;
	size_t max_domains; /* for which there is room */
	uint64_t taken_ns;
};

void polling_init(struct polling *polling, uint64_t taken_ns);
void polling_deinit(struct polling *polling);

/* -1 with ENOMEM. */
int polling_add(struct polling *polling, const struct xenvram_domain *domain);

/*
 * Finds the rates since the listing before, which it sorts as it needs, and puts first who takes most time.
 * Who is as expensive as another, or has no rates, stands by domid.
 */
void polling_compare(struct polling *polling, struct polling *before);

#endif
