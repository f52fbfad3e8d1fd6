/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/region_log.h"

#include <errno.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif
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

/* Sets bit i for each i < n, n at most 64, whose generation is above the cursor. */
static inline uint64_t newer_plain(const uint64_t *generation, uint64_t n, uint64_t cursor)
{
	uint64_t bits = 0;

	for (uint64_t i = 0; i < n; i++)
		bits |= (uint64_t)(__atomic_load_n(&generation[i], __ATOMIC_RELAXED) > cursor) << i;
	return bits;
}

/* ThreadSanitizer takes a vector load for a plain one and reports it. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#if defined(__x86_64__) && !defined(UNDER_TSAN)
#define HAS_AVX2 1
/* Every processor with AVX2 counts bits too, but a hypervisor may hide one of them. */
#define TARGET_AVX2 __attribute__((target("avx2,popcnt")))

/*
 * The same for pages, four at a time.
 *
 * Is an element loaded in one piece? x86 loads an aligned quadword so, and splits a vector load, if at all,
 * at 16 bytes or at the end of a cache line: never within an aligned quadword. Both vendors say so in writing
 * only of 16 aligned bytes (on processors with AVX), therefore nothing here hangs on it. Only a store that is
 * being done meanwhile could tear a page's element, and that is of a generation above the one that the reader
 * loaded first and will go on with: the next scan finds it, whatever this one made of it. A block's element
 * must be whole: torn, it could hide pages of its block that are not above the reader's next cursor.
 *
 * In which order elements are loaded does not matter, as long as all are after the log's generation. x86 does
 * loads in order, and that one acquires, so the compiler keeps it before these.
 */
TARGET_AVX2 static inline uint64_t newer_avx2(const uint64_t *generation, uint64_t n, uint64_t cursor)
{
	/* Only a signed comparison exists; with the highest bits flipped it is the unsigned one. */
	const __m256i flip = _mm256_set1_epi64x(INT64_MIN);
	const __m256i flipped_cursor = _mm256_xor_si256(_mm256_set1_epi64x((int64_t)cursor), flip);
	uint64_t bits = 0;
	uint64_t i = 0;

	for (; i + 4 <= n; i += 4) {
		__m256i flipped = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)&generation[i]), flip);
		__m256i newer = _mm256_cmpgt_epi64(flipped, flipped_cursor);
		bits |= (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(newer)) << i;
	}
	return i < n ? bits | newer_plain(&generation[i], n - i, cursor) << i : bits;
}
#endif

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Bits set in `bits` must have their place in the bitmap. */
static inline void put_bits(uint64_t *bitmap, uint64_t at, uint64_t bits)
{
	uint64_t shift = at % 64;

	if (shift == 0) {
		bitmap[at / 64] |= bits;
		return;
	}
	bitmap[at / 64] |= bits << shift;
	if (bits >> (64 - shift))
		bitmap[at / 64 + 1] |= bits >> (64 - shift);
}

/*
 * Inlined into its twins, so that newer_pages is no call. Blocks too are looked at 64 at a time. Where
 * `first` begins a block, every block with news is one word of the bitmap.
 */
__attribute__((always_inline)) static inline uint64_t scan(const struct region_log *log, uint64_t cursor,
	uint64_t first, uint64_t n, uint64_t *bitmap, uint64_t *ret_generation,
	uint64_t (*newer_pages)(const uint64_t *generation, uint64_t n, uint64_t cursor))
{
	uint64_t generation = region_log_generation(log);
	uint64_t dirty_pages = 0;
	uint64_t end = first + n;
	uint64_t end_block = region_log_n_blocks(end);

	*ret_generation = generation;
	memset(bitmap, 0, (n + 63) / 64 * sizeof(*bitmap));
	if (generation == cursor || n == 0)
		return 0;
	for (uint64_t b = first / REGION_LOG_BLOCK_PAGES; b < end_block; b += 64) {
		uint64_t blocks = newer_plain(&log->block[b], min_u64(end_block - b, 64), cursor);
		for (; blocks != 0; blocks &= blocks - 1) {
			uint64_t begin = (b + __builtin_ctzll(blocks)) * REGION_LOG_BLOCK_PAGES;
			uint64_t stop = min_u64(begin + REGION_LOG_BLOCK_PAGES, end);
			if (begin < first)
				begin = first;
			uint64_t pages = newer_pages(&log->page[begin], stop - begin, cursor);
			put_bits(bitmap, begin - first, pages);
			dirty_pages += __builtin_popcountll(pages);
		}
	}
	return dirty_pages;
}

uint64_t region_log_scan_plain(const struct region_log *log, uint64_t cursor, uint64_t first, uint64_t n,
	uint64_t *bitmap, uint64_t *ret_generation)
{
	return scan(log, cursor, first, n, bitmap, ret_generation, newer_plain);
}

#ifdef HAS_AVX2
TARGET_AVX2 static uint64_t scan_avx2(const struct region_log *log, uint64_t cursor, uint64_t first,
	uint64_t n, uint64_t *bitmap, uint64_t *ret_generation)
{
	return scan(log, cursor, first, n, bitmap, ret_generation, newer_avx2);
}
#endif

uint64_t region_log_scan(const struct region_log *log, uint64_t cursor, uint64_t first, uint64_t n,
	uint64_t *bitmap, uint64_t *ret_generation)
{
#ifdef HAS_AVX2
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"))
		return scan_avx2(log, cursor, first, n, bitmap, ret_generation);
#endif
	return region_log_scan_plain(log, cursor, first, n, bitmap, ret_generation);
}
