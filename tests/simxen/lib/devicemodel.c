/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stand-in for libxendevicemodel: the calls about memory. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <xendevicemodel.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/lib/handle.h"

struct xendevicemodel_handle {
	struct handle handle;
};

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned int open_flags)
{
	(void)logger;
	(void)open_flags;
	xendevicemodel_handle *dmod = calloc(1, sizeof(*dmod));
	if (dmod && handle_open(&dmod->handle, "xendevicemodel") < 0) {
		free(dmod);
		dmod = NULL;
	}
	return dmod;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
	if (dmod) {
		handle_close(&dmod->handle);
		free(dmod);
	}
	return 0;
}

int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
{
	return handle_confine(&dmod->handle, domid);
}

/* What the kernel makes of a buffer before the hypervisor hears of it. 0, or a negative errno. */
static int check_buffer(const struct host *host, const void *buffer, size_t bytes)
{
	if (bytes > host->file->settings.dm_op_buf_max_size_bytes)
		return -E2BIG;
	if (!buffer)
		return -EFAULT;
	if (bytes == 0 && (uintptr_t)buffer % HOST_PAGE_BYTES == 0) {
		fprintf(stderr, "simxen: a hypercall with an empty buffer at a page's start: "
				"on a real host this corrupts the kernel's heap\n");
		abort();
	}
	return 0;
}

/* Everything before the operation itself: the call counted, its target locked. 0, or a negative errno. */
static int enter(xendevicemodel_handle *dmod, enum call_kind kind, domid_t domid, struct call *ret_call,
	struct domain **ret_domain)
{
	int result = call_begin(&dmod->handle.host, kind, domid, ret_call);
	if (result == 0)
		result = domain_find_target(&dmod->handle.host, domid, ret_domain);
	if (result == 0)
		atomic_fetch_add_explicit(&(*ret_domain)->calls[kind], 1, memory_order_relaxed);
	return result;
}

int xendevicemodel_track_dirty_vram(xendevicemodel_handle *dmod, domid_t domid, uint64_t first_pfn,
	uint32_t nr, unsigned long *dirty_bitmap)
{
	struct host *host = &dmod->handle.host;
	struct domain *domain;
	struct call call;

	int result = handle_check(&dmod->handle, domid);
	if (result == 0)
		result = check_buffer(host, dirty_bitmap, (nr + 7) / 8);
	if (result == 0)
		result = enter(dmod, CALL_TRACK, domid, &call, &domain);
	if (result < 0)
		return handle_result(result);
	result = track_read(domain, host->file->settings.shadow, first_pfn, nr, (uint8_t *)dirty_bitmap);
	domain_unlock(domain);
	return handle_result(call_end(&call, result));
}

int xendevicemodel_relocate_memory(
	xendevicemodel_handle *dmod, domid_t domid, uint32_t size, uint64_t src_gfn, uint64_t dst_gfn)
{
	struct domain *domain;
	struct call call;

	int result = handle_check(&dmod->handle, domid);
	if (result == 0)
		result = enter(dmod, CALL_RELOCATE, domid, &call, &domain);
	if (result < 0)
		return handle_result(result);
	result = relocate(&dmod->handle.host, domain, &call, size, src_gfn, dst_gfn);
	domain_unlock(domain);
	return handle_result(call_end(&call, result));
}

int xendevicemodel_pin_memory_cacheattr(
	xendevicemodel_handle *dmod, domid_t domid, uint64_t start, uint64_t end, uint32_t type)
{
	struct domain *domain;
	struct call call;

	int result = handle_check(&dmod->handle, domid);
	if (result == 0)
		result = enter(dmod, CALL_PIN, domid, &call, &domain);
	if (result < 0)
		return handle_result(result);
	/* A dying domain takes anything. */
	if (domain->state == DOMAIN_ALIVE)
		result = pin_set(&domain->pins, start, end, type);
	domain_unlock(domain);
	return handle_result(call_end(&call, result));
}

/* Marks the bitmap of a live migration alone, and here nobody migrates. */
static int modified(xendevicemodel_handle *dmod, domid_t domid)
{
	struct domain *domain;
	struct call call;

	int result = enter(dmod, CALL_MODIFIED, domid, &call, &domain);
	if (result < 0)
		return handle_result(result);
	domain_unlock(domain);
	return handle_result(call_end(&call, 0));
}

int xendevicemodel_modified_memory(
	xendevicemodel_handle *dmod, domid_t domid, uint64_t first_pfn, uint32_t nr)
{
	(void)first_pfn;
	(void)nr;
	int result = handle_check(&dmod->handle, domid);
	return result < 0 ? handle_result(result) : modified(dmod, domid);
}

int xendevicemodel_modified_memory_bulk(xendevicemodel_handle *dmod, domid_t domid,
	struct xen_dm_op_modified_memory_extent extents[], uint32_t nr)
{
	int result = handle_check(&dmod->handle, domid);
	if (result == 0)
		result = check_buffer(&dmod->handle.host, extents, nr * sizeof(extents[0]));
	return result < 0 ? handle_result(result) : modified(dmod, domid);
}
