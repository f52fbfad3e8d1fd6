/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"
#include "proto/limits.h"
#include "proto/region_log.h"

static void fill(void *base, size_t offset, uint64_t n, uint64_t generation)
{
	uint64_t *generations = (uint64_t *)((char *)base + offset);
	for (uint64_t i = 0; i < n; i++)
		generations[i] = generation;
}

static int initialise(int fd, uint64_t cookie, uint64_t nr_pages, uint64_t generation)
{
	size_t bytes = region_log_bytes(nr_pages);
	if (fchmod(fd, 0600) < 0 || ftruncate(fd, bytes) < 0)
		return -1;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -1;
	*(struct region_log_header *)base = (struct region_log_header){
		.magic = REGION_LOG_MAGIC,
		.version = REGION_LOG_VERSION,
		.nr_pages = nr_pages,
		.cookie = cookie,
		.state = REGION_LOG_IDLE,
		.generation = generation,
	};
	fill(base, REGION_LOG_HEADER_BYTES, region_log_n_blocks(nr_pages), generation);
	fill(base, region_log_page_offset(nr_pages), nr_pages, generation);
	munmap(base, bytes);
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

static int reopen_readable(int fd)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static struct log_file *discard(struct log_file *log)
{
	int saved_errno = errno;
	fd_close(log->writable_fd);
	fd_close(log->readable_fd);
	free(log);
	errno = saved_errno;
	return NULL;
}

struct log_file *log_file_new(uint64_t cookie, uint32_t domid, uint64_t nr_pages, uint64_t first_generation)
{
	/* The sizes of the file follow from it, and are written to. */
	if (nr_pages == 0 || nr_pages > MAX_REGION_PAGES) {
		errno = EINVAL;
		return NULL;
	}
	struct log_file *log = malloc(sizeof(*log));
	if (!log)
		return NULL;
	*log = (struct log_file){.cookie = cookie,
		.domid = domid,
		.nr_pages = nr_pages,
		.readable_fd = -1,
		.writable_fd = memfd_create("xenvram-region-log", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	if (log->writable_fd < 0 || initialise(log->writable_fd, cookie, nr_pages, first_generation) < 0)
		return discard(log);
	log->readable_fd = reopen_readable(log->writable_fd);
	if (log->readable_fd < 0)
		return discard(log);
	return log;
}

/*
 * Whoever keeps a descriptor of it keeps the file, and its memory is counted as ours. So all but the header goes:
 * in its place are zeros, pages that were never dirty.
 */
static void give_memory_back(const struct log_file *log)
{
	/* Beyond its end: of a page in part nothing is given back. */
	off_t bytes = region_log_bytes(log->nr_pages);
	if (fallocate(log->writable_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, REGION_LOG_HEADER_BYTES,
		    bytes) < 0)
		log_warning("the memory of a region log cannot be given back: %s", strerror(errno));
}

struct log_file *log_file_free(struct log_file *log, uint32_t last_state)
{
	/* Its worker may have died before it could say so. */
	if (pwrite(log->writable_fd, &last_state, sizeof(last_state),
		    offsetof(struct region_log_header, state)) != (ssize_t)sizeof(last_state))
		log_warning("the end of a region log cannot be marked: %s", strerror(errno));
	if (last_state == REGION_LOG_GONE)
		give_memory_back(log);
	return discard(log);
}
