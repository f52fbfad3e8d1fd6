/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's pages as dom0 sees them. Each function ends the program when the guest cannot be looked at. */
#ifndef XENVRAM_TESTS_GUEST_MEMORY_H
#define XENVRAM_TESTS_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xenforeignmemory.h>

struct page_copies {
	size_t n_bytes;
	uint8_t bytes[];
};

/* Copies the contents of n populated pages; free() it. */
struct page_copies *guest_memory_copy(
	xenforeignmemory_handle *memory, uint32_t domid, uint64_t first_gfn, size_t n);

/* How many pages differ; prints the first. */
size_t guest_memory_compare(const struct page_copies *a, const struct page_copies *b);

/* Writes word 0 of the page through a mapping, as a device model would. */
void guest_memory_write(xenforeignmemory_handle *memory, uint32_t domid, uint64_t gfn, uint32_t value);

/* Is none of the n gfns populated? */
bool guest_memory_is_hole(xenforeignmemory_handle *memory, uint32_t domid, uint64_t first_gfn, size_t n);

#endif
