/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Region logs as files: made and kept by the supervisor, written by one worker, read by everybody else. */
#ifndef XENVRAM_SUPERVISOR_LOG_FILE_H
#define XENVRAM_SUPERVISOR_LOG_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct log_file {
	LIST_ENTRY(log_file) link; /* supervisor::logs */
	uint64_t cookie;
	uint32_t domid;
	uint64_t nr_pages;
	int writable_fd;
	int readable_fd; /* another open of the same file: nothing writable can be made of it */
	bool announced;  /* its worker has it, and the broker was told */
};

LIST_HEAD(log_file_list, log_file);

/*
 * A memory file whose size is sealed, with a header and every page dirty at first_generation. NULL with
 * errno, EINVAL when no region has so many pages.
 */
struct log_file *log_file_new(uint64_t cookie, uint32_t domid, uint64_t nr_pages, uint64_t first_generation);

/*
 * Marks how it ends for whoever still reads it, IDLE or GONE (enum region_log_state), and frees it. Of one that is
 * gone nothing but the header is left in memory.
 */
struct log_file *log_file_free(struct log_file *log, uint32_t last_state);

#endif
