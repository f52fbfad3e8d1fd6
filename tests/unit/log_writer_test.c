/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writer of a region log together with its readers, in one thread; a log from the supervisor's hand. */
#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/supervisor/log_file.h"
#include "daemon/worker/log_writer.h"

#define PAGES 200u
#define WORDS ((PAGES + 63) / 64)

struct fixture {
	struct log_file *file;
	struct log_writer writer;
	struct region_log log;
	uint64_t cursor;
};

static int open_fixture(void **state)
{
	static struct fixture f;
	f.file = log_file_new(1, 7, PAGES, 1);
	if (!f.file || log_writer_map(&f.writer, f.file->writable_fd, PAGES) < 0 ||
		region_log_map(&f.log, f.file->readable_fd) < 0)
		return -1;
	f.cursor = region_log_generation(&f.log);
	*state = &f;
	return 0;
}

static int close_fixture(void **state)
{
	struct fixture *f = *state;
	log_writer_unmap(&f->writer);
	region_log_unmap(&f->log);
	log_file_free(f->file, REGION_LOG_GONE);
	return 0;
}

static bool bit(const uint64_t *bitmap, unsigned int i)
{
	return bitmap[i / 64] >> (i % 64) & 1;
}

static uint64_t read_on(struct fixture *f, uint64_t bitmap[WORDS])
{
	return region_log_scan(&f->log, f->cursor, 0, PAGES, bitmap, &f->cursor);
}

static void test_map(void **state)
{
	struct fixture *f = *state;
	struct log_writer writer = {0};
	assert_fails(log_writer_map(&writer, f->file->writable_fd, PAGES + 1), EPROTO);
	assert_fails(log_writer_map(&writer, f->file->writable_fd, 0), EPROTO);
	assert_fails(log_writer_map(&writer, f->file->readable_fd, PAGES), EACCES);
	assert_fails(log_writer_map(&writer, -1, PAGES), EBADF);
	assert_null(writer.header);
	log_writer_unmap(&writer);
}

static void test_a_generation(void **state)
{
	struct fixture *f = *state;
	const struct region_log_header *header = f->log.header;
	const unsigned long dirty[] = {1ul << 3, 0, 1ul << 1};
	uint64_t bitmap[WORDS];

	log_writer_begin(&f->writer);
	log_writer_mark_bits(&f->writer, 0, 130, dirty, 0);
	log_writer_mark_all(&f->writer, 199, 1);
	assert_int_equal(read_on(f, bitmap), 0);
	assert_true(log_writer_commit(&f->writer));
	assert_int_equal(header->generation, 2);
	assert_int_equal(read_on(f, bitmap), 3);
	assert_true(bit(bitmap, 3) && bit(bitmap, 129) && bit(bitmap, 199));
	assert_int_equal(f->log.heat[3], 1);
	assert_int_equal(f->log.heat[4], 0);
	assert_int_equal(header->dirty_guest, 2);
	assert_int_equal(header->dirty_forced, 1);
	assert_int_equal(header->polls, 0);

	log_writer_count_poll(&f->writer, 1000, 10);
	assert_int_equal(header->last_poll_ns, 1000);
	assert_int_equal(header->polls, 1);
	assert_int_equal(header->poll_ns, 10);

	/* Nothing found: readers are not bothered. */
	log_writer_begin(&f->writer);
	log_writer_mark_bits(&f->writer, 3, 60, dirty, 4);
	assert_false(log_writer_commit(&f->writer));
	assert_int_equal(header->generation, 2);
	log_writer_count_poll(&f->writer, 2000, 10);
	assert_int_equal(header->last_poll_ns, 2000);
	assert_int_equal(header->polls, 2);
	assert_int_equal(header->poll_ns, 20);
	assert_int_equal(read_on(f, bitmap), 0);

	/* What a device model wrote is new to readers, too, but nobody was polled for it. */
	log_writer_begin(&f->writer);
	log_writer_mark_written(&f->writer, 60, 10);
	assert_true(log_writer_commit(&f->writer));
	assert_int_equal(read_on(f, bitmap), 10);
	assert_true(bit(bitmap, 60) && bit(bitmap, 69));
	assert_int_equal(header->dirty_device_model, 10);
	assert_int_equal(header->dirty_guest, 2);
	assert_int_equal(header->dirty_forced, 1);
	assert_int_equal(header->polls, 2);
}

