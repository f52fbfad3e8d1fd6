/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scanning with and without vector instructions, on random logs, against the definition. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "proto/region_log.h"

#define ROUNDS        4000u
#define SCANS_A_ROUND 8u
#define MAX_PAGES     700u
#define MANY_PAGES    (3 * 64 * 64 + 77u) /* blocks by the word, thrice, and a bit */
#define MANY_ROUNDS   40u
#define MAX_WORDS     ((MANY_PAGES + 63) / 64)
#define CANARY        0xa5a5a5a5a5a5a5a5u
#define N_SCANS       2u

typedef uint64_t scan_fn(const struct region_log *log, uint64_t cursor, uint64_t first, uint64_t n,
	uint64_t *bitmap, uint64_t *ret_generation);

static scan_fn *const scans[N_SCANS] = {region_log_scan, region_log_scan_plain};

/* Allocated to the byte, so that AddressSanitizer sees a load too many. */
struct logged {
	struct region_log_header header;
	uint64_t *memory;
	uint64_t *block;
	uint64_t *page;
	struct region_log log;
};

/* As in a file page[] follows block[] at once: it is aligned to 8 bytes, and to no more. */
static void logged_init(struct logged *logged, uint64_t nr_pages)
{
	size_t n_blocks = region_log_n_blocks(nr_pages);

	logged->memory = calloc(n_blocks + nr_pages, sizeof(uint64_t));
	assert_non_null(logged->memory);
	logged->block = logged->memory;
	logged->page = logged->memory + n_blocks;
	logged->log = (struct region_log){
		.header = &logged->header,
		.block = logged->block,
		.page = logged->page,
		.nr_pages = nr_pages,
	};
}

static void logged_deinit(struct logged *logged)
{
	free(logged->memory);
}

/* Generations where comparing goes wrong: about the cursor, and where signs and halves change. */
static uint64_t pick_generation(uint64_t cursor, uint64_t *random)
{
	static const uint64_t odd[] = {
		0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, INT64_MAX, 1ull << 63, UINT64_MAX};
	switch (next_random(random) % 8) {
	case 0:
		return odd[next_random(random) % (sizeof(odd) / sizeof(odd[0]))];
	case 1:
		return next_random(random);
	default:
		return cursor - 1 + next_random(random) % 3;
	}
}

/* Blocks tell the truth, as a writer's do, or lie: what is not looked into must be the same then too. */
static void logged_fill(struct logged *logged, uint64_t cursor, bool honest, uint64_t *random)
{
	uint64_t n_blocks = region_log_n_blocks(logged->log.nr_pages);
	uint64_t clean_eighths = next_random(random) % 9;

	for (uint64_t b = 0; b < n_blocks; b++)
		logged->block[b] = honest ? 0 : pick_generation(cursor, random);
	for (uint64_t i = 0; i < logged->log.nr_pages; i++) {
		uint64_t *block = &logged->block[i / 64];
		logged->page[i] =
			next_random(random) % 8 < clean_eighths ? 0 : pick_generation(cursor, random);
		if (honest && logged->page[i] > *block)
			*block = logged->page[i];
	}
}

static void compare(const struct logged *logged, uint64_t cursor, uint64_t first, uint64_t n)
{
	static uint64_t bitmap[MAX_WORDS + 1];
	static uint64_t expected[MAX_WORDS + 1];
	uint64_t n_expected = 0, n_words = (n + 63) / 64;

	memset(expected, 0, n_words * sizeof(*expected));
	for (uint64_t i = 0; logged->header.generation != cursor && i < n; i++) {
		uint64_t p = first + i;
		uint64_t dirty = logged->block[p / 64] > cursor && logged->page[p] > cursor;
		expected[i / 64] |= dirty << (i % 64);
		n_expected += dirty;
	}
	for (unsigned int k = 0; k < N_SCANS; k++) {
		uint64_t generation = ~logged->header.generation;
		memset(bitmap, CANARY & 0xff, sizeof(bitmap));
		assert_int_equal(scans[k](&logged->log, cursor, first, n, bitmap, &generation), n_expected);
		assert_true(generation == logged->header.generation);
		assert_memory_equal(bitmap, expected, n_words * sizeof(*bitmap));
		assert_true(bitmap[n_words] == CANARY);
	}
}

static void compare_at_random(struct logged *logged, uint64_t *random)
{
	uint64_t nr_pages = logged->log.nr_pages;
	uint64_t cursor = pick_generation(10, random);

	logged_fill(logged, cursor, next_random(random) & 1, random);
	logged->header.generation = next_random(random) % 16 == 0 ? cursor : cursor + 1;
	compare(logged, cursor, 0, nr_pages);
	for (unsigned int i = 0; i < SCANS_A_ROUND; i++) {
		uint64_t first = next_random(random) % (nr_pages + 1);
		if (i % 2 == 0)
			first -= first % 64;
		compare(logged, cursor, first, next_random(random) % (nr_pages - first + 1));
	}
}

static void small_logs(void **state)
{
	uint64_t random = 1;
	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct logged logged = {0};
		logged_init(&logged, 1 + next_random(&random) % (round % 2 ? MAX_PAGES : 130));
		compare_at_random(&logged, &random);
		logged_deinit(&logged);
	}
}

static void a_log_of_many_blocks(void **state)
{
	struct logged logged = {0};
	uint64_t random = 2;
	(void)state;
	logged_init(&logged, MANY_PAGES);
	for (unsigned int round = 0; round < MANY_ROUNDS; round++)
		compare_at_random(&logged, &random);
	logged_deinit(&logged);
}

static void every_number_of_pages_at_every_alignment(void **state)
{
	struct logged logged = {0};
	uint64_t random = 3;
	(void)state;
	logged_init(&logged, 3 * 64 + 1);
	logged.header.generation = 8;
	for (unsigned int round = 0; round < 3; round++) {
		logged_fill(&logged, 7, true, &random);
		for (uint64_t first = 0; first <= 66; first++) {
			for (uint64_t n = 0; n <= 3 * 64 + 1 - first; n++)
				compare(&logged, 7, first, n);
		}
	}
	logged_deinit(&logged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_logs),
		cmocka_unit_test(a_log_of_many_blocks),
		cmocka_unit_test(every_number_of_pages_at_every_alignment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
