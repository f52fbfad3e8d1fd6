/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The simulated host, from inside: domains by the hundred, and guests that cost no process. */
#ifndef XENVRAM_TESTS_BENCH_SIM_H
#define XENVRAM_TESTS_BENCH_SIM_H

#include <stdint.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/host.h"

/* Each ends the program if it cannot. */
void sim_open(struct host *host);
void sim_create_domain(struct host *host, uint16_t domid, uint32_t ram_pages);

/* The guest writes to n pages, every `step`-th from first_gfn on. */
void sim_write(struct host *host, uint16_t domid, uint64_t first_gfn, uint32_t n, uint32_t step);

/* How often anybody has asked for dirty bits, of all domains. */
uint64_t sim_count_track_calls(struct host *host);

#endif
