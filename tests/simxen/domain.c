/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/domain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/simxen/host.h"

#define RELEASE_DELAY_US 20000u
#define DOM0             0u

const char *const domain_kind_names[N_DOMAIN_KINDS] = {
	[DOMAIN_HVM] = "hvm",
	[DOMAIN_PVH] = "pvh",
	[DOMAIN_PV] = "pv",
};

uint16_t domain_slot(const struct host *host, const struct domain *domain)
{
	return domain - host->domains;
}

void domain_unlock(struct domain *domain)
{
	host_mutex_unlock(&domain->lock);
}

static void domain_lock(struct host *host, struct domain *domain)
{
	if (host_mutex_lock(&domain->lock))
		relocate_recover(host, domain);
}

/* Lets a dead domain go if nothing holds it any more. */
static void settle(struct host *host, struct domain *domain)
{
	if (domain->state != DOMAIN_LINGERING || foreign_map_any_of(host, domain_slot(host, domain)))
		return;
	uint16_t entry = domain_slot(host, domain) + 1;
	domain->state = DOMAIN_FREE;
	atomic_compare_exchange_strong(&host->file->slot_of_domid[domain->domid], &entry, 0);
}

struct domain *domain_find_slot(struct host *host, uint32_t slot)
{
	struct domain *domain = &host->domains[slot];

	domain_lock(host, domain);
	settle(host, domain);
	if (domain->state != DOMAIN_FREE)
		return domain;
	domain_unlock(domain);
	return NULL;
}

int domain_find(struct host *host, uint32_t domid, struct domain **ret_domain)
{
	uint16_t slot = domid < HOST_MAX_DOMID ? atomic_load(&host->file->slot_of_domid[domid]) : 0;
	if (!slot)
		return -ESRCH;
	struct domain *domain = domain_find_slot(host, slot - 1);
	if (!domain)
		return -ESRCH;
	if (domain->domid != domid) {
		/* Replaced while we waited for the lock. */
		domain_unlock(domain);
		return -ESRCH;
	}
	*ret_domain = domain;
	return 0;
}

int domain_find_target(struct host *host, uint32_t domid, struct domain **ret_domain)
{
	struct domain *domain;

	if (domid == DOM0)
		return -EPERM;
	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	if (domain->kind == DOMAIN_PV) {
		domain_unlock(domain);
		return -EINVAL;
	}
	*ret_domain = domain;
	return 0;
}

static int write_node(struct host *host, const char *directory, const char *name, const char *value)
{
	char path[STORE_PATH_BYTES];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return store_write(host, path, value, strlen(value));
}

static int write_nodes(struct host *host, const struct domain_spec *spec)
{
	char home[32], vm[64], number[8];

	snprintf(home, sizeof(home), "/local/domain/%u", spec->domid);
	snprintf(vm, sizeof(vm), "/vm/%s", spec->uuid);
	snprintf(number, sizeof(number), "%u", spec->domid);
	int result = write_node(host, vm, "uuid", spec->uuid);
	if (result == 0)
		result = write_node(host, vm, "name", spec->name);
	if (result == 0)
		result = write_node(host, home, "vm", vm);
	if (result == 0)
		result = write_node(host, home, "name", spec->name);
	if (result == 0)
		result = write_node(host, home, "domid", number);
	return result;
}

int domain_write_dom0_nodes(struct host *host)
{
	struct domain_spec spec = {
		.domid = DOM0,
		.name = "Domain-0",
		.uuid = "00000000-0000-0000-0000-000000000000",
	};
	return write_nodes(host, &spec);
}

static void remove_nodes(struct host *host, const struct domain *domain)
{
	char path[64];

	snprintf(path, sizeof(path), "/local/domain/%u", domain->domid);
	store_remove(host, path);
	snprintf(path, sizeof(path), "/vm/%s", domain->uuid);
	store_remove(host, path);
}

static int populate(struct host *host, struct domain *domain, uint32_t ram_pages)
{
	uint16_t slot = domain_slot(host, domain);
	uint32_t *frames = calloc(ram_pages, sizeof(*frames));
	if (!frames)
		return -ENOMEM;

	int result = frame_take(host, slot, ram_pages, frames);
	for (uint32_t gfn = 0; gfn < ram_pages && result == 0; gfn++)
		result = p2m_set(&domain->p2m, gfn, frames[gfn]);
	if (result < 0)
		frame_free_all_of(host, slot);
	free(frames);
	return result;
}

