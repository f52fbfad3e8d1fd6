/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <xentoolcore.h>

#include "daemon/common/log.h"
#include "proto/limits.h"

/* Where RAM is looked for, to hold a page of it: every HVM or PVH domain has some in its first 16 MiB. */
#define LOW_PAGES 4096u
#define BATCH     64u

int guest_failure(const struct guest *guest, struct failure *failure, const char *what)
{
	int error = errno;
	if (error == ESRCH)
		return failure_set(failure, XENVRAM__V1__STATUS__NO_DOMAIN, error,
			"domain %u does not exist any more", guest->domid);
	return failure_set(failure, XENVRAM__V1__STATUS__HYPERVISOR, error, "domain %u: %s: %s", guest->domid,
		what, strerror(error));
}

/* Passes Xen's checks of the target domain and does nothing else. */
static int probe_kind(struct guest *guest, struct failure *failure)
{
	if (xendevicemodel_modified_memory(guest->devicemodel, guest->domid, 0, 0) == 0)
		return 0;
	switch (errno) {
	case EINVAL:
		return failure_set(failure, XENVRAM__V1__STATUS__UNSUPPORTED_DOMAIN, EINVAL,
			"domain %u is a PV domain; video RAM can be managed for HVM and PVH domains",
			guest->domid);
	case EPERM:
		return failure_set(failure, XENVRAM__V1__STATUS__UNSUPPORTED_DOMAIN, EPERM,
			"domain %u is this host's own; video RAM can be managed for HVM and PVH guests",
			guest->domid);
	default:
		return guest_failure(guest, failure, "cannot be operated on");
	}
}

int guest_check_alive(struct guest *guest, struct failure *failure)
{
	/* Of no pages nothing is stored, but the pointer must not be NULL, nor page-aligned. */
	static unsigned long unaligned[2] __attribute__((aligned(2 * sizeof(unsigned long))));

	if (xendevicemodel_track_dirty_vram(guest->devicemodel, guest->domid, 0, 0, &unaligned[1]) == 0)
		return 0;
	if (errno == ESRCH)
		return guest_failure(guest, failure, "is gone");
	log_warning("domain %u: tracking cannot be stopped: %s", guest->domid, strerror(errno));
	return 0;
}

static int hold_page(struct guest *guest, struct failure *failure)
{
	xen_pfn_t gfns[BATCH];
	int errors[BATCH];

	for (xen_pfn_t first = 0; first < LOW_PAGES; first += BATCH) {
		for (unsigned int i = 0; i < BATCH; i++)
			gfns[i] = first + i;
		void *map = xenforeignmemory_map(guest->memory, guest->domid, PROT_READ, BATCH, gfns, errors);
		if (!map)
			return guest_failure(guest, failure, "its memory cannot be mapped");
		xenforeignmemory_unmap(guest->memory, map, BATCH);
		for (unsigned int i = 0; i < BATCH; i++) {
			if (errors[i])
				continue;
			guest->held_page = xenforeignmemory_map(
				guest->memory, guest->domid, PROT_READ, 1, &gfns[i], &errors[i]);
			if (guest->held_page && errors[i] == 0)
				return 0;
			if (guest->held_page)
				xenforeignmemory_unmap(guest->memory, guest->held_page, 1);
			guest->held_page = NULL;
		}
	}
	/*
	 * Of a domain that is dying the memory goes first. The supervisor finds out: to ask the hypervisor takes
	 * a call that stops tracking.
	 */
	errno = errors[BATCH - 1] == -ESRCH ? ESRCH : EFAULT;
	return guest_failure(guest, failure, "no page of its first 16 MiB can be mapped");
}

/* The kernel refuses a track call whose bitmap is larger than this module parameter, with E2BIG. */
static uint64_t read_max_tracked_pages(void)
{
	static const char path[] = "/sys/module/xen_privcmd/parameters/dm_op_buf_max_size";
	uint64_t bytes = 4096;

	FILE *file = fopen(path, "re");
	if (file) {
		unsigned long long value;
		if (fscanf(file, "%llu", &value) == 1 && value > 0)
			bytes = value;
		fclose(file);
	}
	return bytes * 8 < MAX_REGION_PAGES ? bytes * 8 : MAX_REGION_PAGES;
}

int guest_open(struct guest *guest, uint16_t domid, struct failure *failure)
{
	*guest = (struct guest){.domid = domid, .max_tracked_pages = read_max_tracked_pages()};
	guest->devicemodel = xendevicemodel_open(NULL, 0);
	if (!guest->devicemodel) {
		guest_failure(guest, failure, "cannot open the device model interface of Xen");
		goto fail;
	}
	guest->memory = xenforeignmemory_open(NULL, 0);
	if (!guest->memory) {
		guest_failure(guest, failure, "cannot open the foreign memory interface of Xen");
		goto fail;
	}
	if (probe_kind(guest, failure) < 0 || hold_page(guest, failure) < 0)
		goto fail;
	if (xentoolcore_restrict_all(domid) < 0) {
		guest_failure(guest, failure, "cannot confine the Xen handles to it");
		goto fail;
	}
	return 0;
fail:
	guest_close(guest);
	return -1;
}

void guest_close(struct guest *guest)
{
	/* The handles first: until they are closed the page keeps the domid from being used again. */
	if (guest->devicemodel)
		xendevicemodel_close(guest->devicemodel);
	if (guest->held_page && xenforeignmemory_unmap(guest->memory, guest->held_page, 1) < 0)
		log_error("domain %u: cannot unmap its held page: %s", guest->domid, strerror(errno));
	if (guest->memory)
		xenforeignmemory_close(guest->memory);
	*guest = (struct guest){.domid = guest->domid};
}
