/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen-guest-sum DOMID FIRST_GFN PAGES: one number for the contents and places of these pages, which are all
 * populated. Any page changed, lost or moved gives another number.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest_memory.h"

/* FNV-1a over 64-bit words: a byte at a time takes too long on an emulated machine. */
static uint64_t sum_of(const struct page_copies *copies)
{
	uint64_t sum = 0xcbf29ce484222325ull;
	for (size_t i = 0; i < copies->n_bytes; i += sizeof(sum)) {
		uint64_t word;
		memcpy(&word, copies->bytes + i, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3ull;
	}
	return sum;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		errx(2, "usage: xen-guest-sum DOMID FIRST_GFN PAGES");
	xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
	if (!memory)
		err(1, "xenforeignmemory_open");
	struct page_copies *copies = guest_memory_copy(
		memory, strtoul(argv[1], NULL, 0), strtoull(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
	printf("%016" PRIx64 "\n", sum_of(copies));
	free(copies);
	xenforeignmemory_close(memory);
	return 0;
}