static void test_state(void **state)
{
	struct fixture *f = *state;
	static const struct log_pace pace = {
		.wanted_ns = 33000000,
		.period_ns = 66000000,
		.stretch = REGION_LOG_STRETCHED_IDLE,
		.untracked_pages = 12,
	};
	static const struct log_pace none;
	const struct region_log_header *header = f->log.header;
	log_writer_set_state(&f->writer, REGION_LOG_PARTIAL, &pace);
	assert_int_equal(header->state, REGION_LOG_PARTIAL);
	assert_int_equal(header->wanted_period_ns, 33000000);
	assert_int_equal(header->period_ns, 66000000);
	assert_int_equal(header->stretch, REGION_LOG_STRETCHED_IDLE);
	assert_int_equal(header->untracked_pages, 12);
	log_writer_set_state(&f->writer, REGION_LOG_IDLE, &none);
	assert_int_equal(header->state, REGION_LOG_IDLE);
	assert_int_equal(header->wanted_period_ns, 0);
	assert_int_equal(header->period_ns, 0);
	assert_int_equal(header->stretch, REGION_LOG_AS_WANTED);
	assert_int_equal(header->untracked_pages, 0);
	assert_int_equal(header->generation, 1);
}

static void test_heat_saturates(void **state)
{
	struct fixture *f = *state;
	f->writer.heat[9] = UINT32_MAX - 1;
	for (unsigned int i = 0; i < 3; i++) {
		log_writer_begin(&f->writer);
		log_writer_mark_all(&f->writer, 9, 1);
		log_writer_commit(&f->writer);
	}
	assert_int_equal(f->log.heat[9], UINT32_MAX);
}

static void test_bits_at_every_alignment(void **state)
{
	struct fixture *f = *state;
	unsigned long dirty[5];
	uint64_t bitmap[WORDS], random = 3;

	for (unsigned int first_bit = 0; first_bit < 70; first_bit++) {
		for (unsigned int n = 0; n <= 130; n++) {
			unsigned int first = next_random(&random) % (PAGES - n + 1);
			/* Sparse words too: the loop skips what is zero. */
			for (unsigned int i = 0; i < 5; i++)
				dirty[i] = next_random(&random) & next_random(&random) &
					   (next_random(&random) % 3 ? 0 : ~0ul);
			log_writer_begin(&f->writer);
			log_writer_mark_bits(&f->writer, first, n, dirty, first_bit);
			log_writer_commit(&f->writer);
			uint64_t found = read_on(f, bitmap), expected = 0;
			for (unsigned int i = 0; i < PAGES; i++) {
				unsigned int b = first_bit + i - first;
				bool is_dirty =
					i >= first && i < first + n && (dirty[b / 64] >> (b % 64) & 1);
				expected += is_dirty;
				if (bit(bitmap, i) != is_dirty)
					fail_msg("page %u: first %u, n %u, first_bit %u", i, first, n,
						first_bit);
			}
			assert_int_equal(found, expected);
		}
	}
}

/* Against the pages of the last generation, one by one: every range of them. */
static void check_has_new(struct fixture *f, const bool newest[PAGES])
{
	for (unsigned int first = 0; first < PAGES; first++) {
		bool expected = false;
		assert_false(log_writer_has_new(&f->writer, first, 0));
		for (unsigned int n = 1; n <= PAGES - first; n++) {
			expected |= newest[first + n - 1];
			if (log_writer_has_new(&f->writer, first, n) != expected)
				fail_msg("%u pages from %u", n, first);
		}
	}
}

