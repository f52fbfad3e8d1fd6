/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/supervisor/log_file.h"
#include "proto/limits.h"
#include "proto/region_log.h"

#define PAGES 100u

static int open_file(void **state)
{
	*state = log_file_new(0x1234, 7, PAGES, 1);
	return *state ? 0 : -1;
}

static int close_file(void **state)
{
	log_file_free(*state, REGION_LOG_GONE);
	return 0;
}

static void test_content(void **state)
{
	struct log_file *file = *state;
	struct region_log log;
	uint64_t bitmap[2], generation;

	assert_int_equal(region_log_map(&log, file->readable_fd), 0);
	assert_int_equal(log.nr_pages, PAGES);
	assert_int_equal(log.header->cookie, 0x1234);
	assert_int_equal(log.header->state, REGION_LOG_IDLE);
	assert_int_equal(region_log_scan(&log, 0, 0, PAGES, bitmap, &generation), PAGES);
	assert_int_equal(generation, 1);
	assert_int_equal(log.heat[PAGES - 1], 0);
	region_log_unmap(&log);
}

static void test_smallest_and_largest(void **state)
{
	(void)state;
	static const uint64_t counts[] = {1, 64, 65, MAX_REGION_PAGES};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct log_file *file = log_file_new(1, 0, counts[i], 1);
		struct region_log log;
		assert_non_null(file);
		assert_int_equal(region_log_map(&log, file->readable_fd), 0);
		assert_int_equal(log.page[counts[i] - 1], 1);
		assert_int_equal(log.block[region_log_n_blocks(counts[i]) - 1], 1);
		region_log_unmap(&log);
		log_file_free(file, REGION_LOG_GONE);
	}
}

/* Their sizes wrap around, or are more than any region has. */
static void test_impossible_sizes(void **state)
{
	(void)state;
	static const uint64_t counts[] = {
		0, MAX_REGION_PAGES + 1, 1ull << 32, 0x1555555555555555, 1ull << 60, UINT64_MAX};
	unsigned int n_open = count_open_fds();
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		errno = 0;
		assert_null(log_file_new(1, 7, counts[i], 1));
		assert_int_equal(errno, EINVAL);
	}
	assert_int_equal(count_open_fds(), n_open);
}

static void test_size_is_sealed(void **state)
{
	struct log_file *file = *state;
	off_t bytes = region_log_bytes(PAGES);
	int fds[] = {file->writable_fd, file->readable_fd};

	assert_fails(ftruncate(file->writable_fd, bytes - 1), EPERM);
	assert_fails(ftruncate(file->writable_fd, 0), EPERM);
	assert_fails(ftruncate(file->writable_fd, bytes + 1), EPERM);
	assert_fails(pwrite(file->writable_fd, "", 1, bytes), EPERM);
	for (unsigned int i = 0; i < 2; i++) {
		struct stat st;
		assert_int_equal(fstat(fds[i], &st), 0);
		assert_int_equal(st.st_size, bytes);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	}
	/* Nobody may seal the worker's writes away. */
	assert_fails(fcntl(file->writable_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), EPERM);
	assert_fails(fcntl(file->readable_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), EPERM);
}

static void test_reader_cannot_write(void **state)
{
	struct log_file *file = *state;
	size_t bytes = region_log_bytes(PAGES);

	assert_fails(pwrite(file->readable_fd, "", 1, 0), EBADF);
	errno = 0;
	assert_ptr_equal(
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file->readable_fd, 0), MAP_FAILED);
	assert_int_equal(errno, EACCES);
	void *base = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file->readable_fd, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	assert_fails(mprotect(base, bytes, PROT_READ | PROT_WRITE), EACCES);
	munmap(base, bytes);
}

/* 0: refused as it must be. */
static int reopen_as_nobody(int fd)
{
	char path[32];
	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		return 2;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR) < 0 && errno == EACCES ? 0 : 1;
}

static void test_reader_of_another_uid_cannot_reopen_it(void **state)
{
	struct log_file *file = *state;
	int status;

	if (geteuid() != 0)
		skip();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(reopen_as_nobody(file->readable_fd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_reader_sees_writer(void **state)
{
	struct log_file *file = *state;
	struct region_log log;
	uint64_t value = 99;
	assert_int_equal(region_log_map(&log, file->readable_fd), 0);
	assert_int_equal(pwrite(file->writable_fd, &value, sizeof(value),
				 offsetof(struct region_log_header, generation)),
		sizeof(value));
	assert_int_equal(region_log_generation(&log), 99);
	region_log_unmap(&log);
}

static void test_gone_when_freed(void **state)
{
	(void)state;
	unsigned int n_open = count_open_fds();
	struct log_file *file = log_file_new(1, 7, PAGES, 1);
	struct region_log log;
	assert_int_equal(region_log_map(&log, file->readable_fd), 0);
	assert_null(log_file_free(file, REGION_LOG_GONE));
	assert_int_equal(log.header->state, REGION_LOG_GONE);
	assert_int_equal(log.header->generation, 1);
	region_log_unmap(&log);
	assert_int_equal(count_open_fds(), n_open);
}

static off_t memory_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return st.st_blocks * 512;
}

/* Somebody keeps a descriptor, and another one has it mapped. */
static void check_memory(uint64_t nr_pages, uint32_t state)
{
	static uint64_t bitmap[MAX_REGION_PAGES / 64];
	bool gone = state == REGION_LOG_GONE;
	struct log_file *file = log_file_new(0x1234, 7, nr_pages, 5);
	struct region_log log;
	uint64_t generation;
	int fd = fcntl(file->readable_fd, F_DUPFD_CLOEXEC, 0);
	off_t before = memory_of(fd);

	assert_true(before >= (off_t)region_log_heat_offset(nr_pages));
	assert_int_equal(region_log_map(&log, fd), 0);
	log_file_free(file, state);
	assert_int_equal(log.header->state, state);
	assert_int_equal(log.header->cookie, 0x1234);
	assert_int_equal(memory_of(fd), gone ? (off_t)REGION_LOG_HEADER_BYTES : before);
	assert_int_equal(region_log_scan(&log, 0, 0, nr_pages, bitmap, &generation), gone ? 0 : nr_pages);
	assert_int_equal(generation, 5);
	region_log_unmap(&log);
	/* It can still be mapped. */
	assert_int_equal(region_log_map(&log, fd), 0);
	region_log_unmap(&log);
	close(fd);
}

static void test_memory_goes_with_the_region(void **state)
{
	(void)state;
	static const uint64_t counts[] = {1, PAGES, 8192, MAX_REGION_PAGES};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		check_memory(counts[i], REGION_LOG_GONE);
		check_memory(counts[i], REGION_LOG_IDLE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_content, open_file, close_file),
		cmocka_unit_test(test_smallest_and_largest),
		cmocka_unit_test(test_impossible_sizes),
		cmocka_unit_test_setup_teardown(test_size_is_sealed, open_file, close_file),
		cmocka_unit_test_setup_teardown(test_reader_cannot_write, open_file, close_file),
		cmocka_unit_test_setup_teardown(
			test_reader_of_another_uid_cannot_reopen_it, open_file, close_file),
		cmocka_unit_test_setup_teardown(test_reader_sees_writer, open_file, close_file),
		cmocka_unit_test(test_gone_when_freed),
		cmocka_unit_test(test_memory_goes_with_the_region),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