static int domain_init(struct host *host, struct domain *domain, const struct domain_spec *spec)
{
	if (domain->half_made)
		frame_free_all_of(host, domain_slot(host, domain));
	domain->half_made = true;
	domain->kind = spec->kind;
	domain->domid = spec->domid;
	domain->serial = ++host->file->last_serial;
	snprintf(domain->name, sizeof(domain->name), "%s", spec->name);
	snprintf(domain->uuid, sizeof(domain->uuid), "%s", spec->uuid);
	for (unsigned int kind = 0; kind < N_CALL_KINDS; kind++)
		atomic_store(&domain->calls[kind], 0);
	domain->tracking.nr_pages = 0;
	domain->move.under_way = 0;
	memset(&domain->pins, 0, sizeof(domain->pins));
	p2m_init(&domain->p2m);
	return populate(host, domain, spec->ram_pages);
}

/* A slot without a domain, locked. NULL: the host is full. */
static struct domain *take_free_slot(struct host *host)
{
	for (uint32_t slot = 0; slot < host->file->settings.max_domains; slot++) {
		struct domain *domain = domain_find_slot(host, slot);
		if (!domain) {
			/* The admin lock is ours: it stays free. */
			domain_lock(host, &host->domains[slot]);
			return &host->domains[slot];
		}
		domain_unlock(domain);
	}
	return NULL;
}

static int create_locked(struct host *host, const struct domain_spec *spec)
{
	struct domain *domain;

	if (spec->domid == DOM0 || spec->domid >= HOST_MAX_DOMID)
		return -EINVAL;
	if (domain_find(host, spec->domid, &domain) == 0) {
		domain_unlock(domain);
		return -EEXIST;
	}
	domain = take_free_slot(host);
	if (!domain)
		return -ENOSPC;
	int result = domain_init(host, domain, spec);
	if (result == 0)
		result = write_nodes(host, spec);
	if (result == 0) {
		domain->state = DOMAIN_ALIVE;
		domain->half_made = false;
		atomic_store(&host->file->slot_of_domid[spec->domid], domain_slot(host, domain) + 1);
	}
	domain_unlock(domain);
	return result;
}

int domain_create(struct host *host, const struct domain_spec *spec)
{
	host_lock_admin(host);
	int result = create_locked(host, spec);
	host_unlock_admin(host);
	if (result == 0)
		store_fire(host, "@introduceDomain");
	return result;
}

/* Locked, unless it is dead already. 0, or -ESRCH. */
static int begin_death_locked(struct host *host, uint16_t domid, struct domain **ret_domain)
{
	struct domain *domain;

	int result = domain_find(host, domid, &domain);
	if (result < 0)
		return result;
	if (domain->state == DOMAIN_LINGERING) {
		domain_unlock(domain);
		return -ESRCH;
	}
	domain->state = DOMAIN_DYING;
	domain->tracking.nr_pages = 0;
	*ret_domain = domain;
	return 0;
}

int domain_begin_death(struct host *host, uint16_t domid)
{
	struct domain *domain;

	host_lock_admin(host);
	int result = begin_death_locked(host, domid, &domain);
	if (result == 0)
		domain_unlock(domain);
	host_unlock_admin(host);
	return result;
}

static int destroy_locked(struct host *host, uint16_t domid)
{
	struct domain *domain;

	int result = begin_death_locked(host, domid, &domain);
	if (result < 0)
		return result;
	/* As libxl does, before all else. */
	remove_nodes(host, domain);
	p2m_init(&domain->p2m);
	frame_free_all_of(host, domain_slot(host, domain));
	domain_unlock(domain);

	usleep(RELEASE_DELAY_US);
	/* Nobody else changes the state of a dying domain: the admin lock is ours. */
	domain = domain_find_slot(host, domain_slot(host, domain));
	domain->state = DOMAIN_LINGERING;
	domain_unlock(domain);
	return 0;
}

int domain_destroy(struct host *host, uint16_t domid, bool unheard)
{
	host_lock_admin(host);
	int result = destroy_locked(host, domid);
	host_unlock_admin(host);
	if (result == 0 && !unheard)
		store_fire(host, "@releaseDomain");
	return result;
}
