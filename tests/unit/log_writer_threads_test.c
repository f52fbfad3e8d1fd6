/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A writer and readers of one region log at the same time. The writer keeps a history beside the log, plain
 * memory that only the log's release and acquire publish: a reader that has seen generation G must have been
 * told of every page in the history up to G. ThreadSanitizer checks the same claim in its own way, which is
 * why all threads use one mapping.
 */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "daemon/supervisor/log_file.h"
#include "daemon/worker/log_writer.h"

#define PAGES         300u
#define WORDS         ((PAGES + 63) / 64)
#define GENERATIONS   200000u
#define PAGES_A_ROUND 3u
#define READERS       2u
/* So often the writer waits for both readers' next scans: on a busy machine it could be done before they begin. */
#define MEETINGS 50u

static uint16_t history[GENERATIONS + 2][PAGES_A_ROUND];

struct reader {
	pthread_t thread;
	const struct region_log *log;
	unsigned int rest; /* rounds of idling between two scans */
	uint64_t n_scans;  /* atomic */
	uint64_t n_missed;
	uint64_t n_backwards;
};

struct writing {
	pthread_t thread;
	struct log_writer writer;
	const struct reader *readers;
};

static uint64_t count_scans(const struct reader *reader)
{
	return __atomic_load_n(&reader->n_scans, __ATOMIC_RELAXED);
}

static void await_scans(const struct reader *readers)
{
	for (unsigned int i = 0; i < READERS; i++) {
		uint64_t before = count_scans(&readers[i]);
		while (count_scans(&readers[i]) == before)
			sched_yield();
	}
}

static void *write_generations(void *data)
{
	struct writing *writing = data;
	struct log_writer *writer = &writing->writer;
	uint64_t random = 5;

	for (unsigned int g = 0; g < GENERATIONS; g++) {
		if (g % (GENERATIONS / MEETINGS) == 0)
			await_scans(writing->readers);
		log_writer_begin(writer);
		for (unsigned int i = 0; i < PAGES_A_ROUND; i++) {
			uint16_t page = next_random(&random) % PAGES;
			history[writer->next][i] = page;
			log_writer_mark_all(writer, page, 1);
		}
		log_writer_commit(writer);
	}
	return NULL;
}

static void *follow(void *data)
{
	struct reader *reader = data;
	uint64_t cursor = 1, last = GENERATIONS + 1;
	uint64_t bitmap[WORDS];

	while (cursor < last) {
		uint64_t generation;
		region_log_scan(reader->log, cursor, 0, PAGES, bitmap, &generation);
		__atomic_fetch_add(&reader->n_scans, 1, __ATOMIC_RELAXED);
		reader->n_backwards += generation < cursor;
		for (uint64_t g = cursor + 1; g <= generation; g++) {
			for (unsigned int i = 0; i < PAGES_A_ROUND; i++) {
				unsigned int page = history[g][i];
				reader->n_missed += !(bitmap[page / 64] >> (page % 64) & 1);
			}
		}
		cursor = generation;
		for (volatile unsigned int i = 0; i < reader->rest; i++)
			;
	}
	return NULL;
}

static void test_no_page_is_missed(void **state)
{
	(void)state;
	struct log_file *file = log_file_new(1, 7, PAGES, 1);
	struct writing writing;
	assert_non_null(file);
	assert_int_equal(log_writer_map(&writing.writer, file->writable_fd, PAGES), 0);
	const struct region_log log = {
		.header = writing.writer.header,
		.block = writing.writer.block,
		.page = writing.writer.page,
		.heat = writing.writer.heat,
		.nr_pages = PAGES,
	};
	struct reader readers[READERS] = {{.log = &log}, {.log = &log, .rest = 20000}};

	writing.readers = readers;
	for (unsigned int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i].thread, NULL, follow, &readers[i]), 0);
	assert_int_equal(pthread_create(&writing.thread, NULL, write_generations, &writing), 0);
	pthread_join(writing.thread, NULL);
	for (unsigned int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].n_missed, 0);
		assert_int_equal(readers[i].n_backwards, 0);
		assert_true(readers[i].n_scans >= MEETINGS);
	}
	log_writer_unmap(&writing.writer);
	log_file_free(file, REGION_LOG_GONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_page_is_missed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
