/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of regions: what clients ask for, and what happens to domains. */
#ifndef XENVRAM_BROKER_REGIONS_H
#define XENVRAM_BROKER_REGIONS_H

#include "daemon/broker/broker.h"

/* ---- requests: each answers its asker, now or later (regions.c) ---- */

void regions_create(struct broker *broker, const struct asker *asker, uint32_t owner_uid,
	const Xenvram__V1__CreateRegion *request);
void regions_destroy(
	struct broker *broker, const struct asker *asker, const Xenvram__V1__DestroyRegion *request);
void regions_move(struct broker *broker, const struct asker *asker, const Xenvram__V1__MoveRegion *request);
/* One that no region has. */
uint64_t regions_new_cookie(const struct region_table *table);
/* The region with this cookie; if there is none the asker is told so, and NULL. */
struct region *regions_require(struct broker *broker, const struct asker *asker, uint64_t cookie);
/*
 * The pages that a request names, where no number means all from `first` on. 0, or -1 with the failure: they
 * are not all the region's.
 */
int regions_pages(const struct region *region, uint64_t first, uint64_t nr_pages, struct extent *ret_pages,
	struct failure *failure);

/* ---- what the supervisor tells (regions.c) ---- */

/* Takes fd over. */
void regions_log_arrived(struct broker *broker, uint64_t cookie, int fd);
void regions_log_failed(struct broker *broker, uint64_t cookie, const Xenvram__Internal__Failure *failure);
/* Takes fd over. */
void regions_worker_arrived(struct broker *broker, uint32_t domid, const char *uuid, int fd);
void regions_open_failed(struct broker *broker, uint32_t domid, const Xenvram__Internal__Failure *failure);
void regions_domain_gone(struct broker *broker, uint32_t domid, const char *uuid);

/* A region as the journal has it. */
void regions_inherit(struct broker *broker, const struct region_record *record, unsigned int slot);

/*
 * The region ends: subscribers hear the reason, its log is dropped, and its domain let go if it was the
 * last. Its asker was answered before.
 */
void regions_remove(struct broker *broker, struct region *region, const char *reason);

/* Writes the region's slot, or erases it if the region is gone. 0, or -1 with errno and a line in the log. */
int regions_journal(struct broker *broker, struct region *region);

/* ---- with the worker (region_work.c) ---- */

/* Sends the worker whatever is next for the region, if it and the region's log are there. */
void regions_advance(struct region *region);
void regions_advance_domain(struct domain *domain);
/*
 * Does what its task says is next. At its end the asker is told, and the region goes or is followed: in the audit
 * trail it is first, then in the journal, and then the asker hears of it.
 */
void regions_go_on(struct region *region);
/* The worker has answered a command. */
void regions_done(struct broker *broker, struct region *region, Xenvram__Internal__Command__WhatCase what,
	const struct asker *asker, const Xenvram__Internal__Done *done);
/* Nobody will answer a command of this asker: its worker, or its region, is gone (region_polls.c). */
void regions_command_lost(struct broker *broker, const struct asker *asker);
void regions_worker_lost(struct domain *domain);

/* ---- what clients ask of regions that are there (region_polls.c) ---- */

/* Answers the asker with a snapshot of these pages after a poll of the hypervisor. */
void regions_poll(struct region *region, const struct asker *asker, struct extent pages, uint64_t since);
/* Asks the worker for what is waited for, if it follows the region. */
void regions_send_poll(struct region *region);
/* Nobody waits for polls on this connection any more. */
void regions_forget_connection(struct broker *broker, uint64_t connection);
/* Answers all who wait for a poll: with snapshots, or with the failure if there is one. */
void regions_answer_polls(struct broker *broker, struct region *region, const struct failure *failure);
/*
 * Has the worker publish pages as dirty, none meaning all, and then answers the asker. A worker that is not
 * there yet begins with all dirty anyway.
 */
void regions_mark(struct region *region, const struct asker *asker, Xenvram__V1__Run **runs, size_t n_runs);
void regions_marked(struct broker *broker, const struct asker *asker, const struct failure *failure);

#endif
