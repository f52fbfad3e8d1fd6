/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one domain that a worker serves: its Xen handles, confined to it, and one of its pages, mapped for
 * as long as the handles live.
 *
 * Restricted handles are confined to a domid, and a new domain with the same domid would be reached by
 * them. Xen cannot give a domid away while a page of the old domain is mapped, so the page keeps the
 * handles honest.
 */
#ifndef XENVRAM_WORKER_GUEST_H
#define XENVRAM_WORKER_GUEST_H

#include <stdint.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#include "proto/failure.h"

struct guest {
	uint16_t domid;
	xendevicemodel_handle *devicemodel;
	xenforeignmemory_handle *memory;
	void *held_page;
	uint64_t max_tracked_pages; /* what the kernel lets one track call cover */
};

/*
 * Opens, holds a page, and confines every Xen handle of this process to the domain, in which nothing is
 * changed: it may be another one than is meant. 0, or -1 with the failure: NO_DOMAIN, UNSUPPORTED_DOMAIN (PV,
 * or this host itself), HYPERVISOR. Needs root or the device nodes' permission; nothing afterwards does.
 */
int guest_open(struct guest *guest, uint16_t domid, struct failure *failure);
void guest_close(struct guest *guest);

/*
 * Is the domain still alive? Relocating and pinning do not notice when it is dying. Stops dirty tracking,
 * which therefore must be off already. 0, or -1 with NO_DOMAIN, or HYPERVISOR.
 */
int guest_check_alive(struct guest *guest, struct failure *failure);

/* Fills the failure for a hypercall that set errno; ESRCH becomes NO_DOMAIN. Returns -1. */
int guest_failure(const struct guest *guest, struct failure *failure, const char *what);

#endif
