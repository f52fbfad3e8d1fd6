/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A region log whose writer is the test. */
#ifndef XENVRAM_TESTS_FAKE_LOG_H
#define XENVRAM_TESTS_FAKE_LOG_H

#include <stdint.h>

#include "proto/region_log.h"

struct fake_log {
	int fd; /* sealed and read-only, as a client gets it */
	struct region_log_header *header;
	uint64_t *block;
	uint64_t *page;
	uint32_t *heat;
};

/* Everything dirty at generation 1, as in a new region. */
void fake_log_init(struct fake_log *log, uint64_t cookie, uint64_t nr_pages);
void fake_log_deinit(struct fake_log *log);

/* Marks in the generation to come; publish makes it the present one. */
void fake_log_mark(struct fake_log *log, uint64_t page);
void fake_log_publish(struct fake_log *log);

/* A memory file of so many zero bytes that could be a log, but for the seals or the contents. */
int fake_log_file(uint64_t n_bytes);

#endif
