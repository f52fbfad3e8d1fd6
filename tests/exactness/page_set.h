/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A set of pages of a head, counted from its first. */
#ifndef XENVRAM_TESTS_EXACTNESS_PAGE_SET_H
#define XENVRAM_TESTS_EXACTNESS_PAGE_SET_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_HEAD_PAGES 1024u

struct page_set {
	uint64_t words[MAX_HEAD_PAGES / 64];
};

static inline void page_set_add(struct page_set *set, uint64_t page)
{
	set->words[page / 64] |= 1ull << page % 64;
}

static inline bool page_set_has(const struct page_set *set, uint64_t page)
{
	return set->words[page / 64] >> page % 64 & 1;
}

#endif
