/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/view/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/host.h"

struct host *view_open(void)
{
	struct host *host = malloc(sizeof(*host));
	if (!host)
		return NULL;
	int result = host_open(host);
	if (result < 0) {
		free(host);
		errno = -result;
		return NULL;
	}
	return host;
}

void view_close(struct host *host)
{
	host_close(host);
	free(host);
}

int view_create_domain(struct host *host, uint16_t domid, bool pv, uint32_t ram_pages, const char *uuid)
{
	char name[DOMAIN_NAME_BYTES];
	struct domain_spec spec = {
		.domid = domid,
		.kind = pv ? DOMAIN_PV : DOMAIN_PVH,
		.ram_pages = ram_pages,
		.name = name,
		.uuid = uuid,
	};

	if (strlen(uuid) != DOMAIN_UUID_BYTES - 1)
		return -EINVAL;
	snprintf(name, sizeof(name), "sim%u", domid);
	return domain_create(host, &spec);
}

int view_begin_death(struct host *host, uint16_t domid)
{
	return domain_begin_death(host, domid);
}

int view_destroy_domain(struct host *host, uint16_t domid)
{
	return domain_destroy(host, domid, false);
}

int view_pages(
	struct host *host, uint32_t domid, uint32_t max_pages, uint64_t *ret_gfns, uint32_t *ret_frames)
{
	struct domain *domain;
	uint32_t n = 0;

	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	for (uint64_t gfn = 0; p2m_next(&domain->p2m, gfn, &gfn); gfn++, n++) {
		if (n >= max_pages)
			continue;
		ret_gfns[n] = gfn;
		ret_frames[n] = p2m_get(&domain->p2m, gfn);
	}
	domain_unlock(domain);
	return n;
}

int view_pins(struct host *host, uint32_t domid, uint64_t *ret_pins)
{
	struct domain *domain;
	int n = 0;

	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	for (unsigned int i = 0; i < PIN_MAX_RANGES; i++) {
		const struct pin *pin = &domain->pins.ranges[i];
		if (!pin->used)
			continue;
		ret_pins[3 * n] = pin->first_gfn;
		ret_pins[3 * n + 1] = pin->last_gfn;
		ret_pins[3 * n + 2] = pin->type;
		n++;
	}
	domain_unlock(domain);
	return n;
}

int view_tracked(struct host *host, uint32_t domid, uint64_t *ret_first_gfn, uint32_t *ret_nr_pages)
{
	struct domain *domain;

	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	*ret_first_gfn = domain->tracking.first_gfn;
	*ret_nr_pages = domain->tracking.nr_pages;
	domain_unlock(domain);
	return 0;
}

int64_t view_calls(struct host *host, uint32_t domid, uint32_t kind)
{
	struct domain *domain;

	if (kind >= N_CALL_KINDS)
		return -EINVAL;
	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	int64_t calls = atomic_load(&domain->calls[kind]);
	domain_unlock(domain);
	return calls;
}

int view_fault(struct host *host, uint32_t kind, uint16_t domid, uint32_t nth, bool lasting, int error,
	uint32_t pages, bool of_page)
{
	struct fault fault = {
		.action = of_page ? FAULT_PAGE : FAULT_FAIL,
		.kind = kind,
		.domid = domid,
		.countdown = nth,
		.lasting = lasting,
		.error = error,
		.pages = pages,
	};
	return kind < N_CALL_KINDS && nth > 0 ? fault_arm(host, &fault) : -EINVAL;
}

int view_fault_struck(struct host *host, uint32_t number)
{
	return fault_has_struck(host, number);
}

void view_clear_faults(struct host *host)
{
	fault_clear_all(host);
}

int view_write(struct host *host, uint32_t domid, uint64_t gfn)
{
	struct domain *domain;

	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	if (p2m_get(&domain->p2m, gfn))
		track_mark(&domain->tracking, gfn);
	else
		result = -EFAULT;
	domain_unlock(domain);
	return result;
}

/* Frames are taken under the admin lock. */
int view_populate(struct host *host, uint32_t domid, uint64_t gfn)
{
	struct domain *domain;
	uint32_t frame;

	host_lock_admin(host);
	int result = domain_find(host, domid, &domain);
	if (result == 0) {
		result = p2m_get(&domain->p2m, gfn) ? -EEXIST : p2m_reserve(&domain->p2m, gfn);
		if (result == 0)
			result = frame_take(host, domain_slot(host, domain), 1, &frame);
		if (result == 0)
			result = p2m_set(&domain->p2m, gfn, frame);
		domain_unlock(domain);
	}
	host_unlock_admin(host);
	return result;
}

int view_depopulate(struct host *host, uint32_t domid, uint64_t gfn)
{
	struct domain *domain;

	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	uint32_t frame = p2m_get(&domain->p2m, gfn);
	if (frame) {
		p2m_clear(&domain->p2m, gfn);
		track_unmark(&domain->tracking, gfn);
		frame_free(host, frame);
	} else {
		result = -EFAULT;
	}
	domain_unlock(domain);
	return result;
}

int view_pin(struct host *host, uint32_t domid, uint64_t first_gfn, uint64_t last_gfn, uint32_t type)
{
	struct domain *domain;

	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	result = pin_set(&domain->pins, first_gfn, last_gfn, type);
	domain_unlock(domain);
	return result;
}
