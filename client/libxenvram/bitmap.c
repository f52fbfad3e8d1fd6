/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/xenvram.h"

/* The first page at or after `from` whose bit, exclusive-or'ed with `flip`, is set; n if there is none. */
static uint64_t find_bit(const uint64_t *bitmap, uint64_t n, uint64_t from, uint64_t flip)
{
	for (uint64_t i = from; i < n; i += 64 - i % 64) {
		uint64_t word = (bitmap[i / 64] ^ flip) >> (i % 64);
		if (word != 0) {
			i += __builtin_ctzll(word);
			return i < n ? i : n;
		}
	}
	return n;
}

bool xenvram_bitmap_next_run(const uint64_t *bitmap, uint64_t n, uint64_t from, struct xenvram_run *ret_run)
{
	uint64_t first = find_bit(bitmap, n, from, 0);
	if (first == n)
		return false;
	*ret_run = (struct xenvram_run){first, find_bit(bitmap, n, first, UINT64_MAX) - first};
	return true;
}
