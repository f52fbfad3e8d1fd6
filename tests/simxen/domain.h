/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain of the simulated host, in shared memory. */
#ifndef XENVRAM_SIMXEN_DOMAIN_H
#define XENVRAM_SIMXEN_DOMAIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/simxen/fault.h"
#include "tests/simxen/p2m.h"
#include "tests/simxen/pin.h"
#include "tests/simxen/relocate.h"
#include "tests/simxen/track.h"

struct host;

#define DOMAIN_NAME_BYTES 64u
#define DOMAIN_UUID_BYTES 37u

enum domain_kind {
	DOMAIN_HVM,
	DOMAIN_PVH,
	DOMAIN_PV,
	N_DOMAIN_KINDS,
};

extern const char *const domain_kind_names[N_DOMAIN_KINDS];

enum domain_state {
	DOMAIN_FREE, /* no domain in this slot */
	DOMAIN_ALIVE,
	DOMAIN_DYING,     /* its memory is freed, now or soon */
	DOMAIN_LINGERING, /* @releaseDomain has fired; gone as soon as nobody has a page of it mapped */
};

struct domain {
	pthread_mutex_t lock;
	uint32_t state; /* enum domain_state */
	bool half_made; /* its creator did not finish: there may be frames left */
	uint32_t kind;  /* enum domain_kind */
	uint16_t domid;
	uint64_t serial; /* never used again on this host */
	char name[DOMAIN_NAME_BYTES];
	char uuid[DOMAIN_UUID_BYTES];
	_Atomic uint64_t calls[N_CALL_KINDS];
	struct tracking tracking;
	struct pins pins;
	struct move move;
	struct p2m p2m;
};

struct domain_spec {
	uint16_t domid;
	enum domain_kind kind;
	uint32_t ram_pages;
	const char *name;
	const char *uuid;
};

/* The domain, locked. 0, or -ESRCH. */
int domain_find(struct host *host, uint32_t domid, struct domain **ret_domain);

/* The same for a device model operation: also -EPERM for the caller's own domain, -EINVAL for PV. */
int domain_find_target(struct host *host, uint32_t domid, struct domain **ret_domain);

/* The domain in a slot, locked; NULL if there is none. */
struct domain *domain_find_slot(struct host *host, uint32_t slot);

void domain_unlock(struct domain *domain);
uint16_t domain_slot(const struct host *host, const struct domain *domain);

/* With its RAM and xenstore nodes. 0, -EEXIST (also while a dead one lingers), or another negative errno. */
int domain_create(struct host *host, const struct domain_spec *spec);

/* The first ESRCH: it is dying, and still has all of its memory. 0, or -ESRCH. */
int domain_begin_death(struct host *host, uint16_t domid);

/* From first ESRCH, if that has not come yet, to @releaseDomain; unheard: which does not come. 0, or -ESRCH. */
int domain_destroy(struct host *host, uint16_t domid, bool unheard);

int domain_write_dom0_nodes(struct host *host);

#endif
