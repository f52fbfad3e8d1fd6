/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What clients ask of regions that are there: polls and marks. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/governor.h"
#include "daemon/broker/ranges.h"
#include "daemon/broker/regions.h"
#include "daemon/broker/snapshot.h"

typedef Xenvram__Internal__Command Command;

void regions_send_poll(struct region *region)
{
	Xenvram__Internal__Poll poll = XENVRAM__INTERNAL__POLL__INIT;
	Command command = XENVRAM__INTERNAL__COMMAND__INIT;
	struct extent pages = {0};
	struct poll_waiter *waiter;

	if (!region->attached || region->poll_sent || STAILQ_EMPTY(&region->poll_waiters))
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
	regions_send_poll(region);
	regions_advance(region);
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
	ranges_end(broker, connection, NULL);
}

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

/* ---- marks ---- */

static void succeed(struct broker *broker, const struct asker *asker)
{
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	asker_reply(broker, asker, &reply, NULL, 0);
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
	if (!region->attached) {
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

void regions_marked(struct broker *broker, const struct asker *asker, const struct failure *failure)
{
	if (failure)
		asker_fail(broker, asker, failure);
	else
		succeed(broker, asker);
}

void regions_command_lost(struct broker *broker, const struct asker *asker)
{
	/* A mark: whoever takes over takes all for dirty, so it is done. */
	succeed(broker, asker);
}
