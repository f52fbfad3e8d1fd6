/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers that a seed determines, for each thread its own. */
#ifndef XENVRAM_TESTS_EXACTNESS_RANDOM_H
#define XENVRAM_TESTS_EXACTNESS_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* From 0 to n - 1; n is not 0. */
static inline uint64_t random_below(struct random *random, uint64_t n)
{
	return random_next(random) % n;
}

static inline int random_one_in(struct random *random, uint64_t n)
{
	return random_below(random, n) == 0;
}

#endif
