/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * So many a second, and so many at once: token buckets, one for each key, which says who asks. The time is
 * the caller's; no I/O.
 */
#ifndef XENVRAM_BROKER_BUCKET_H
#define XENVRAM_BROKER_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* More keys than this do not use buckets at once; the one that is fullest is then forgotten. */
#define MAX_BUCKETS 512u

struct bucket {
	bool used;
	uint64_t key;
	uint64_t full_ns;    /* when it is full again, if nothing more is taken */
	uint64_t suppressed; /* for the caller to count in */
};

struct buckets {
	struct bucket buckets[MAX_BUCKETS];
};

struct rate {
	uint32_t per_second; /* not 0 */
	uint32_t burst;      /* not 0 */
};

/* The bucket of this key; a new one is full. Never NULL. */
struct bucket *buckets_get(struct buckets *buckets, uint64_t key, uint64_t now_ns);

/* Takes one. 0, or in how many nanoseconds there will be one. */
uint64_t bucket_take(struct bucket *bucket, const struct rate *rate, uint64_t now_ns);

#endif
