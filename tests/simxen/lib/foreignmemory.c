/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stand-in for libxenforeignmemory: pages of the host file, mapped shared. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xenforeignmemory.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/lib/handle.h"

struct xenforeignmemory_handle {
	struct handle handle;
};

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned int open_flags)
{
	(void)logger;
	(void)open_flags;
	xenforeignmemory_handle *fmem = calloc(1, sizeof(*fmem));
	if (!fmem)
		return NULL;
	if (handle_open(&fmem->handle, "xenforeignmemory") < 0)
		goto fail;
	int result = foreign_map_register(&fmem->handle.host);
	if (result < 0) {
		handle_close(&fmem->handle);
		handle_result(result);
		goto fail;
	}
	return fmem;
fail:
	free(fmem);
	return NULL;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
	if (fmem) {
		foreign_map_unregister(&fmem->handle.host);
		handle_close(&fmem->handle);
		free(fmem);
	}
	return 0;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
{
	return handle_confine(&fmem->handle, domid);
}

/* Maps the run and writes it down first, so that nothing is mapped that is not on record. */
static int map_run(xenforeignmemory_handle *fmem, const struct map_run *run, int prot)
{
	struct host *host = &fmem->handle.host;
	size_t bytes = run->n_pages * (size_t)HOST_PAGE_BYTES;

	int result = foreign_map_add(host, run);
	if (result < 0)
		return result;
	if (mmap((void *)run->address, bytes, prot, MAP_SHARED | MAP_FIXED, host->fd,
		    frame_offset(host, run->first_frame)) == MAP_FAILED) {
		result = -errno;
		foreign_map_remove(host, run->address, run->n_pages);
	}
	return result;
}

/* Maps every page that exists, in runs of consecutive frames. */
static void map_pages(xenforeignmemory_handle *fmem, const struct domain *domain, uint64_t address, int prot,
	size_t n_pages, const xen_pfn_t *gfns, int *ret_errors)
{
	uint16_t slot = domain_slot(&fmem->handle.host, domain);

	for (size_t i = 0, n_run; i < n_pages; i += n_run) {
		uint32_t frame = p2m_get(&domain->p2m, gfns[i] % P2M_MAX_GFN);
		n_run = 1;
		if (!frame) {
			ret_errors[i] = -EINVAL;
			continue;
		}
		while (i + n_run < n_pages &&
			p2m_get(&domain->p2m, gfns[i + n_run] % P2M_MAX_GFN) == frame + n_run)
			n_run++;
		struct map_run run = {
			.address = address + i * HOST_PAGE_BYTES,
			.first_frame = frame,
			.n_pages = n_run,
			.slot = slot,
		};
		int result = map_run(fmem, &run, prot);
		for (size_t page = i; page < i + n_run; page++)
			ret_errors[page] = result;
	}
}

/* What the kernel's batch mapping does. 0 with an error, or 0, for each page; or a negative errno. */
static int map_batch(xenforeignmemory_handle *fmem, uint32_t domid, uint64_t address, int prot,
	size_t n_pages, const xen_pfn_t *gfns, int *ret_errors)
{
	struct domain *domain;
	struct call call;

	int result = call_begin(&fmem->handle.host, CALL_MAP, domid, &call);
	if (result < 0)
		return result;
	memset(ret_errors, 0, n_pages * sizeof(*ret_errors));
	if (prot == PROT_NONE)
		return call_end(&call, 0); /* nothing is looked at, nothing is mapped */
	if (domid == 0 || domain_find(&fmem->handle.host, domid, &domain) < 0) {
		for (size_t i = 0; i < n_pages; i++)
			ret_errors[i] = -ESRCH;
		return call_end(&call, 0);
	}
	atomic_fetch_add_explicit(&domain->calls[CALL_MAP], 1, memory_order_relaxed);
	map_pages(fmem, domain, address, prot, n_pages, gfns, ret_errors);
	call_strike_page(&call, ret_errors, n_pages);
	domain_unlock(domain);
	return call_end(&call, 0);
}

static int first_error(const int *errors, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (errors[i])
			return errors[i];
	}
	return 0;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom, void *addr, int prot, int flags,
	size_t pages, const xen_pfn_t arr[], int err[])
{
	struct host *host = &fmem->handle.host;
	size_t bytes = pages * HOST_PAGE_BYTES;

	int *errors = err ? err : calloc(pages, sizeof(*errors));
	if (!errors)
		return NULL;
	/* Where no page is, it is as beyond the end of the file: a SIGBUS. */
	void *map = mmap(addr, bytes, prot, flags | MAP_SHARED, host->fd, host->file->layout.total_bytes);
	if (map == MAP_FAILED) {
		map = NULL;
		goto out;
	}
	if (flags & MAP_FIXED)
		foreign_map_remove(host, (uintptr_t)map, pages);
	int result = handle_check(&fmem->handle, dom);
	if (result == 0)
		result = map_batch(fmem, dom, (uintptr_t)map, prot, pages, arr, errors);
	if (result == 0 && !err)
		result = first_error(errors, pages);
	if (result < 0) {
		xenforeignmemory_unmap(fmem, map, pages);
		handle_result(result);
		map = NULL;
	}
out:
	if (!err)
		free(errors);
	return map;
}

void *xenforeignmemory_map(
	xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages, const xen_pfn_t arr[], int err[])
{
	return xenforeignmemory_map2(fmem, dom, NULL, prot, 0, pages, arr, err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
	if (pages == 0 || (uintptr_t)addr % HOST_PAGE_BYTES)
		return handle_result(-EINVAL);
	/* The record first: once unmapped, the addresses may be somebody else's. */
	foreign_map_remove(&fmem->handle.host, (uintptr_t)addr, pages);
	return munmap(addr, pages * HOST_PAGE_BYTES);
}

/* Resources other than memory (grant tables, ioreq servers) are not simulated. */
xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *fmem, domid_t domid,
	unsigned int type, unsigned int id, unsigned long frame, unsigned long nr_frames, void **paddr,
	int prot, int flags)
{
	(void)fmem, (void)domid, (void)type, (void)id, (void)frame, (void)nr_frames;
	(void)paddr, (void)prot, (void)flags;
	errno = EOPNOTSUPP;
	return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem, xenforeignmemory_resource_handle *fres)
{
	(void)fmem, (void)fres;
	errno = EOPNOTSUPP;
	return -1;
}

int xenforeignmemory_resource_size(
	xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id, size_t *size)
{
	(void)fmem, (void)domid, (void)type, (void)id, (void)size;
	errno = EOPNOTSUPP;
	return -1;
}
