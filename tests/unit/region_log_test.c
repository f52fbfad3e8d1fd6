/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/limits.h"
#include "proto/region_log.h"

#define PAGES 200u /* three blocks and a bit */

/* A log file in memory, filled by the test rather than by the daemon. */
struct fixture {
	int fd;
	size_t bytes;
	char *base;
	struct region_log_header *header;
	uint64_t *block;
	uint64_t *page;
	struct region_log log;
};

static int make_file(size_t bytes)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	return fd;
}

static void write_header(int fd, const struct region_log_header *header)
{
	assert_int_equal(pwrite(fd, header, sizeof(*header), 0), sizeof(*header));
}

static struct region_log_header good_header(uint64_t nr_pages)
{
	return (struct region_log_header){
		.magic = REGION_LOG_MAGIC, .version = REGION_LOG_VERSION, .nr_pages = nr_pages};
}

static int open_fixture(void **state)
{
	static struct fixture fixture;
	struct region_log_header header = good_header(PAGES);
	struct fixture *f = &fixture;

	f->bytes = region_log_bytes(PAGES);
	f->fd = make_file(f->bytes);
	write_header(f->fd, &header);
	f->base = mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	f->header = (struct region_log_header *)f->base;
	f->block = (uint64_t *)(f->base + REGION_LOG_HEADER_BYTES);
	f->page = f->block + (PAGES + 63) / 64;
	*state = f;
	return region_log_map(&f->log, f->fd);
}

static int close_fixture(void **state)
{
	struct fixture *f = *state;
	region_log_unmap(&f->log);
	munmap(f->base, f->bytes);
	close(f->fd);
	return 0;
}

/* ---- layout and mapping ---- */

static void test_layout(void **state)
{
	(void)state;
	static const uint64_t counts[] = {1, 63, 64, 65, 128, 4096, MAX_REGION_PAGES};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint64_t n = counts[i];
		uint64_t blocks = n / 64 + (n % 64 != 0);
		assert_int_equal(region_log_n_blocks(n), blocks);
		assert_int_equal(region_log_page_offset(n), 4096 + 8 * blocks);
		assert_int_equal(region_log_heat_offset(n), 4096 + 8 * blocks + 8 * n);
		assert_int_equal(region_log_bytes(n), 4096 + 8 * blocks + 12 * n);
	}
	/* Public ABI. */
	assert_int_equal(offsetof(struct region_log_header, nr_pages), 8);
	assert_int_equal(offsetof(struct region_log_header, cookie), 16);
	assert_int_equal(offsetof(struct region_log_header, state), 24);
	assert_int_equal(offsetof(struct region_log_header, generation), 64);
	assert_int_equal(offsetof(struct region_log_header, untracked_pages), 120);
	assert_int_equal(offsetof(struct region_log_header, dirty_device_model), 128);
}

static void assert_not_mapped(int fd, int error)
{
	struct region_log log = {.nr_pages = 77};
	assert_fails(region_log_map(&log, fd), error);
	assert_null(log.header);
	assert_int_equal(log.nr_pages, 77);
	if (fd >= 0)
		close(fd);
}

static void test_map(void **state)
{
	(void)state;
	static const uint64_t counts[] = {1, 64, 65, MAX_REGION_PAGES};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct region_log_header header = good_header(counts[i]);
		struct region_log log;
		int fd = make_file(region_log_bytes(counts[i]));
		write_header(fd, &header);
		assert_int_equal(region_log_map(&log, fd), 0);
		close(fd);
		assert_int_equal(log.nr_pages, counts[i]);
		assert_int_equal(log.page[counts[i] - 1], 0);
		assert_int_equal(log.heat[counts[i] - 1], 0);
		assert_ptr_equal(log.heat + counts[i], (const char *)log.header + log.bytes);
		region_log_unmap(&log);
		assert_null(log.header);
		region_log_unmap(&log);
	}
}

static int make_log(const struct region_log_header *header, size_t bytes)
{
	int fd = make_file(bytes);
	write_header(fd, header);
	return fd;
}

static void test_map_of_what_is_no_log(void **state)
{
	(void)state;
	struct region_log_header header = good_header(PAGES);
	size_t bytes = region_log_bytes(PAGES);
	int pipe_fds[2];

	assert_not_mapped(-1, EBADF);
	assert_int_equal(pipe(pipe_fds), 0);
	close(pipe_fds[1]);
	assert_not_mapped(pipe_fds[0], EPROTO);
	assert_not_mapped(make_file(0), EPROTO);
	assert_not_mapped(make_file(REGION_LOG_HEADER_BYTES - 1), EPROTO);
	assert_not_mapped(make_file(REGION_LOG_HEADER_BYTES), EPROTO);
	assert_not_mapped(make_file(bytes), EPROTO);
	assert_not_mapped(make_log(&header, bytes - 1), EPROTO);
	assert_not_mapped(make_log(&header, bytes + 1), EPROTO);
	assert_not_mapped(make_log(&header, region_log_bytes(PAGES + 1)), EPROTO);
	header.magic++;
	assert_not_mapped(make_log(&header, bytes), EPROTO);
	header = good_header(PAGES);
	header.version++;
	assert_not_mapped(make_log(&header, bytes), EPROTO);
}

static void test_map_of_impossible_page_counts(void **state)
{
	(void)state;
	/* The last makes region_log_bytes wrap around to the size of an empty log. */
	static const uint64_t counts[] = {0, MAX_REGION_PAGES + 1, UINT64_MAX, 1ull << 63};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct region_log_header header = good_header(counts[i]);
		size_t bytes = region_log_bytes(counts[i]);
		if (bytes < REGION_LOG_HEADER_BYTES || bytes > 1ull << 30)
			bytes = REGION_LOG_HEADER_BYTES;
		assert_not_mapped(make_log(&header, bytes), EPROTO);
	}
}

