/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regions and the worker of their domain: what is sent, and what its answers lead to. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/governor.h"
#include "daemon/broker/regions.h"
#include "daemon/broker/snapshot.h"
#include "daemon/broker/subscription.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

typedef Xenvram__Internal__Command Command;
typedef Xenvram__Internal__Command__WhatCase CommandCase;

static void send_region(struct region *region, CommandCase what)
{
	const struct region_record *record = &region->record;
	Xenvram__Internal__Region packed = XENVRAM__INTERNAL__REGION__INIT;
	Command command = XENVRAM__INTERNAL__COMMAND__INIT;

	packed.cookie = record->cookie;
	packed.vram_gfn = record->vram_gfn;
	packed.backing_gfn = record->backing_gfn;
	packed.nr_pages = record->nr_pages;
	packed.cache_attr = record->cache_attr;
	packed.require_cache_attr = record->require_cache_attr;
	packed.placed = record->placed;
	packed.adopted = record->adopted;
	command.what_case = what;
	command.create = &packed; /* one arm of the union, whichever `what` */
	domain_command(region->domain, region, &command, -1, NULL);
}

static void send_poll(struct region *region)
{
	Xenvram__Internal__Poll poll = XENVRAM__INTERNAL__POLL__INIT;
	Command command = XENVRAM__INTERNAL__COMMAND__INIT;
	struct extent pages = {0};
	struct poll_waiter *waiter;

	if (region->step != REGION_STEP_AT_WORK || region->poll_sent || STAILQ_EMPTY(&region->poll_waiters))
		return;
	region->poll_sent = true;
	STAILQ_FOREACH(waiter, &region->poll_waiters, link)
	{
		waiter->sent = true;
		pages = extent_hull(pages, waiter->pages);
	}
	poll.cookie = region->record.cookie;
	poll.first = pages.first;
	poll.nr_pages = pages.nr_pages;
	command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_POLL;
	command.poll = &poll;
	domain_command(region->domain, region, &command, -1, NULL);
}

/* All that a worker must know of a region that is in place. */
static void attach(struct region *region)
{
	struct subscription *subscription;

	send_region(region, XENVRAM__INTERNAL__COMMAND__WHAT_ATTACH);
	region->step = REGION_STEP_AT_WORK;
	LIST_FOREACH(subscription, &region->subscriptions, of_region)
		subscription_send(subscription);
	send_poll(region);
}

/*
 * A region that had a log before has readers with cursors, and all that they have not seen must lie above
 * them: the time since boot in nanoseconds has gone further than any count of generations.
 */
