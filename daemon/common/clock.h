/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XENVRAM_COMMON_CLOCK_H
#define XENVRAM_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC */
static inline uint64_t clock_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

#endif
