/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which frame stands behind each gfn of a domain: a radix tree in shared memory, as the hardware's tables
 * are. The caller holds the domain's lock. A process may be killed between any two stores: what is linked
 * is always whole, and what is not linked is found again by the next collection.
 */
#ifndef XENVRAM_SIMXEN_P2M_H
#define XENVRAM_SIMXEN_P2M_H

#include <stdbool.h>
#include <stdint.h>

#define P2M_LEVELS     4u
#define P2M_BITS       10u
#define P2M_ENTRIES    (1u << P2M_BITS)
#define P2M_MAX_TABLES 1024u
#define P2M_MAX_GFN    (1ull << (P2M_LEVELS * P2M_BITS)) /* gfns wrap here, as those of real mappings do */

struct p2m {
	uint64_t max_gfn;             /* the largest that ever had a frame */
	uint8_t used[P2M_MAX_TABLES]; /* table 0 is the root */
	uint32_t tables[P2M_MAX_TABLES][P2M_ENTRIES];
};

void p2m_init(struct p2m *p2m);

/* The frame at gfn, or 0: a hole. */
uint32_t p2m_get(const struct p2m *p2m, uint64_t gfn);

/* After 0 a p2m_set() of this gfn cannot fail; or -ENOMEM. */
int p2m_reserve(struct p2m *p2m, uint64_t gfn);
int p2m_set(struct p2m *p2m, uint64_t gfn, uint32_t frame);
void p2m_clear(struct p2m *p2m, uint64_t gfn);

/* The first gfn with a frame, from `from` on. */
bool p2m_next(const struct p2m *p2m, uint64_t from, uint64_t *ret_gfn);

#endif