static uint64_t first_generation(const struct region *region)
{
	struct timespec now;
	if (region->record.state == XENVRAM__V1__REGION_STATE__CREATING)
		return 1;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

void regions_advance(struct region *region)
{
	struct domain *domain = region->domain;

	if (!domain->worker || region->step != REGION_STEP_NONE)
		return;
	if (region->log_fd < 0) {
		if (!region->log_requested)
			supervisor_create_log(domain->broker, &region->record, first_generation(region));
		region->log_requested = true;
		return;
	}
	switch (region->record.state) {
	case XENVRAM__V1__REGION_STATE__CREATING:
		strcpy(region->record.uuid, domain->uuid);
		region->step = REGION_STEP_SENT;
		send_region(region, region->checked ? XENVRAM__INTERNAL__COMMAND__WHAT_CREATE
						    : XENVRAM__INTERNAL__COMMAND__WHAT_CHECK);
		break;
	case XENVRAM__V1__REGION_STATE__DESTROYING:
		region->step = REGION_STEP_SENT;
		send_region(region, XENVRAM__INTERNAL__COMMAND__WHAT_DESTROY);
		break;
	default:
		attach(region);
	}
}

void regions_advance_domain(struct domain *domain)
{
	struct region *region, *next;
	LIST_FOREACH_SAFE(region, &domain->broker->regions.regions, link, next) {
		if (region->domain == domain)
			regions_advance(region);
	}
}

void regions_poll(struct region *region, const struct asker *asker, struct extent pages, uint64_t since)
{
	struct poll_waiter *waiter = malloc(sizeof(*waiter));
	if (!waiter) {
		struct failure failure;
		failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
		asker_fail(region->domain->broker, asker, &failure);
		return;
	}
	*waiter = (struct poll_waiter){.asker = *asker, .since = since, .pages = pages};
	STAILQ_INSERT_TAIL(&region->poll_waiters, waiter, link);
	governor_wake(region->domain->broker);
	domain_want_worker(region->domain);
	send_poll(region);
}

void regions_forget_connection(struct broker *broker, uint64_t connection)
{
	struct region *region;
	LIST_FOREACH(region, &broker->regions.regions, link) {
		struct poll_waiter *waiter = STAILQ_FIRST(&region->poll_waiters), *next;
		for (; waiter; waiter = next) {
			next = STAILQ_NEXT(waiter, link);
			if (waiter->asker.connection != connection)
				continue;
			STAILQ_REMOVE(&region->poll_waiters, waiter, poll_waiter, link);
			free(waiter);
		}
	}
}

static void succeed(struct broker *broker, const struct asker *asker)
{
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	asker_reply(broker, asker, &reply, NULL, 0);
}

/* Only marks have an asker of their own. Whoever takes over takes all for dirty: so it is done. */
void regions_command_lost(struct broker *broker, const struct asker *asker)
{
	succeed(broker, asker);
}

void regions_mark(struct region *region, const struct asker *asker, Xenvram__V1__Run **runs, size_t n_runs)
{
	struct broker *broker = region->domain->broker;
	Xenvram__Internal__Mark mark = XENVRAM__INTERNAL__MARK__INIT;
	Command command = XENVRAM__INTERNAL__COMMAND__INIT;
	struct failure failure;

	for (size_t i = 0; i < n_runs; i++) {
		struct extent pages;
		if (regions_pages(region, runs[i]->first, runs[i]->nr_pages, &pages, &failure) == 0)
			continue;
		asker_fail(broker, asker, &failure);
		return;
	}
	if (region->step != REGION_STEP_AT_WORK) {
		succeed(broker, asker);
		return;
	}
	mark.cookie = region->record.cookie;
	mark.runs = runs;
	mark.n_runs = n_runs;
	command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_MARK;
	command.mark = &mark;
	domain_command(region->domain, region, &command, -1, asker);
}

/* ---- answers ---- */

void regions_answer_polls(struct broker *broker, struct region *region, const struct failure *failure)
{
	region->poll_sent = false;
	while (!STAILQ_EMPTY(&region->poll_waiters)) {
		struct poll_waiter *waiter = STAILQ_FIRST(&region->poll_waiters);
		/* Who came later waits for a poll that is later as well. */
		if (!failure && !waiter->sent)
			break;
		STAILQ_REMOVE_HEAD(&region->poll_waiters, link);
		if (failure)
			asker_fail(broker, &waiter->asker, failure);
		else
			snapshot_answer(broker, region, &waiter->asker, waiter->pages, waiter->since);
		free(waiter);
	}
}

void regions_undo_creation(struct broker *broker, struct region *region, const struct failure *failure)
{
	region->undoing = true;
	region->failure = *failure;
	region->record.state = XENVRAM__V1__REGION_STATE__DESTROYING;
	region->step = REGION_STEP_NONE;
	regions_journal(broker, region);
	regions_advance(region);
}

static void reply_created(
	struct broker *broker, const struct region *region, uint64_t cookie, const char *warning)
{
	Xenvram__V1__CreateRegionReply created = XENVRAM__V1__CREATE_REGION_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	created.cookie = cookie;
	created.pinned = region->record.pinned;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_CREATE_REGION;
	reply.create_region = &created;
	reply.message = (char *)warning;
	asker_reply(broker, &region->asker, &reply, NULL, 0);
}

static void on_checked(struct broker *broker, struct region *region, const struct failure *failure)
{
	struct failure unwritten;

	region->step = REGION_STEP_NONE;
	region->checked = true;
	if (!failure && region->dry_run) {
		reply_created(broker, region, 0, "");
		regions_remove(broker, region, "it was a dry run");
		return;
	}
	if (!failure && regions_journal(broker, region) < 0) {
		failure_set(&unwritten, XENVRAM__V1__STATUS__INTERNAL, errno,
			"the journal cannot be written: %s", strerror(errno));
		failure = &unwritten;
	}
	if (failure) {
		asker_fail(broker, &region->asker, failure);
		regions_remove(broker, region, failure->text);
		return;
	}
	regions_advance(region);
}

static void on_created(struct broker *broker, struct region *region, const Xenvram__Internal__Done *done,
	const struct failure *failure)
{
	struct failure unwritten;

	if (failure && failure->status == XENVRAM__V1__STATUS__NO_DOMAIN) {
		asker_fail(broker, &region->asker, failure);
		regions_remove(broker, region, failure->text);
		return;
	}
	if (failure) {
		regions_undo_creation(broker, region, failure);
		return;
	}
	region->record.state = XENVRAM__V1__REGION_STATE__ACTIVE;
	region->record.placed = true;
	region->record.pinned = done->pinned;
	region->step = REGION_STEP_AT_WORK;
	if (regions_journal(broker, region) < 0) {
		/* The next broker would undo it: rather now, while somebody is told. */
		failure_set(&unwritten, XENVRAM__V1__STATUS__INTERNAL, errno,
			"the journal cannot be written: %s", strerror(errno));
		regions_undo_creation(broker, region, &unwritten);
		return;
	}
	log_info("domain %u: region 0x%" PRIx64 ": gfn 0x%" PRIx64 " + %" PRIu64 " pages from 0x%" PRIx64
		 ", uid %u%s%s",
		region->record.domid, region->record.cookie, region->record.vram_gfn, region->record.nr_pages,
		region->record.backing_gfn, region->record.owner_uid, *done->warning ? "; " : "",
		done->warning);

	reply_created(broker, region, region->record.cookie, done->warning);
	region->asker = (struct asker){0};
}

static void on_destroyed(struct broker *broker, struct region *region, const Xenvram__Internal__Done *done,
	const struct failure *failure)
{
	if (failure && failure->status != XENVRAM__V1__STATUS__NO_DOMAIN) {
		log_error("region 0x%" PRIx64 " is stuck: %s", region->record.cookie, failure->text);
		asker_fail(broker, &region->asker, failure);
		region->asker = (struct asker){0};
		/* Told; who destroys it again did not ask for a creation. */
		region->undoing = false;
		region->record.state = XENVRAM__V1__REGION_STATE__REGION_STUCK;
		region->step = REGION_STEP_NONE;
		regions_journal(broker, region);
		regions_advance(region);
		return;
	}
	if (failure || region->undoing) {
		asker_fail(broker, &region->asker, failure ? failure : &region->failure);
	} else {
		Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
		reply.message = done->warning;
		asker_reply(broker, &region->asker, &reply, NULL, 0);
	}
	log_info("domain %u: region 0x%" PRIx64 " is destroyed%s%s", region->record.domid,
		region->record.cookie, *done->warning ? "; " : "", done->warning);
	regions_remove(broker, region, "it was destroyed");
}

void regions_done(struct broker *broker, struct region *region, CommandCase what, const struct asker *asker,
	const Xenvram__Internal__Done *done)
{
	struct failure received, *failure = NULL;

	if (done->failure) {
		failure_set(&received, done->failure->status, done->failure->os_error, "%s",
			done->failure->message);
		failure = &received;
	}
	switch (what) {
	case XENVRAM__INTERNAL__COMMAND__WHAT_CHECK:
		on_checked(broker, region, failure);
		break;
	case XENVRAM__INTERNAL__COMMAND__WHAT_CREATE:
		on_created(broker, region, done, failure);
		break;
	case XENVRAM__INTERNAL__COMMAND__WHAT_DESTROY:
		on_destroyed(broker, region, done, failure);
		break;
	case XENVRAM__INTERNAL__COMMAND__WHAT_POLL:
		regions_answer_polls(broker, region, failure);
		send_poll(region);
		break;
	case XENVRAM__INTERNAL__COMMAND__WHAT_MARK:
		if (failure)
			asker_fail(broker, asker, failure);
		else
			succeed(broker, asker);
		break;
	default:
		if (failure)
			log_error("region 0x%" PRIx64 ": %s", region->record.cookie, failure->text);
	}
}

void regions_worker_lost(struct domain *domain)
{
	struct broker *broker = domain->broker;
	struct region *region, *next;
	struct failure lost;

	failure_set(&lost, XENVRAM__V1__STATUS__RETRY, EAGAIN,
		"the worker of domain %u died during the request, which was undone; ask again",
		domain->domid);
	LIST_FOREACH_SAFE(region, &broker->regions.regions, link, next) {
		if (region->domain != domain)
			continue;
		bool placing = region->record.state == XENVRAM__V1__REGION_STATE__CREATING &&
			       region->checked && region->step == REGION_STEP_SENT;
		region->step = REGION_STEP_NONE;
		region->poll_sent = false;
		/* Anything else is simply sent again. */
		if (placing)
			regions_undo_creation(broker, region, &lost);
	}
}
