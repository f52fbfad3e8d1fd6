/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/region_log.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "proto/limits.h"

size_t region_log_n_blocks(uint64_t nr_pages)
{
	return (nr_pages + REGION_LOG_BLOCK_PAGES - 1) / REGION_LOG_BLOCK_PAGES;
}

size_t region_log_page_offset(uint64_t nr_pages)
{
	return REGION_LOG_HEADER_BYTES + region_log_n_blocks(nr_pages) * sizeof(uint64_t);
}

size_t region_log_heat_offset(uint64_t nr_pages)
{
	return region_log_page_offset(nr_pages) + nr_pages * sizeof(uint64_t);
}

size_t region_log_bytes(uint64_t nr_pages)
{
	return region_log_heat_offset(nr_pages) + nr_pages * sizeof(uint32_t);
}

int region_log_map(struct region_log *log, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -1;
	if (st.st_size < (off_t)REGION_LOG_HEADER_BYTES) {
		errno = EPROTO;
		return -1;
	}
	size_t bytes = st.st_size;
	void *base = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -1;

	const struct region_log_header *header = base;
	/* Loaded once: whoever can write the log could change it between a check and its use. */
	uint64_t nr_pages = __atomic_load_n(&header->nr_pages, __ATOMIC_RELAXED);
	if (header->magic != REGION_LOG_MAGIC || header->version != REGION_LOG_VERSION || nr_pages == 0 ||
		nr_pages > MAX_REGION_PAGES || region_log_bytes(nr_pages) != bytes) {
		munmap(base, bytes);
		errno = EPROTO;
		return -1;
	}
	*log = (struct region_log){
		.header = header,
		.block = (const uint64_t *)((const char *)base + REGION_LOG_HEADER_BYTES),
		.page = (const uint64_t *)((const char *)base + region_log_page_offset(nr_pages)),
		.heat = (const uint32_t *)((const char *)base + region_log_heat_offset(nr_pages)),
		.nr_pages = nr_pages,
		.bytes = bytes,
	};
	return 0;
}

void region_log_unmap(struct region_log *log)
{
	if (log->header)
		munmap((void *)log->header, log->bytes);
	*log = (struct region_log){0};
}

uint64_t region_log_scan(const struct region_log *log, uint64_t cursor, uint64_t first, uint64_t n,
	uint64_t *bitmap, uint64_t *ret_generation)
{
	uint64_t generation = region_log_generation(log);
	uint64_t dirty_pages = 0;

	memset(bitmap, 0, (n + 63) / 64 * sizeof(*bitmap));
	if (generation == cursor)
		n = 0;
	for (uint64_t i = first; i < first + n;) {
		uint64_t b = i / REGION_LOG_BLOCK_PAGES;
		uint64_t end = (b + 1) * REGION_LOG_BLOCK_PAGES;
		if (end > first + n)
			end = first + n;
		if (__atomic_load_n(&log->block[b], __ATOMIC_RELAXED) <= cursor) {
			i = end;
			continue;
		}
		for (; i < end; i++) {
			uint64_t dirty = __atomic_load_n(&log->page[i], __ATOMIC_RELAXED) > cursor;
			bitmap[(i - first) / 64] |= dirty << ((i - first) % 64);
			dirty_pages += dirty;
		}
	}
	*ret_generation = generation;
	return dirty_pages;
}
