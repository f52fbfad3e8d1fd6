/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest_memory.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096u
#define BATCH      256u

/* Maps up to BATCH pages from gfn on; errors[i] is 0 for each that is populated. */
static void *map_batch(
	xenforeignmemory_handle *memory, uint32_t domid, int protection, uint64_t gfn, size_t n, int *errors)
{
	xen_pfn_t gfns[BATCH];
	for (size_t i = 0; i < n; i++)
		gfns[i] = gfn + i;
	void *map = xenforeignmemory_map(memory, domid, protection, n, gfns, errors);
	if (!map)
		err(1, "cannot map gfn 0x%" PRIx64 " of domain %u", gfn, domid);
	return map;
}

struct page_copies *guest_memory_copy(
	xenforeignmemory_handle *memory, uint32_t domid, uint64_t first_gfn, size_t n)
{
	struct page_copies *copies = malloc(sizeof(*copies) + n * PAGE_BYTES);
	if (!copies)
		err(1, "%zu pages", n);
	copies->n_bytes = n * PAGE_BYTES;
	for (size_t done = 0; done < n; done += BATCH) {
		size_t batch = n - done < BATCH ? n - done : BATCH;
		int errors[BATCH];
		void *map = map_batch(memory, domid, PROT_READ, first_gfn + done, batch, errors);
		for (size_t i = 0; i < batch; i++) {
			if (errors[i])
				errx(1, "gfn 0x%" PRIx64 " of domain %u is not there: %s",
					first_gfn + done + i, domid, strerror(-errors[i]));
		}
		memcpy(copies->bytes + done * PAGE_BYTES, map, batch * PAGE_BYTES);
		xenforeignmemory_unmap(memory, map, batch);
	}
	return copies;
}

size_t guest_memory_compare(const struct page_copies *a, const struct page_copies *b)
{
	size_t n_different = 0;
	for (size_t offset = 0; offset < a->n_bytes; offset += PAGE_BYTES) {
		if (memcmp(a->bytes + offset, b->bytes + offset, PAGE_BYTES) == 0)
			continue;
		if (n_different++ == 0)
			printf("  the first page that differs is page %zu\n", offset / PAGE_BYTES);
	}
	return n_different;
}

void guest_memory_write(xenforeignmemory_handle *memory, uint32_t domid, uint64_t gfn, uint32_t value)
{
	int error;
	volatile uint32_t *page = map_batch(memory, domid, PROT_READ | PROT_WRITE, gfn, 1, &error);
	if (error)
		errx(1, "gfn 0x%" PRIx64 " of domain %u is not there: %s", gfn, domid, strerror(-error));
	page[0] = value;
	xenforeignmemory_unmap(memory, (void *)page, 1);
}

bool guest_memory_is_hole(xenforeignmemory_handle *memory, uint32_t domid, uint64_t first_gfn, size_t n)
{
	for (size_t done = 0; done < n; done += BATCH) {
		size_t batch = n - done < BATCH ? n - done : BATCH;
		int errors[BATCH];
		xenforeignmemory_unmap(
			memory, map_batch(memory, domid, PROT_READ, first_gfn + done, batch, errors), batch);
		for (size_t i = 0; i < batch; i++) {
			if (errors[i] == 0)
				return false;
		}
	}
	return true;
}
