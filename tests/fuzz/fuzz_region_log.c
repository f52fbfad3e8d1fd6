/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A region log as a file of any content: what can be mapped can be read to its end. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/region_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const struct region_log *log)
{
	static uint64_t bitmap[MAX_REGION_PAGES / 64];
	uint64_t cursor = 0, heat = 0;

	for (uint64_t i = 0; i < log->nr_pages; i++)
		heat += log->heat[i];
	if (heat > log->nr_pages * UINT32_MAX)
		abort();
	/* From the beginning, from the middle, and when nothing can be new. */
	if (region_log_scan(log, 0, 0, log->nr_pages, bitmap, &cursor) > log->nr_pages)
		abort();
	region_log_scan(
		log, cursor / 2, log->nr_pages / 2, log->nr_pages - log->nr_pages / 2, bitmap, &cursor);
	if (region_log_scan(log, cursor, 0, log->nr_pages, bitmap, &cursor) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct region_log log;

	if (fd < 0)
		fd = memfd_create("log", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, size) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (region_log_map(&log, fd) == 0) {
		read_all(&log);
		region_log_unmap(&log);
	}
	return 0;
}
