/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The region log: which page of a video-RAM region was last dirtied when, in shared memory. One writer
 * (the worker of the region's domain), any number of readers, no locks.
 *
 * Layout, little-endian, every field naturally aligned; this is ABI and carries a version:
 *
 *   header   REGION_LOG_HEADER_BYTES
 *   block[]  u64 for each REGION_LOG_BLOCK_PAGES pages: generation at which any of them was last dirtied
 *   page[]   u64 a page: generation at which it was last dirtied
 *   heat[]   u32 a page: how often it was found dirty, saturating
 *
 * The writer stores page[] and block[] with generation + 1 and then, with release order, the new
 * generation. A reader keeps a cursor: it loads the generation with acquire order; equal to its cursor,
 * nothing changed. Otherwise it looks at blocks above the cursor, in them at pages above the cursor, and
 * then takes the generation that it loaded *first* as its cursor. A page stored during the scan is seen
 * now or next time, perhaps twice, never not at all.
 */
#ifndef XENVRAM_REGION_LOG_H
#define XENVRAM_REGION_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGION_LOG_MAGIC        0x474c5658u /* "XVLG" */
#define REGION_LOG_VERSION      1u
#define REGION_LOG_HEADER_BYTES 4096u
#define REGION_LOG_BLOCK_PAGES  64u

enum region_log_state {
	REGION_LOG_IDLE = 0, /* nobody watches: generations advance only when somebody asks for a snapshot */
	REGION_LOG_TRACKED = 1, /* polled every period_ns */
	REGION_LOG_PARTIAL = 2, /* polled, but the hypervisor does not track all of it: see untracked_pages */
	/* The region or its domain is gone: the header stays as it is, and all after it may become 0. */
	REGION_LOG_GONE = 3,
};

/* Why a region is polled less often than its readers want. */
enum region_log_stretch {
	REGION_LOG_AS_WANTED = 0,        /* it is not */
	REGION_LOG_STRETCHED_IDLE = 1,   /* nothing has changed for a while */
	REGION_LOG_STRETCHED_BUDGET = 2, /* all polls of the host together would take more than they may */
	REGION_LOG_STRETCHED_GUEST = 3,  /* the guest, paused by each poll, would not get its share */
};

struct region_log_header {
	uint32_t magic;
	uint32_t version;
	uint64_t nr_pages;
	uint64_t cookie;
	uint32_t state; /* enum region_log_state */
	uint32_t reserved0;
	uint64_t reserved1[4];

	uint64_t generation;         /* alone in its cache line but for what changes with it */
	uint64_t last_poll_ns;       /* CLOCK_MONOTONIC */
	uint64_t period_ns;          /* that in effect */
	uint64_t polls;              /* hypercalls that asked for this region's bits */
	uint64_t poll_ns;            /* time spent in them, and in publishing what they found */
	uint64_t dirty_guest;        /* pages found dirty because the guest wrote them */
	uint64_t dirty_forced;       /* pages marked because bits may have been lost, or cannot be had */
	uint64_t untracked_pages;    /* always reported dirty: the hypervisor's bits do not cover them */
	uint64_t dirty_device_model; /* pages that a device model said it wrote */
	uint64_t wanted_period_ns;   /* the shortest that a reader asks for */
	uint32_t stretch;            /* enum region_log_stretch: why period_ns is longer */
	uint32_t reserved2;
};

/* The whole file's size; nr_pages at most MAX_REGION_PAGES. */
size_t region_log_bytes(uint64_t nr_pages);
size_t region_log_n_blocks(uint64_t nr_pages);
/* Where page[] and heat[] begin, from the start of the file; block[] follows the header. */
size_t region_log_page_offset(uint64_t nr_pages);
size_t region_log_heat_offset(uint64_t nr_pages);

struct region_log {
	const struct region_log_header *header;
	const uint64_t *block;
	const uint64_t *page;
	const uint32_t *heat;
	uint64_t nr_pages;
	size_t bytes;
};

/*
 * Maps the log behind fd for reading. 0, or -1 with errno: EPROTO when it is no log of this version or its
 * size does not fit its page count, otherwise what fstat or mmap said. fd can be closed afterwards.
 */
int region_log_map(struct region_log *log, int fd);
void region_log_unmap(struct region_log *log);

static inline uint64_t region_log_generation(const struct region_log *log)
{
	return __atomic_load_n(&log->header->generation, __ATOMIC_ACQUIRE);
}

/*
 * Sets bit i (of word i / 64) for each page i in [first, first + n) that was dirtied after `cursor`,
 * counted from `first`; other bits become 0. bitmap holds (n + 63) / 64 words. Returns the number of set bits
 * and in *ret_generation the cursor for the next call. Only loads; any number of threads.
 */
uint64_t region_log_scan(const struct region_log *log, uint64_t cursor, uint64_t first, uint64_t n,
	uint64_t *bitmap, uint64_t *ret_generation);

/* The same without vector instructions: for processors that lack them, and for tests to compare with. */
uint64_t region_log_scan_plain(const struct region_log *log, uint64_t cursor, uint64_t first, uint64_t n,
	uint64_t *bitmap, uint64_t *ret_generation);

#endif
