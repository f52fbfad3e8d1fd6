/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/pages.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/common/fd.h"

/* Bounds the time of one mapping call and the size of its arrays. */
#define BATCH 1024u

static int probe_batch(
	struct guest *guest, uint64_t first, unsigned int n, bool *populated, struct failure *failure)
{
	xen_pfn_t gfns[BATCH];
	int errors[BATCH];

	for (unsigned int i = 0; i < n; i++)
		gfns[i] = first + i;
	/* PROT_READ: with PROT_NONE the kernel reports holes as good. */
	void *map = xenforeignmemory_map(guest->memory, guest->domid, PROT_READ, n, gfns, errors);
	if (!map)
		return guest_failure(guest, failure, "its pages cannot be probed");
	if (xenforeignmemory_unmap(guest->memory, map, n) < 0)
		return guest_failure(guest, failure, "its probed pages cannot be unmapped");

	for (unsigned int i = 0; i < n; i++) {
		populated[i] = errors[i] == 0;
		if (errors[i] == 0 || errors[i] == -EINVAL)
			continue;
		errno = -errors[i];
		if (errno == ESRCH)
			return guest_failure(guest, failure, "its pages cannot be probed");
		return failure_set(failure, XENVRAM__V1__STATUS__HYPERVISOR, errno,
			"domain %u: gfn 0x%" PRIx64 " is neither RAM nor a hole: %s", guest->domid, first + i,
			strerror(errno));
	}
	return 0;
}

int pages_probe(struct guest *guest, uint64_t first, uint64_t n, bool *populated, struct failure *failure)
{
	for (uint64_t done = 0; done < n; done += BATCH) {
		unsigned int batch = n - done < BATCH ? n - done : BATCH;
		if (probe_batch(guest, first + done, batch, populated + done, failure) < 0)
			return -1;
	}
	return 0;
}

int pages_expect(struct guest *guest, const char *what, uint64_t first, uint64_t n, bool expected,
	struct failure *failure)
{
	_cleanup_free_ bool *populated = malloc(n * sizeof(*populated));
	if (!populated)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
	if (pages_probe(guest, first, n, populated, failure) < 0)
		return -1;
	for (uint64_t i = 0; i < n; i++) {
		if (populated[i] == expected)
			continue;
		return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, expected ? ENXIO : EEXIST,
			"domain %u: %s gfn 0x%" PRIx64 " (page %" PRIu64 " of %" PRIu64
			") is %s, but must be %s",
			guest->domid, what, first + i, i, n, expected ? "a hole" : "populated",
			expected ? "populated" : "a hole: the page there would be freed");
	}
	return 0;
}
