/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <signal.h>

#include "daemon/worker/reader.h"
#include "proto/limits.h"

#define MS    1000000ull /* in nanoseconds */
#define START (3600 * 1000 * MS)

static const struct extent some_pages = {3, 4};

static void make_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
}

static void test_new(void **state)
{
	(void)state;
	int fds[2];
	unsigned int n_open = count_open_fds();
	make_pipe(fds);
	struct reader *reader = reader_new(77, some_pages, MAX_PERIOD_US, fds[1]);
	assert_non_null(reader);
	assert_int_equal(reader->subscription, 77);
	assert_int_equal(reader->pages.first, 3);
	assert_int_equal(reader->pages.nr_pages, 4);
	assert_int_equal(reader->period_ns, MAX_PERIOD_US * 1000ull);
	assert_null(reader_free(reader));
	assert_null(reader_free(NULL));
	assert_false(fd_is_open(fds[1]));
	close(fds[0]);
	/* Without a pipe none is closed. */
	assert_null(reader_free(reader_new(77, some_pages, 1000, -1)));
	assert_int_equal(count_open_fds(), n_open);
}

static void test_due(void **state)
{
	(void)state;
	char byte;
	int fds[2];
	make_pipe(fds);
	struct reader *reader = reader_new(1, some_pages, 8000, fds[1]);
	/* A new one at once, then only when something has changed, and once a period. */
	assert_int_equal(reader_due(reader), 0);
	assert_true(reader_is_due(reader, START));
	reader_wake(reader, START);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	assert_int_equal(reader_due(reader), UINT64_MAX);
	assert_false(reader_is_due(reader, START + 100 * MS));
	reader->stale = true;
	assert_int_equal(reader_due(reader), START + 8 * MS);
	/* If something else happens shortly before, that will do, */
	assert_false(reader_is_due(reader, START + 7 * MS - 1));
	assert_true(reader_is_due(reader, START + 7 * MS));
	reader_wake(reader, START + 7 * MS);
	reader->stale = true;
	/* and the next one is no earlier for it. */
	assert_int_equal(reader_due(reader), START + 16 * MS);
	/* What was late stays late. */
	reader_wake(reader, START + 20 * MS);
	assert_int_equal(reader_due(reader), UINT64_MAX);
	reader->stale = true;
	assert_int_equal(reader_due(reader), START + 28 * MS);
	reader_free(reader);
	close(fds[0]);
}

static void test_reader_that_looks_by_itself(void **state)
{
	(void)state;
	struct reader *reader = reader_new(1, some_pages, 8000, -1);
	assert_int_equal(reader_due(reader), UINT64_MAX);
	assert_false(reader_is_due(reader, START));
	reader_wake(reader, START);
	reader->stale = true;
	assert_int_equal(reader_due(reader), UINT64_MAX);
	assert_false(reader_is_due(reader, START + 100 * MS));
	reader_free(reader);
}

static void test_full_pipe(void **state)
{
	(void)state;
	char bytes[4096];
	int fds[2];
	make_pipe(fds);
	while (write(fds[1], bytes, sizeof(bytes)) > 0)
		;
	while (write(fds[1], bytes, 1) > 0)
		;
	struct reader *reader = reader_new(1, some_pages, 8000, fds[1]);
	reader_wake(reader, START);
	/* It has its wake-up already. */
	assert_int_equal(reader_due(reader), UINT64_MAX);
	assert_int_equal(reader->wake_fd, fds[1]);
	while (read(fds[0], bytes, sizeof(bytes)) > 0)
		;
	reader_wake(reader, START);
	assert_int_equal(read(fds[0], bytes, 2), 1);
	reader_free(reader);
	close(fds[0]);
}

static void test_nobody_reads(void **state)
{
	(void)state;
	int fds[2];
	make_pipe(fds);
	close(fds[0]);
	struct reader *reader = reader_new(1, some_pages, 8000, fds[1]);
	reader_wake(reader, START);
	assert_int_equal(reader->wake_fd, -1);
	assert_false(fd_is_open(fds[1]));
	reader->stale = true;
	assert_int_equal(reader_due(reader), UINT64_MAX);
	reader_wake(reader, START + 8 * MS);
	reader_free(reader);
}

/* Not the end of a pipe that can be written to: given up, too. */
static void test_useless_descriptor(void **state)
{
	(void)state;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct reader *reader = reader_new(1, some_pages, 8000, fd);
	reader_wake(reader, START);
	assert_int_equal(reader->wake_fd, -1);
	assert_false(fd_is_open(fd));
	reader_free(reader);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as the worker does */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new),
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_reader_that_looks_by_itself),
		cmocka_unit_test(test_full_pipe),
		cmocka_unit_test(test_nobody_reads),
		cmocka_unit_test(test_useless_descriptor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
