/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The writing side of a region log (proto/region_log.h): one writer at a time. A writer that died in the
 * middle of a generation has published nothing of it; its successor starts with everything dirty.
 */
#ifndef XENVRAM_WORKER_LOG_WRITER_H
#define XENVRAM_WORKER_LOG_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/region_log.h"

struct log_writer {
	struct region_log_header *header;
	uint64_t *block;
	uint64_t *page;
	uint32_t *heat;
	uint64_t nr_pages;
	uint64_t next;        /* the generation being written */
	uint64_t guest_pages; /* dirty in it, by origin */
	uint64_t device_model_pages;
	uint64_t forced_pages;
};

/* Maps the writable log. 0, or -1 with errno: EPROTO if it is not a log of nr_pages pages; mmap's. */
int log_writer_map(struct log_writer *writer, int fd, uint64_t nr_pages);
void log_writer_unmap(struct log_writer *writer);

/* Begins a generation; then any number of marks; then commit. */
void log_writer_begin(struct log_writer *writer);

/* Marks page first + i for each i in [0, n) whose bit first_bit + i is set: the guest wrote it. */
void log_writer_mark_bits(struct log_writer *writer, uint64_t first, uint64_t n, const unsigned long *bitmap,
	uint64_t first_bit);

/* Marks [first, first + n): the device model says that it wrote it. */
void log_writer_mark_written(struct log_writer *writer, uint64_t first, uint64_t n);

/* Marks [first, first + n): it may have been written, nobody can tell. */
void log_writer_mark_all(struct log_writer *writer, uint64_t first, uint64_t n);

/* Publishes the generation if a page was marked. Returns whether there is something new for readers. */
bool log_writer_commit(struct log_writer *writer);

/* Counts a poll that ended at now_ns (CLOCK_MONOTONIC) and took poll_ns. */
void log_writer_count_poll(struct log_writer *writer, uint64_t now_ns, uint64_t poll_ns);

/* Is any of the pages [first, first + n) in the generation that was committed last? */
bool log_writer_has_new(const struct log_writer *writer, uint64_t first, uint64_t n);

/* How often the region is polled; all 0 when it is not. */
struct log_pace {
	uint64_t wanted_ns; /* the shortest period that a reader asks for */
	uint64_t period_ns; /* that in effect */
	enum region_log_stretch stretch;
	uint64_t untracked_pages;
};

void log_writer_set_state(
	struct log_writer *writer, enum region_log_state state, const struct log_pace *pace);

#endif
