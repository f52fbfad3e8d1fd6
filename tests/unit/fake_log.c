/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fake_log.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/mman.h>

int fake_log_file(uint64_t n_bytes)
{
	int fd = memfd_create("fake-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, n_bytes), 0);
	return fd;
}

void fake_log_init(struct fake_log *log, uint64_t cookie, uint64_t nr_pages)
{
	uint64_t n_bytes = region_log_bytes(nr_pages);
	char path[32];

	int fd = fake_log_file(n_bytes);
	char *base = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	*log = (struct fake_log){
		.header = (struct region_log_header *)base,
		.block = (uint64_t *)(base + REGION_LOG_HEADER_BYTES),
		.page = (uint64_t *)(base + region_log_page_offset(nr_pages)),
		.heat = (uint32_t *)(base + region_log_heat_offset(nr_pages)),
	};
	*log->header = (struct region_log_header){
		.magic = REGION_LOG_MAGIC,
		.version = REGION_LOG_VERSION,
		.nr_pages = nr_pages,
		.cookie = cookie,
		.state = REGION_LOG_TRACKED,
	};
	for (uint64_t i = 0; i < nr_pages; i++)
		fake_log_mark(log, i);
	fake_log_publish(log);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	log->fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(log->fd >= 0);
	close(fd);
}

void fake_log_deinit(struct fake_log *log)
{
	munmap(log->header, region_log_bytes(log->header->nr_pages));
	close(log->fd);
}

void fake_log_mark(struct fake_log *log, uint64_t page)
{
	uint64_t generation = log->header->generation + 1;

	__atomic_store_n(&log->page[page], generation, __ATOMIC_RELAXED);
	__atomic_store_n(&log->block[page / REGION_LOG_BLOCK_PAGES], generation, __ATOMIC_RELAXED);
	log->heat[page]++;
}

void fake_log_publish(struct fake_log *log)
{
	__atomic_store_n(&log->header->generation, log->header->generation + 1, __ATOMIC_RELEASE);
}