static void test_map_needs_a_readable_descriptor(void **state)
{
	struct fixture *f = *state;
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	assert_not_mapped(open(path, O_WRONLY | O_CLOEXEC), EACCES);
}

/* ---- scanning ---- */

static uint64_t block_of(const struct fixture *f, unsigned int b)
{
	uint64_t newest = 0;
	for (unsigned int i = b * 64; i < PAGES && i < (b + 1) * 64; i++)
		newest = f->page[i] > newest ? f->page[i] : newest;
	return newest;
}

static void fill_at_random(struct fixture *f, uint64_t generation, uint64_t *random)
{
	for (unsigned int i = 0; i < PAGES; i++)
		f->page[i] = next_random(random) % (generation + 1);
	for (unsigned int b = 0; b < region_log_n_blocks(PAGES); b++)
		f->block[b] = block_of(f, b);
	f->header->generation = generation;
}

static void compare_with_naive(const struct fixture *f, uint64_t cursor, uint64_t first, uint64_t n)
{
	uint64_t bitmap[PAGES / 64 + 2];
	uint64_t generation = 0, expected = 0, words = (n + 63) / 64;

	memset(bitmap, 0xa5, sizeof(bitmap));
	uint64_t found = region_log_scan(&f->log, cursor, first, n, bitmap, &generation);
	assert_int_equal(generation, f->header->generation);
	for (uint64_t i = 0; i < words * 64; i++) {
		bool dirty = i < n && f->page[first + i] > cursor;
		expected += dirty;
		if ((bitmap[i / 64] >> (i % 64) & 1) != dirty)
			fail_msg("page %d of [%d, +%d) after %d", (int)i, (int)first, (int)n, (int)cursor);
	}
	assert_int_equal(found, expected);
	assert_true(bitmap[words] == 0xa5a5a5a5a5a5a5a5);
}

static void test_scan_at_every_alignment(void **state)
{
	struct fixture *f = *state;
	uint64_t random = 1;

	for (unsigned int round = 0; round < 3; round++) {
		fill_at_random(f, 5, &random);
		for (uint64_t first = 0; first <= PAGES; first += first < 130 ? 1 : 7) {
			for (uint64_t n = 0; n <= PAGES - first; n += n < 130 ? 1 : 5)
				compare_with_naive(f, next_random(&random) % 6, first, n);
		}
	}
	for (uint64_t cursor = 0; cursor <= 6; cursor++)
		compare_with_naive(f, cursor, 0, PAGES);
}

static void test_scan_skips_blocks(void **state)
{
	struct fixture *f = *state;
	uint64_t bitmap[4], generation;

	f->header->generation = 3;
	f->block[0] = f->block[2] = 2;
	f->block[1] = f->block[3] = 3;
	for (unsigned int i = 0; i < PAGES; i++)
		f->page[i] = 3; /* a lie in blocks 0 and 2, which must not be looked into */
	assert_int_equal(region_log_scan(&f->log, 2, 0, PAGES, bitmap, &generation), 64 + PAGES % 64);
	assert_true(bitmap[0] == 0 && bitmap[1] == UINT64_MAX && bitmap[2] == 0);
	assert_true(bitmap[3] == (1ull << PAGES % 64) - 1);
}

static void test_scan_looks_no_further_than_the_generation(void **state)
{
	struct fixture *f = *state;
	uint64_t bitmap[4], generation = 0;

	/* A writer is in the middle of generation 8. */
	f->header->generation = 7;
	f->block[0] = f->page[5] = 8;
	assert_int_equal(region_log_scan(&f->log, 7, 0, PAGES, bitmap, &generation), 0);
	assert_int_equal(generation, 7);
	assert_true(bitmap[0] == 0);
	/* Seen early is allowed, as long as it is seen again. */
	assert_int_equal(region_log_scan(&f->log, 6, 0, PAGES, bitmap, &generation), 1);
	assert_int_equal(generation, 7);
	f->header->generation = 8;
	assert_int_equal(region_log_scan(&f->log, generation, 0, PAGES, bitmap, &generation), 1);
	assert_true(bitmap[0] == 1ull << 5);
	assert_int_equal(generation, 8);
	assert_int_equal(region_log_scan(&f->log, generation, 0, PAGES, bitmap, &generation), 0);
	assert_int_equal(generation, 8);
}

static void test_scan_from_the_beginning_of_time(void **state)
{
	struct fixture *f = *state;
	uint64_t bitmap[4], generation;

	/* Cursor 0 before anything happened: nothing, not even with a page marked already. */
	f->block[0] = f->page[0] = 1;
	assert_int_equal(region_log_scan(&f->log, 0, 0, PAGES, bitmap, &generation), 0);
	assert_int_equal(generation, 0);
	f->header->generation = 1;
	assert_int_equal(region_log_scan(&f->log, 0, 0, PAGES, bitmap, &generation), 1);
	/* A cursor of the future, of another log say, finds nothing and is put right. */
	assert_int_equal(region_log_scan(&f->log, 99, 0, PAGES, bitmap, &generation), 0);
	assert_int_equal(generation, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_of_what_is_no_log),
		cmocka_unit_test(test_map_of_impossible_page_counts),
		cmocka_unit_test_setup_teardown(
			test_map_needs_a_readable_descriptor, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_scan_at_every_alignment, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_scan_skips_blocks, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(
			test_scan_looks_no_further_than_the_generation, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(
			test_scan_from_the_beginning_of_time, open_fixture, close_fixture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
