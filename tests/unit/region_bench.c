/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/region_bench.h"

int region_bench_open(void **state)
{
	static struct region_bench b;
	b = (struct region_bench){.now_ns = 3600 * 1000 * MS};
	b.file = log_file_new(1, 7, PAGES, 1);
	if (!b.file)
		return -1;
	b.region = tracked_region_new(1, VRAM, PAGES, b.file->writable_fd);
	if (!b.region || region_log_map(&b.log, b.file->readable_fd) < 0)
		return -1;
	poll_pace_init(&b.pace, 1000000);
	b.cursor = region_log_generation(&b.log);
	*state = &b;
	return 0;
}

int region_bench_close(void **state)
{
	struct region_bench *b = *state;
	tracked_region_free(b->region);
	region_log_unmap(&b->log);
	log_file_free(b->file, REGION_LOG_GONE);
	return 0;
}

void region_bench_poll_gfns(struct region_bench *b, struct extent gfns, const unsigned long *bitmap)
{
	uint64_t generation = region_log_generation(&b->log);
	bool changed = tracked_region_publish(b->region, gfns, bitmap, b->now_ns);
	assert_int_equal(changed, region_log_generation(&b->log) != generation);
	tracked_region_describe(b->region, &b->pace, gfns, b->now_ns);
}

void region_bench_poll(struct region_bench *b, struct extent pages, const unsigned long *bitmap)
{
	region_bench_poll_gfns(b, (struct extent){VRAM + pages.first, pages.nr_pages}, bitmap);
}

void region_bench_follow(struct region_bench *b)
{
	assert_int_equal(tracked_region_add_reader(b->region, 1, WHOLE, 1000, -1), 0);
	region_bench_poll(b, WHOLE, NULL);
	b->cursor = region_log_generation(&b->log);
}

int region_bench_add_reader(struct region_bench *b, uint64_t subscription, struct extent pages)
{
	int fds[2];
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(tracked_region_add_reader(b->region, subscription, pages, 1000, fds[1]), 0);
	return fds[0];
}

void region_bench_assert_bits(struct region_bench *b, const uint64_t bits[WORDS])
{
	uint64_t found[WORDS];
	region_log_scan(&b->log, b->cursor, 0, PAGES, found, &b->cursor);
	for (unsigned int i = 0; i < PAGES; i++) {
		bool dirty = found[i / 64] >> (i % 64) & 1, expected = bits[i / 64] >> (i % 64) & 1;
		if (dirty != expected)
			fail_msg("page %u is %s", i, dirty ? "dirty" : "clean");
	}
}

void region_bench_assert_dirty(struct region_bench *b, uint64_t first, uint64_t n)
{
	uint64_t bits[WORDS] = {0};
	for (uint64_t i = first; i < first + n; i++)
		bits[i / 64] |= 1ull << (i % 64);
	region_bench_assert_bits(b, bits);
}

unsigned int drain(int fd)
{
	char bytes[4096];
	unsigned int n_bytes = 0;
	ssize_t n;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		n_bytes += n;
	return n_bytes;
}
