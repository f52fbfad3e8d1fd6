/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pins of memory types that clients have set by themselves, and what the hypervisor will say to another
 * one: it has room for so many a domain, lets none overlap another, deletes by exact bounds only, and can be
 * asked nothing. So all pins, these and those of regions, are known here. No I/O.
 */
#ifndef XENVRAM_BROKER_PINS_H
#define XENVRAM_BROKER_PINS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/broker/region_table.h"

enum pin_state {
	PIN_SETTING, /* the hypervisor may have it already, or still have the old type */
	PIN_SET,
	PIN_DELETING, /* the hypervisor may have it still */
	N_PIN_STATES,
};

#define NO_CACHE_ATTR UINT32_MAX

/* What a pin is: all of it goes into the journal. */
struct pin_record {
	uint32_t domid;
	char uuid[UUID_BYTES]; /* empty until its worker is known */
	struct extent gfns;
	uint32_t cache_attr;     /* Xenvram__V1__CacheAttr */
	uint32_t old_cache_attr; /* while it is being set: what it was before; NO_CACHE_ATTR: there was no pin
				  */
	uint32_t state;          /* enum pin_state */
	uint32_t owner_uid;
	struct requester requester; /* of what is being done to it, or was the last time */
};

struct pin {
	LIST_ENTRY(pin) link; /* pins::list */
	struct pin_record record;
	struct domain *domain;
	unsigned int slot; /* of those for pins in the journal */
	uint64_t id;       /* for the worker */
	bool journaled;    /* the slot is written: a worker may have been asked */
	bool at_work;      /* a command about it is with the worker */
	bool unanswered;   /* one was with a worker that died: nobody knows what came of it */
	struct asker asker;
};

struct pins {
	LIST_HEAD(, pin) list; /* by domid, then gfn, ascending */
	uint64_t last_id;
	bool slots[MAX_RAW_PINS]; /* in use */
};

void pins_init(struct pins *pins);
void pins_deinit(struct pins *pins);

/*
 * May this pin be set? 0 with *ret_same: the pin that has these very bounds, whose type it replaces, or NULL.
 * -1 with CONFLICT naming the pin or region in the way, or LIMIT.
 */
int pins_admit(const struct pins *pins, const struct region_table *regions, const struct pin_record *record,
	struct pin **ret_same, struct failure *failure);

/* The pin with exactly these bounds. NULL with NOT_FOUND naming what does overlap them, or CONFLICT. */
struct pin *pins_require(const struct pins *pins, const struct region_table *regions, uint32_t domid,
	struct extent gfns, struct failure *failure);

/* May the region's pages be at vram_gfn? 0, or -1 with CONFLICT: their pin would overlap one of these. */
int pins_admit_region(const struct pins *pins, const struct region_record *record, uint64_t vram_gfn,
	struct failure *failure);

/* May the region have a pin more than there are now, if it insists on its memory type? 0, or -1 with LIMIT. */
int pins_admit_one_more(const struct pins *pins, const struct region_table *regions,
	const struct region_record *record, struct failure *failure);

/* Adds it in `slot`, or in a free one when slot is MAX_RAW_PINS. NULL with errno: ENOMEM, EEXIST, ENOSPC. */
struct pin *pins_add(struct pins *pins, const struct pin_record *record, unsigned int slot);
/* The slot holds what this build cannot read: no pin is put there. */
void pins_reserve(struct pins *pins, unsigned int slot);
struct pin *pins_find(const struct pins *pins, uint64_t id);
void pins_remove(struct pins *pins, struct pin *pin);

unsigned int pins_count(const struct pins *pins, uint32_t domid);

#endif
