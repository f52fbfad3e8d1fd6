/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/poll_budget.h"

#include <stdlib.h>

uint64_t poll_budget_demand(uint64_t cost_ns, uint32_t period_us)
{
	return cost_ns * 1000 / period_us;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Water-filling: the smallest are served first, and what they leave is the others'. */
uint32_t poll_budget_share(uint64_t *demands_ppm, size_t n, uint32_t budget_ppm)
{
	uint64_t left = budget_ppm;

	if (n > 0)
		qsort(demands_ppm, n, sizeof(*demands_ppm), compare);
	for (size_t i = 0; i < n; i++) {
		uint64_t share = left / (n - i);
		if (demands_ppm[i] > share)
			return share > 0 ? share : 1;
		left -= demands_ppm[i];
	}
	return budget_ppm;
}
