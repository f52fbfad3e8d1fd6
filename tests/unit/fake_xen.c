/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fake_xen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>
#include <xentoolcore.h>

struct fake_xen xen;

/* Any address will do for a handle or a mapping. */
static char devicemodel, memory, mapping;

void fake_xen_reset(void)
{
	xen = (struct fake_xen){
		.max_run = UINT32_MAX,
		.probe_error_gfn = FAKE_NO_GFN,
		.immovable_gfn = FAKE_NO_GFN,
	};
}

void fake_xen_populate(uint64_t first, uint64_t n, uint32_t number)
{
	for (uint64_t i = 0; i < n; i++)
		xen.page[first + i] = number + i;
}

void fake_xen_write(uint64_t gfn)
{
	if (gfn - xen.track_first < xen.track_pages)
		xen.dirty[gfn] = true;
}

static int fail_with(int error)
{
	errno = error;
	return -1;
}

static bool is_struck(void)
{
	xen.n_calls++;
	return xen.fail_call &&
	       (xen.n_calls == xen.fail_call || (xen.fail_for_ever && xen.n_calls > xen.fail_call));
}

static int check_domain(domid_t domid)
{
	if (xen.domain_error)
		return fail_with(xen.domain_error);
	return domid == FAKE_DOMID ? 0 : fail_with(EPERM);
}

/* ---- handles ---- */

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned int flags)
{
	(void)logger;
	(void)flags;
	if (xen.open_error || xen.restricted) {
		errno = xen.open_error ? xen.open_error : EPERM;
		return NULL;
	}
	xen.n_handles++;
	return (xendevicemodel_handle *)&devicemodel;
}

int xendevicemodel_close(xendevicemodel_handle *handle)
{
	(void)handle;
	xen.n_handles--;
	return 0;
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned int flags)
{
	(void)logger;
	(void)flags;
	if (xen.restricted) {
		errno = EPERM;
		return NULL;
	}
	xen.n_handles++;
	return (xenforeignmemory_handle *)&memory;
}

int xenforeignmemory_close(xenforeignmemory_handle *handle)
{
	(void)handle;
	xen.n_handles--;
	return 0;
}

int xentoolcore_restrict_all(domid_t domid)
{
	if (domid != FAKE_DOMID)
		return fail_with(EINVAL);
	xen.restricted = true;
	return 0;
}

/* ---- memory ---- */

static int probe(uint64_t gfn)
{
	if (xen.domain_error == ESRCH)
		return -ESRCH;
	if (gfn == xen.probe_error_gfn)
		return -xen.probe_error;
	return gfn < FAKE_GFNS && xen.page[gfn] ? 0 : -EINVAL;
}

