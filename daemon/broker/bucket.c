/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/bucket.h"

#define NS_PER_S 1000000000ull

struct bucket *buckets_get(struct buckets *buckets, uint64_t key, uint64_t now_ns)
{
	struct bucket *fullest = &buckets->buckets[0];

	for (unsigned int i = 0; i < MAX_BUCKETS; i++) {
		struct bucket *bucket = &buckets->buckets[i];
		if (bucket->used && bucket->key == key)
			return bucket;
		if (fullest->used && (!bucket->used || bucket->full_ns < fullest->full_ns))
			fullest = bucket;
	}
	*fullest = (struct bucket){.used = true, .key = key, .full_ns = now_ns};
	return fullest;
}

uint64_t bucket_take(struct bucket *bucket, const struct rate *rate, uint64_t now_ns)
{
	uint64_t one_ns = NS_PER_S / rate->per_second;
	uint64_t full_ns = (bucket->full_ns > now_ns ? bucket->full_ns : now_ns) + one_ns;
	uint64_t empty_ns = now_ns + one_ns * rate->burst;

	if (full_ns > empty_ns)
		return full_ns - empty_ns;
	bucket->full_ns = full_ns;
	return 0;
}
