/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the domains of a host share what polling may cost. No I/O. */
#ifndef XENVRAM_BROKER_POLL_BUDGET_H
#define XENVRAM_BROKER_POLL_BUDGET_H

#include <stddef.h>
#include <stdint.h>

/* What polls of cost_ns each, one every period_us (from 1), take of one CPU's time, in ppm. */
uint64_t poll_budget_demand(uint64_t cost_ns, uint32_t period_us);

/*
 * The share of each domain, in ppm: what any one of them may take at most, so that all together take no more
 * than the budget (from 1) and those that want less than the others are not stretched for them. The budget
 * itself if all demands fit. Sorts the demands.
 */
uint32_t poll_budget_share(uint64_t *demands_ppm, size_t n, uint32_t budget_ppm);

#endif