void *xenforeignmemory_map(xenforeignmemory_handle *handle, uint32_t domid, int prot, size_t n,
	const xen_pfn_t *gfns, int *errors)
{
	(void)handle;
	(void)prot;
	if (is_struck()) {
		errno = xen.fail_error;
		return NULL;
	}
	if (xen.domain_error != ESRCH && check_domain(domid) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		errors[i] = probe(gfns[i]);
	xen.n_maps++;
	return &mapping;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *handle, void *address, size_t n)
{
	(void)handle;
	(void)n;
	if (address != &mapping)
		return fail_with(EINVAL);
	xen.n_maps--;
	return 0;
}

static int move_page(uint64_t source, uint64_t destination)
{
	if (xen.relocate_failures > 0) {
		if (xen.relocate_good_pages == 0) {
			xen.relocate_failures--;
			return fail_with(xen.relocate_error);
		}
		xen.relocate_good_pages--;
	}
	if (source == xen.immovable_gfn)
		return fail_with(EBUSY);
	if (source >= FAKE_GFNS || !xen.page[source])
		return fail_with(EINVAL);
	if (destination >= FAKE_GFNS) {
		/* As the hypervisor does it: gone. */
		xen.page[source] = 0;
		xen.n_freed++;
		return fail_with(ENOENT);
	}
	xen.n_freed += xen.page[destination] != 0;
	xen.page[destination] = xen.page[source];
	xen.page[source] = 0;
	return 0;
}

int xendevicemodel_relocate_memory(
	xendevicemodel_handle *handle, domid_t domid, uint32_t size, uint64_t source, uint64_t destination)
{
	(void)handle;
	if (check_domain(domid) < 0)
		return -1;
	bool struck = is_struck();
	xen.n_long_runs += size > xen.max_run;
	for (uint32_t i = 0; i < size; i++) {
		if (struck && i == xen.fail_good_pages)
			break;
		if (move_page(source + i, destination + i) < 0)
			return -1;
	}
	return struck ? fail_with(xen.fail_error) : 0;
}

/* ---- pins ---- */

static int unpin(uint64_t first, uint64_t last)
{
	if (xen.unpin_error)
		return fail_with(xen.unpin_error);
	for (unsigned int i = 0; i < xen.n_pins; i++) {
		if (xen.pins[i].first != first || xen.pins[i].last != last)
			continue;
		xen.pins[i] = xen.pins[--xen.n_pins];
		return 0;
	}
	return fail_with(ENOENT);
}

int xendevicemodel_pin_memory_cacheattr(
	xendevicemodel_handle *handle, domid_t domid, uint64_t first, uint64_t last, uint32_t type)
{
	(void)handle;
	if (check_domain(domid) < 0)
		return -1;
	/* ENOENT from unpinning says that there is no such pin, which must be true. */
	if (is_struck() && !(type == XEN_DMOP_DELETE_MEM_CACHEATTR && xen.fail_error == ENOENT))
		return fail_with(xen.fail_error);
	if (type == XEN_DMOP_DELETE_MEM_CACHEATTR)
		return unpin(first, last);
	if (xen.pin_error)
		return fail_with(xen.pin_error);
	for (unsigned int i = 0; i < xen.n_pins; i++) {
		if (xen.pins[i].first == first && xen.pins[i].last == last) {
			xen.pins[i].type = type;
			return 0;
		}
		if (first <= xen.pins[i].last && xen.pins[i].first <= last)
			return fail_with(EBUSY);
	}
	if (xen.n_pins == FAKE_MAX_PINS)
		return fail_with(ENOSPC);
	xen.pins[xen.n_pins++] = (struct fake_pin){first, last, type};
	return 0;
}

/* ---- tracking ---- */

int xendevicemodel_modified_memory(xendevicemodel_handle *handle, domid_t domid, uint64_t first, uint32_t n)
{
	(void)handle;
	(void)first;
	(void)n;
	return check_domain(domid);
}

static int stop_tracking(const void *bitmap)
{
	xen.n_stops++;
	if (!bitmap)
		return fail_with(EFAULT);
	xen.n_overruns += (uintptr_t)bitmap % 4096 == 0;
	xen.track_pages = 0;
	memset(xen.dirty, 0, sizeof(xen.dirty));
	return 0;
}

static int start_tracking(uint64_t first, uint32_t n, void *bitmap)
{
	xen.n_starts++;
	xen.track_first = first;
	xen.track_pages = n;
	memset(xen.dirty, 0, sizeof(xen.dirty));
	if (xen.shadow)
		return fail_with(ENODATA);
	memset(bitmap, 0xff, (n + 7) / 8);
	return 0;
}

int xendevicemodel_track_dirty_vram(
	xendevicemodel_handle *handle, domid_t domid, uint64_t first, uint32_t n, unsigned long *bitmap)
{
	(void)handle;
	if (check_domain(domid) < 0)
		return -1;
	if (is_struck())
		return fail_with(xen.fail_error);
	if (n == 0)
		return stop_tracking(bitmap);
	xen.n_polls++;
	if (xen.on_poll)
		xen.on_poll();
	if (xen.track_failures > 0) {
		xen.track_failures--;
		if (xen.track_error_loses_bits)
			memset(xen.dirty, 0, sizeof(xen.dirty));
		return fail_with(xen.track_error);
	}
	if (first != xen.track_first || n != xen.track_pages)
		return start_tracking(first, n, bitmap);
	/* Whole bytes, and no more than that. */
	uint8_t *bytes = (uint8_t *)bitmap;
	memset(bytes, 0, (n + 7) / 8);
	for (uint32_t i = 0; i < n; i++) {
		bytes[i / 8] |= xen.dirty[first + i] << (i % 8);
		xen.dirty[first + i] = false;
	}
	return 0;
}
