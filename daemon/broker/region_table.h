/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The regions of this host: what they are, and whether another one may join them. No I/O. */
#ifndef XENVRAM_BROKER_REGION_TABLE_H
#define XENVRAM_BROKER_REGION_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/broker/asker.h"
#include "daemon/broker/region_record.h"
#include "daemon/broker/task.h"
#include "daemon/common/extent.h"
#include "proto/region_log.h"

struct domain;
struct subscription;

struct poll_waiter {
	STAILQ_ENTRY(poll_waiter) link; /* region::poll_waiters */
	struct asker asker;
	uint64_t since;
	struct extent pages;
	bool sent; /* the poll under way was asked for after it came */
};

struct region {
	LIST_ENTRY(region) link; /* region_table::regions */
	struct region_record record;
	struct domain *domain;
	unsigned int slot;  /* in the journal */
	struct task task;   /* what is being done to it, if anything */
	struct asker asker; /* of the task; nobody: an earlier broker was asked, */
	struct {
		uint32_t state;
		bool going_back;
	} inherited;             /* and this is what the journal had of it */
	bool at_work;            /* a step of it is with the worker */
	bool attached;           /* the worker follows it: it can be watched and polled */
	bool dry_run;            /* goes as soon as it is checked */
	bool journaled;          /* the slot is written */
	uint64_t for_connection; /* of a tracked range: whose it is */
	bool log_requested;
	int log_fd; /* read-only; -1: not there yet */
	struct region_log log;
	uint32_t period_us;    /* the shortest that a subscription asks for; 0: none */
	struct extent watched; /* what the worker follows for subscriptions: all of theirs, and between */
	uint64_t seen_polls;   /* in the log, when the governor looked last */
	uint64_t seen_poll_ns;
	unsigned int n_subscriptions;
	LIST_HEAD(, subscription) subscriptions;
	STAILQ_HEAD(, poll_waiter) poll_waiters;
	bool poll_sent;
};

/* Of what is never written to the journal. */
#define REGION_NO_SLOT UINT32_MAX

struct region_table {
	LIST_HEAD(, region) regions; /* by cookie, ascending; and tracked ranges */
	unsigned int n_regions;      /* without these */
	bool *slots;                 /* n_slots; in use */
	unsigned int n_slots;
};

/* 0, or -1 with ENOMEM. */
int region_table_init(struct region_table *table, unsigned int n_slots);
void region_table_deinit(struct region_table *table);

/*
 * May this region join the table? 0, or -1 with CONFLICT naming the region in the way.
 * The record's ranges were checked for themselves before (proto/check.h).
 */
int region_table_admit(
	const struct region_table *table, const struct region_record *record, struct failure *failure);
/* May the region's pages go to this vram, of which none is its own yet? 0, or -1 with CONFLICT. */
int region_table_admit_move(const struct region_table *table, const struct region_record *record,
	uint64_t new_vram_gfn, struct failure *failure);

/* Does no region lay claim to any of these gfns? 0, or -1 with CONFLICT and os_error, naming the region that does. */
int region_table_admit_claim(const struct region_table *table, uint32_t domid, const struct claim *claim,
	int os_error, struct failure *failure);

/*
 * Adds it in `slot`, in a free one when slot is n_slots, or in none, REGION_NO_SLOT. NULL with errno: ENOMEM,
 * EEXIST when the cookie or slot is taken, ENOSPC.
 */
struct region *region_table_add(
	struct region_table *table, const struct region_record *record, unsigned int slot);
/* The slot holds what this build cannot read: no region is put there. */
void region_table_reserve(struct region_table *table, unsigned int slot);
struct region *region_table_find(const struct region_table *table, uint64_t cookie);
/* Unlinks and frees it; its subscriptions must be gone. */
void region_table_remove(struct region_table *table, struct region *region);

/* The regions of a domain, their pages, and what is tracked there besides. */
unsigned int region_table_count(const struct region_table *table, uint32_t domid);
unsigned int region_table_count_ranges(const struct region_table *table, uint32_t domid);
uint64_t region_table_pages(const struct region_table *table, uint32_t domid);

#endif
