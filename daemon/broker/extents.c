/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/extents.h"

#include <errno.h>
#include <stddef.h>

struct extents extents_whole(uint64_t nr_pages)
{
	return (struct extents){.run = {{0, nr_pages}}, .n = 1};
}

bool extents_are_good(const struct extents *extents, uint64_t nr_pages)
{
	uint64_t end = 0;

	if (extents->n == 0 || extents->n > MAX_REGION_EXTENTS)
		return false;
	for (unsigned int i = 0; i < extents->n; i++) {
		struct extent run = extents->run[i];
		/* Touching runs would be one. */
		if (run.nr_pages == 0 || run.first >= nr_pages || run.nr_pages > nr_pages - run.first ||
			(i > 0 && run.first <= end))
			return false;
		end = extent_end(run);
	}
	return true;
}

uint64_t extents_n_pages(const struct extents *extents)
{
	uint64_t n = 0;
	for (unsigned int i = 0; i < extents->n; i++)
		n += extents->run[i].nr_pages;
	return n;
}

uint32_t extents_bits(const struct extents *extents)
{
	return (1u << extents->n) - 1;
}

const struct extent *extents_find(const struct extents *extents, struct extent run)
{
	for (unsigned int i = 0; i < extents->n; i++) {
		const struct extent *extent = &extents->run[i];
		if (extent_contains(*extent, run))
			return extent;
	}
	return NULL;
}

static int append(struct extents *extents, uint64_t first, uint64_t end)
{
	if (first == end)
		return 0;
	if (extents->n == MAX_REGION_EXTENTS) {
		errno = ENOSPC;
		return -1;
	}
	extents->run[extents->n++] = (struct extent){first, end - first};
	return 0;
}

int extents_remove(const struct extents *extents, struct extent run, struct extents *ret_extents)
{
	const struct extent *holder = extents_find(extents, run);
	struct extents left = {.n = 0};

	for (unsigned int i = 0; i < extents->n; i++) {
		const struct extent *extent = &extents->run[i];
		uint64_t end = extent_end(*extent);
		if (append(&left, extent->first, extent == holder ? run.first : end) < 0)
			return -1;
		if (extent == holder && append(&left, extent_end(run), end) < 0)
			return -1;
	}
	*ret_extents = left;
	return 0;
}

struct extent extents_first(const struct extents *extents, uint64_t from, uint64_t to, uint64_t max)
{
	struct extent within = {from, to > from ? to - from : 0};

	for (unsigned int i = 0; i < extents->n; i++) {
		struct extent found = extent_overlap(extents->run[i], within);
		if (found.nr_pages > max)
			found.nr_pages = max;
		if (found.nr_pages > 0)
			return found;
	}
	return (struct extent){0};
}

struct extent extents_last(const struct extents *extents, uint64_t from, uint64_t to, uint64_t max)
{
	struct extent within = {from, to > from ? to - from : 0};

	for (unsigned int i = extents->n; i-- > 0;) {
		struct extent found = extent_overlap(extents->run[i], within);
		if (found.nr_pages > max) {
			found.first += found.nr_pages - max;
			found.nr_pages = max;
		}
		if (found.nr_pages > 0)
			return found;
	}
	return (struct extent){0};
}