static void test_has_new(void **state)
{
	struct fixture *f = *state;
	uint64_t random = 31;

	for (unsigned int g = 0; g < 40; g++) {
		bool newest[PAGES] = {false};
		log_writer_begin(&f->writer);
		for (unsigned int k = 1 + next_random(&random) % 4; k > 0; k--) {
			unsigned int page = next_random(&random) % PAGES;
			newest[page] = true;
			log_writer_mark_written(&f->writer, page, 1);
		}
		log_writer_commit(&f->writer);
		check_has_new(f, newest);
		/* A generation of nothing leaves the one before the last. */
		log_writer_begin(&f->writer);
		assert_false(log_writer_commit(&f->writer));
		check_has_new(f, newest);
	}
}

/* What is marked and not published is nothing to readers; the next writer begins with everything. */
static void test_writer_dies_before_commit(void **state)
{
	struct fixture *f = *state;
	struct log_writer successor;
	uint64_t bitmap[WORDS], early;

	log_writer_begin(&f->writer);
	log_writer_mark_all(&f->writer, 0, 70);
	assert_int_equal(read_on(f, bitmap), 0);
	/* A reader that is behind may see marks early; its cursor does not pass them. */
	assert_true(region_log_scan(&f->log, 0, 0, PAGES, bitmap, &early) > 0);
	assert_int_equal(early, 1);

	assert_int_equal(log_writer_map(&successor, f->file->writable_fd, PAGES), 0);
	log_writer_begin(&successor);
	log_writer_mark_all(&successor, 0, PAGES);
	assert_true(log_writer_commit(&successor));
	assert_int_equal(region_log_generation(&f->log), 2);
	assert_int_equal(read_on(f, bitmap), PAGES);
	assert_int_equal(read_on(f, bitmap), 0);

	/* From then on as always, also for the pages that were marked in vain. */
	log_writer_begin(&successor);
	log_writer_mark_all(&successor, 69, 1);
	assert_true(log_writer_commit(&successor));
	assert_int_equal(read_on(f, bitmap), 1);
	assert_true(bit(bitmap, 69));
	log_writer_unmap(&successor);
}

/* Readers of every pace see exactly what changed since they last looked, whoever else reads. */
static void test_readers_of_every_pace(void **state)
{
	enum { READERS = 4, GENERATIONS = 2000 };
	struct fixture *f = *state;
	bool unseen[READERS][PAGES] = {{false}};
	uint64_t cursors[READERS], bitmap[WORDS], random = 11;

	for (unsigned int r = 0; r < READERS; r++)
		cursors[r] = f->cursor;
	for (unsigned int g = 0; g < GENERATIONS; g++) {
		log_writer_begin(&f->writer);
		for (unsigned int k = next_random(&random) % 4; k > 0; k--) {
			unsigned int first = next_random(&random) % PAGES;
			unsigned int n = next_random(&random) % 5;
			n = n < PAGES - first ? n : PAGES - first;
			log_writer_mark_all(&f->writer, first, n);
			for (unsigned int r = 0; r < READERS; r++)
				memset(&unseen[r][first], true, n);
		}
		log_writer_commit(&f->writer);
		for (unsigned int r = 0; r < READERS; r++) {
			if (next_random(&random) % (1u << (2 * r)))
				continue;
			region_log_scan(&f->log, cursors[r], 0, PAGES, bitmap, &cursors[r]);
			for (unsigned int i = 0; i < PAGES; i++)
				assert_int_equal(bit(bitmap, i), unseen[r][i]);
			memset(unseen[r], false, sizeof(unseen[r]));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_map, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_a_generation, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_state, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_heat_saturates, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_bits_at_every_alignment, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_has_new, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_writer_dies_before_commit, open_fixture, close_fixture),
		cmocka_unit_test_setup_teardown(test_readers_of_every_pace, open_fixture, close_fixture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
