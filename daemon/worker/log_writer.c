/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/log_writer.h"

#include <errno.h>
#include <sys/mman.h>

/* Readers load these while we store. */
#define store(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define add(field, value)   store(field, (field) + (value))

int log_writer_map(struct log_writer *writer, int fd, uint64_t nr_pages)
{
	struct region_log log;
	if (region_log_map(&log, fd) < 0)
		return -1;
	bool fits = log.nr_pages == nr_pages;
	region_log_unmap(&log);
	if (!fits) {
		errno = EPROTO;
		return -1;
	}

	char *base = mmap(NULL, region_log_bytes(nr_pages), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -1;
	*writer = (struct log_writer){
		.header = (struct region_log_header *)base,
		.block = (uint64_t *)(base + REGION_LOG_HEADER_BYTES),
		.page = (uint64_t *)(base + region_log_page_offset(nr_pages)),
		.heat = (uint32_t *)(base + region_log_heat_offset(nr_pages)),
		.nr_pages = nr_pages,
	};
	return 0;
}

void log_writer_unmap(struct log_writer *writer)
{
	if (writer->header)
		munmap(writer->header, region_log_bytes(writer->nr_pages));
	*writer = (struct log_writer){0};
}

void log_writer_begin(struct log_writer *writer)
{
	writer->next = writer->header->generation + 1;
	writer->guest_pages = 0;
	writer->device_model_pages = 0;
	writer->forced_pages = 0;
}

static void mark(struct log_writer *writer, uint64_t page)
{
	store(writer->page[page], writer->next);
	store(writer->block[page / REGION_LOG_BLOCK_PAGES], writer->next);
	if (writer->heat[page] != UINT32_MAX)
		add(writer->heat[page], 1);
}

void log_writer_mark_bits(struct log_writer *writer, uint64_t first, uint64_t n, const unsigned long *bitmap,
	uint64_t first_bit)
{
	for (uint64_t i = 0; i < n;) {
		uint64_t bit = first_bit + i;
		unsigned long word = bitmap[bit / 64] >> (bit % 64);
		if (word == 0) {
			i += 64 - bit % 64;
			continue;
		}
		i += __builtin_ctzl(word);
		if (i >= n)
			break;
		mark(writer, first + i);
		writer->guest_pages++;
		i++;
	}
}

static void mark_range(struct log_writer *writer, uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++)
		mark(writer, i);
}

void log_writer_mark_written(struct log_writer *writer, uint64_t first, uint64_t n)
{
	mark_range(writer, first, n);
	writer->device_model_pages += n;
}

void log_writer_mark_all(struct log_writer *writer, uint64_t first, uint64_t n)
{
	mark_range(writer, first, n);
	writer->forced_pages += n;
}

bool log_writer_commit(struct log_writer *writer)
{
	struct region_log_header *header = writer->header;

	if (writer->guest_pages + writer->device_model_pages + writer->forced_pages == 0)
		return false;
	add(header->dirty_guest, writer->guest_pages);
	add(header->dirty_device_model, writer->device_model_pages);
	add(header->dirty_forced, writer->forced_pages);
	__atomic_store_n(&header->generation, writer->next, __ATOMIC_RELEASE);
	return true;
}

void log_writer_count_poll(struct log_writer *writer, uint64_t now_ns, uint64_t poll_ns)
{
	struct region_log_header *header = writer->header;

	store(header->last_poll_ns, now_ns);
	add(header->polls, 1);
	add(header->poll_ns, poll_ns);
}

bool log_writer_has_new(const struct log_writer *writer, uint64_t first, uint64_t n)
{
	uint64_t newest = writer->header->generation;

	for (uint64_t page = first; page < first + n;) {
		uint64_t end = (page / REGION_LOG_BLOCK_PAGES + 1) * REGION_LOG_BLOCK_PAGES;
		if (writer->block[page / REGION_LOG_BLOCK_PAGES] == newest) {
			for (; page < end && page < first + n; page++) {
				if (writer->page[page] == newest)
					return true;
			}
		}
		page = end;
	}
	return false;
}

void log_writer_set_state(struct log_writer *writer, enum region_log_state state, const struct log_pace *pace)
{
	struct region_log_header *header = writer->header;

	store(header->state, state);
	store(header->wanted_period_ns, pace->wanted_ns);
	store(header->period_ns, pace->period_ns);
	store(header->stretch, pace->stretch);
	store(header->untracked_pages, pace->untracked_pages);
}
