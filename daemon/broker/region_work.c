/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regions and the worker of their domain: the steps of tasks are sent, and what their answers lead to. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/regions.h"
#include "daemon/broker/step_message.h"
#include "daemon/broker/subscription.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

/* All that a worker must know of a region that is in place. */
static void attach(struct region *region)
{
	struct step_message message;
	struct subscription *subscription;

	step_message_attach(&message, &region->record);
	domain_command(region->domain, region, &message.command, -1, NULL);
	region->attached = true;
	LIST_FOREACH(subscription, &region->subscriptions, of_region)
		subscription_send(subscription);
	regions_send_poll(region);
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

/* ---- the end of a task ---- */

/* What its asker is told; it refers to itself, and to the region. */
struct outcome {
	Xenvram__V1__Reply reply;
	Xenvram__V1__CreateRegionReply created;
};

static void outcome_init(struct outcome *outcome, const struct region *region)
{
	const struct task *task = &region->task;

	outcome->reply = asker_outcome(task->failed ? &task->failure : NULL);
	if (task->failed)
		return;
	outcome->reply.message = (char *)task->warning.text;
	if (!task->creation)
		return;
	xenvram__v1__create_region_reply__init(&outcome->created);
	outcome->created.cookie = region->dry_run ? 0 : region->record.cookie;
	outcome->created.pinned = region_record_is_pinned(&region->record);
	outcome->reply.result_case = XENVRAM__V1__REPLY__RESULT_CREATE_REGION;
	outcome->reply.create_region = &outcome->created;
}

/* What puts a region into this state. */
static const ProtobufCMessageDescriptor *request_of(uint32_t state)
{
	switch (state) {
	case XENVRAM__V1__REGION_STATE__CREATING:
		return &xenvram__v1__create_region__descriptor;
	case XENVRAM__V1__REGION_STATE__MOVING:
		return &xenvram__v1__move_region__descriptor;
	default: /* destroying, all or a part of it */
		return &xenvram__v1__destroy_region__descriptor;
	}
}

/* What was inherited, when it has ended well? */
static bool is_undone(const struct region *region)
{
	return region->inherited.state == XENVRAM__V1__REGION_STATE__CREATING || region->inherited.going_back;
}

/* Who asked is told, and in the audit trail with what it asked. */
static void note_finished(const struct region *region)
{
	const struct region_record *record = &region->record;
	const struct task *task = &region->task;
	const struct audit_subject subject = {
		.requester = record->requester,
		.asked = request_of(region->inherited.state),
		.domid = record->domid,
		.cookie = record->cookie,
	};
	struct failure undone;
	const struct failure *failure = task->failed ? &task->failure : NULL;

	if (!failure && is_undone(region)) {
		failure_set(&undone, XENVRAM__V1__STATUS__RETRY, EAGAIN,
			"the service was restarted meanwhile, and it was undone");
		failure = &undone;
	}
	if (record->state == XENVRAM__V1__REGION_STATE__GONE)
		audit_finished(&subject, failure, "no page is left of it");
	else
		audit_finished(&subject, failure,
			"%" PRIu64 " of %" PRIu64 " pages, at gfn 0x%" PRIx64 " from 0x%" PRIx64 "%s%s",
			extents_n_pages(&record->live), record->nr_pages, record->vram_gfn,
			record->backing_gfn, *task->warning.text ? "; " : "", task->warning.text);
}

static void record_end(struct broker *broker, const struct region *region, const struct outcome *outcome)
{
	if (region->asker.connection == 0)
		note_finished(region);
	else
		audit_record(broker, &region->asker, &outcome->reply);
}

static void end_task(struct broker *broker, struct region *region, struct outcome *outcome)
{
	region->task.stage = TASK_IDLE;
	asker_reply(broker, &region->asker, &outcome->reply, NULL, 0);
	region->asker = (struct asker){0};
	if (region->record.state == XENVRAM__V1__REGION_STATE__GONE)
		regions_remove(
			broker, region, region->task.failed ? region->task.failure.text : "it was destroyed");
	else
		regions_advance(region);
}

/* ---- steps ---- */

/* The record as it was sent to the journal is what a later broker goes on from. 0, or -1: think again. */
static int journal_step(struct broker *broker, struct region *region)
{
	if (regions_journal(broker, region) == 0)
		return 0;
	enum task_stage stage = region->task.stage;
	uint32_t state = region->record.state;
	bool going_back = region->record.going_back;
	task_unwritten(&region->task, &region->record, errno);
	if (region->task.stage == stage && region->record.state == state &&
		region->record.going_back == going_back)
		return 0;
	/* As if that had not been; the worker may not follow it any more. */
	region->attached = false;
	return -1;
}

static void send_step(struct region *region, const struct task_step *step)
{
	struct step_message message;

	step_message_fill(&message, &region->record, step);
	region->at_work = true;
	domain_command(region->domain, region, &message.command, -1, NULL);
}

void regions_go_on(struct region *region)
{
	struct broker *broker = region->domain->broker;
	struct task_step step;
	struct outcome outcome;

	do {
		task_next(&region->task, &region->record, &step);
		if (step.stage == TASK_END) {
			outcome_init(&outcome, region);
			record_end(broker, region, &outcome);
		}
	} while (step.journal && journal_step(broker, region) < 0);
	if (step.stage == TASK_END)
		end_task(broker, region, &outcome);
	else
		send_step(region, &step);
}

void regions_advance(struct region *region)
{
	struct domain *domain = region->domain;

	if (!domain->worker || region->at_work)
		return;
	if (region->log_fd < 0) {
		if (!region->log_requested)
			supervisor_create_log(domain->broker, &region->record, first_generation(region));
		region->log_requested = true;
		return;
	}
	if ((region->task.stage == TASK_CHECK && region->task.creation) || region->record.tracked_only)
		strcpy(region->record.uuid, domain->uuid);
	if (region->task.stage != TASK_IDLE)
		regions_go_on(region);
	else if (!region->attached)
		attach(region);
}

void regions_advance_domain(struct domain *domain)
{
	struct region *region, *next;
	LIST_FOREACH_SAFE(region, &domain->broker->regions.regions, link, next) {
		if (region->domain == domain)
			regions_advance(region);
	}
}

/* ---- answers ---- */

static void on_step_done(struct broker *broker, struct region *region,
	Xenvram__Internal__Command__WhatCase what, const Xenvram__Internal__Done *done,
	const struct failure *failure)
{
	struct task_answer answer = {.failure = failure, .warning = done->warning, .pinned = done->pinned};

	if (done->shifted) {
		answer.n_stuck = done->shifted->n_stuck;
		answer.n_missing = done->shifted->n_missing;
		answer.first_stuck_gfn = done->shifted->first_stuck_gfn;
		answer.contested = done->shifted->contested;
		answer.os_error = done->shifted->os_error;
	}
	region->at_work = false;
	/* Whether it is followed as it should be is not known then: it is attached anew at the end. */
	if (failure && what == XENVRAM__INTERNAL__COMMAND__WHAT_ARRANGE)
		region->attached = false;
	if (region->dry_run && !failure) {
		struct outcome outcome;
		outcome_init(&outcome, region);
		asker_reply(broker, &region->asker, &outcome.reply, NULL, 0);
		regions_remove(broker, region, "it was a dry run");
		return;
	}
	task_answered(&region->task, &region->record, &answer);
	regions_go_on(region);
}

void regions_done(struct broker *broker, struct region *region, Xenvram__Internal__Command__WhatCase what,
	const struct asker *asker, const Xenvram__Internal__Done *done)
{
	struct failure received, *failure = NULL;

	if (done->failure) {
		failure_set(&received, done->failure->status, done->failure->os_error, "%s",
			done->failure->message);
		failure = &received;
	}
	switch (what) {
	case XENVRAM__INTERNAL__COMMAND__WHAT_CHECK:
	case XENVRAM__INTERNAL__COMMAND__WHAT_ARRANGE:
	case XENVRAM__INTERNAL__COMMAND__WHAT_SHIFT:
		on_step_done(broker, region, what, done, failure);
		break;
	case XENVRAM__INTERNAL__COMMAND__WHAT_POLL:
		regions_answer_polls(broker, region, failure);
		regions_send_poll(region);
		break;
	case XENVRAM__INTERNAL__COMMAND__WHAT_MARK:
		regions_marked(broker, asker, failure);
		break;
	default:
		if (failure)
			log_error("region 0x%" PRIx64 ": %s", region->record.cookie, failure->text);
	}
}

void regions_worker_lost(struct domain *domain)
{
	struct region *region;
	struct failure lost;

	failure_set(&lost, XENVRAM__V1__STATUS__RETRY, EAGAIN,
		"the worker of domain %u died during the request, which was undone; ask again",
		domain->domid);
	LIST_FOREACH(region, &domain->broker->regions.regions, link) {
		if (region->domain != domain)
			continue;
		region->at_work = region->attached = region->poll_sent = false;
		/* It goes on with the next worker. */
		task_resume(&region->task, &region->record, &lost);
	}
}
