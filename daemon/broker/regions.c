/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/regions.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/broker/audit.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/gate.h"
#include "daemon/broker/governor.h"
#include "daemon/broker/maps.h"
#include "daemon/broker/policy.h"
#include "daemon/broker/raw_moves.h"
#include "daemon/broker/raw_pins.h"
#include "daemon/broker/region_journal.h"
#include "daemon/broker/subscription.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

/* Random, so that a cookie of yesterday or of another host names nothing. */
uint64_t regions_new_cookie(const struct region_table *table)
{
	uint64_t cookie = 0;
	while (cookie == 0 || region_table_find(table, cookie)) {
		if (getrandom(&cookie, sizeof(cookie), 0) != sizeof(cookie))
			cookie = 0;
	}
	return cookie;
}

int regions_journal(struct broker *broker, struct region *region)
{
	bool gone = region->record.state == XENVRAM__V1__REGION_STATE__GONE;

	if (gone && !region->journaled)
		return 0;
	if ((gone ? journal_erase(&region_journal, broker->journal_fd, region->slot)
		  : region_journal_write(broker->journal_fd, region->slot, &region->record)) < 0) {
		log_error("region 0x%" PRIx64 " cannot be %s the journal: %s", region->record.cookie,
			gone ? "erased from" : "written to", strerror(errno));
		return -1;
	}
	region->journaled = !gone;
	return 0;
}

void regions_remove(struct broker *broker, struct region *region, const char *reason)
{
	struct domain *domain = region->domain;
	struct failure gone;

	failure_set(&gone, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT, "region 0x%" PRIx64 ": %s",
		region->record.cookie, reason);
	regions_answer_polls(broker, region, &gone);
	subscriptions_end(broker, region, reason);
	region->record.state = XENVRAM__V1__REGION_STATE__GONE;
	/* If it stays there: with the domain's UUID, which nobody has any more. */
	regions_journal(broker, region);
	governor_part_log(region);
	if (region->log_requested || region->log_fd >= 0)
		supervisor_drop_log(broker, region->record.cookie);
	region_table_remove(&broker->regions, region);
	if (domain)
		domain_release(domain);
}

static void fail_and_remove(struct broker *broker, struct region *region, const struct failure *failure)
{
	if (region->task.stage != TASK_IDLE) {
		task_abandon(&region->task, &region->record, failure);
		regions_go_on(region);
		return;
	}
	/* To who asks about a cookie there is no such region any more; a tracked range has none. */
	if (region->record.tracked_only)
		regions_answer_polls(broker, region, failure);
	regions_remove(broker, region, failure->text);
}

/* ---- requests ---- */

void regions_create(struct broker *broker, const struct asker *asker, uint32_t owner_uid,
	const Xenvram__V1__CreateRegion *request)
{
	struct failure failure;
	struct region_record record = {
		.cookie = regions_new_cookie(&broker->regions),
		.domid = request->domid,
		.vram_gfn = request->vram_gfn,
		.backing_gfn = request->backing_gfn,
		.nr_pages = request->nr_pages,
		.cache_attr = request->cache_attr,
		.require_cache_attr = request->require_cache_attr,
		.adopted = request->adopt,
		.owner_uid = owner_uid,
		.requester = asker->requester,
	};
	struct task task;

	/* Of a connection that is bound: the region is for that domain, and no later one with its domid. */
	strcpy(record.uuid, connection_binding(connection_find(broker, asker->connection))->uuid);
	task_begin_creation(&task, &record);
	if (request->dry_run)
		audit_set_unchanging(broker);
	if (region_table_admit(&broker->regions, &record, &failure) < 0 ||
		pins_admit_region(&broker->pins, &record, record.vram_gfn, &failure) < 0 ||
		pins_admit_one_more(&broker->pins, &broker->regions, &record, &failure) < 0 ||
		raw_moves_admit_region(broker, &record, record.vram_gfn, &failure) < 0) {
		asker_fail(broker, asker, &failure);
		return;
	}
	struct region *region = region_table_add(&broker->regions, &record, broker->regions.n_slots);
	struct domain *domain = region ? domain_get(broker, record.domid, record.uuid) : NULL;
	if (!domain) {
		if (!region && errno == ENOSPC)
			policy_refuse_slots(POLICY_SLOTS(MAX_REGIONS), record.domid, &failure);
		else
			failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
		asker_fail(broker, asker, &failure);
		if (region)
			region_table_remove(&broker->regions, region);
		return;
	}
	region->domain = domain;
	region->task = task;
	region->asker = *asker;
	region->dry_run = request->dry_run;
	domain_want_worker(domain);
	regions_advance(region);
}

struct region *regions_require(struct broker *broker, const struct asker *asker, uint64_t cookie)
{
	struct region *region = region_table_find(&broker->regions, cookie);
	const struct connection *connection = connection_find(broker, asker->connection);
	const struct binding *binding = connection ? connection_binding(connection) : NULL;
	if (!binding || (region && region->record.tracked_only))
		region = NULL;
	/* Another domain's is answered for like one that does not exist. */
	if (region && !binding_covers(binding, region->record.domid, region->record.uuid)) {
		audit_set_rule(broker, "it is of %sdomain %u",
			binding->domid == region->record.domid ? "another " : "", region->record.domid);
		region = NULL;
	}
	if (!region) {
		struct failure failure;
		failure_set(&failure, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT,
			"there is no region 0x%" PRIx64 " (any more)", cookie);
		asker_fail(broker, asker, &failure);
		return NULL;
	}
	audit_set_region(broker, region->record.domid, cookie);
	return region;
}

int regions_pages(const struct region *region, uint64_t first, uint64_t nr_pages, struct extent *ret_pages,
	struct failure *failure)
{
	uint64_t all = region->record.nr_pages;
	if (first >= all || nr_pages > all - first)
		return failure_set(failure, XENVRAM__V1__STATUS__INVALID, ERANGE,
			"page %" PRIu64 " + %" PRIu64 " pages goes beyond the %" PRIu64
			" pages of region 0x%" PRIx64,
			first, nr_pages, all, region->record.cookie);
	*ret_pages = (struct extent){first, nr_pages > 0 ? nr_pages : all - first};
	return 0;
}

static void begin(struct region *region, const struct asker *asker)
{
	region->asker = *asker;
	region->record.requester = asker->requester;
	domain_want_worker(region->domain);
	regions_advance(region);
}

void regions_destroy(
	struct broker *broker, const struct asker *asker, const Xenvram__V1__DestroyRegion *request)
{
	struct extent going = {request->first_page, request->nr_pages};
	struct region *region = regions_require(broker, asker, request->cookie);
	struct failure failure;

	if (!region)
		return;
	if (task_admit_destruction(&region->record, going, &failure) < 0 ||
		(task_splits(&region->record, going) && pins_admit_one_more(&broker->pins, &broker->regions,
								&region->record, &failure) < 0)) {
		asker_fail(broker, asker, &failure);
		return;
	}
	task_begin_destruction(&region->task, &region->record, going);
	begin(region, asker);
}

void regions_move(struct broker *broker, const struct asker *asker, const Xenvram__V1__MoveRegion *request)
{
	struct region *region = regions_require(broker, asker, request->cookie);
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	struct failure failure;

	if (!region)
		return;
	bool is_there = region->record.state == XENVRAM__V1__REGION_STATE__ACTIVE &&
			region->record.vram_gfn == request->vram_gfn;
	if (is_there) {
		audit_set_unchanging(broker);
		asker_reply(broker, asker, &reply, NULL, 0);
		return;
	}
	/* Where a region is stuck on its way it has its claims already. */
	if (gate_check_known(
		    broker, connection_find(broker, asker->connection), region->record.domid, &failure) < 0 ||
		task_admit_move(&region->record, request->vram_gfn, &failure) < 0 ||
		policy_admit_gfns(&broker->settings, &broker->settings.vram, "vram", region->record.domid,
			request->vram_gfn, region->record.nr_pages, &failure) < 0 ||
		(region->record.state == XENVRAM__V1__REGION_STATE__ACTIVE &&
			region_table_admit_move(
				&broker->regions, &region->record, request->vram_gfn, &failure) < 0) ||
		pins_admit_region(&broker->pins, &region->record, request->vram_gfn, &failure) < 0 ||
		raw_moves_admit_region(broker, &region->record, request->vram_gfn, &failure) < 0) {
		asker_fail(broker, asker, &failure);
		return;
	}
	task_begin_move(&region->task, &region->record, request->vram_gfn);
	begin(region, asker);
}

/* ---- what the supervisor tells ---- */

/* What it takes to serve the region cannot be had: whoever waits is told. */
static void give_up(struct broker *broker, struct region *region, const struct failure *failure)
{
	regions_answer_polls(broker, region, failure);
	if (region->task.stage == TASK_IDLE) {
		log_error("region 0x%" PRIx64 " cannot be served: %s", region->record.cookie, failure->text);
		return;
	}
	task_give_up(&region->task, &region->record, failure);
	regions_go_on(region);
}

/* 0, or -1 with errno; EMFILE: the descriptor had no room here. */
static int map_log(struct region *region, int fd)
{
	region_log_unmap(&region->log);
	if (fd < 0) {
		errno = EMFILE;
		return -1;
	}
	if (region_log_map(&region->log, fd) < 0)
		return -1;
	if (region->log.nr_pages == region->record.nr_pages)
		return 0;
	errno = EBADMSG;
	return -1;
}

void regions_log_arrived(struct broker *broker, uint64_t cookie, int fd)
{
	_cleanup_close_ int log_fd = fd;
	struct region *region = region_table_find(&broker->regions, cookie);
	Xenvram__Internal__Failure unusable = XENVRAM__INTERNAL__FAILURE__INIT;

	unusable.status = XENVRAM__V1__STATUS__INTERNAL;
	if (!region) {
		/* Made for a request of an earlier broker, or destroyed meanwhile. */
		supervisor_drop_log(broker, cookie);
		return;
	}
	if (map_log(region, log_fd) < 0) {
		unusable.os_error = errno;
		unusable.message = strerror(errno);
		regions_log_failed(broker, cookie, &unusable);
		return;
	}
	region->log_fd = fd_steal(&log_fd);
	governor_meet_log(region);
	regions_advance(region);
}

static void set_from(struct failure *failure, const Xenvram__Internal__Failure *packed)
{
	failure_set(failure, packed->status, packed->os_error, "%s", packed->message);
}

void regions_log_failed(struct broker *broker, uint64_t cookie, const Xenvram__Internal__Failure *packed)
{
	struct region *region = region_table_find(&broker->regions, cookie);
	struct failure failure;

	if (!region)
		return;
	region->log_requested = false;
	failure_set(&failure, packed->status, packed->os_error,
		"no log for %" PRIu64 " pages can be made: %s", region->record.nr_pages, packed->message);
	if (region->record.state == XENVRAM__V1__REGION_STATE__CREATING || region->record.tracked_only)
		fail_and_remove(broker, region, &failure);
	else
		give_up(broker, region, &failure); /* until somebody asks for something again */
}

/* Regions of a domain that is no more, whose domid another one has now. */
static void remove_strangers(struct broker *broker, const struct domain *domain, const char *uuid)
{
	uint32_t domid = domain->domid; /* it goes with the last of what it has */
	struct region *region, *next;
	struct failure failure;

	failure_set(&failure, XENVRAM__V1__STATUS__NO_DOMAIN, ESRCH,
		"domain %u is another one now (%s); that which was meant is gone", domid, uuid);
	LIST_FOREACH_SAFE(region, &broker->regions.regions, link, next) {
		if (region->domain == domain && *region->record.uuid &&
			strcmp(region->record.uuid, uuid) != 0)
			fail_and_remove(broker, region, &failure);
	}
	raw_pins_domain_gone(broker, domid, uuid, true, &failure);
	raw_moves_domain_gone(broker, domid, uuid, true, &failure);
	maps_domain_gone(broker, domid, uuid, true, &failure);
}

void regions_worker_arrived(struct broker *broker, uint32_t domid, const char *uuid, int fd)
{
	struct domain *domain = domain_find(broker, domid);
	if (domain)
		remove_strangers(broker, domain, uuid);
	domain = domain_find(broker, domid);
	if (domain) {
		domain_meet_worker(domain, uuid, fd);
	} else {
		fd_close(fd);
		supervisor_close_worker(broker, domid);
	}
}

void regions_open_failed(struct broker *broker, uint32_t domid, const Xenvram__Internal__Failure *packed)
{
	struct region *region, *next;
	struct failure failure;

	set_from(&failure, packed);
	LIST_FOREACH_SAFE(region, &broker->regions.regions, link, next) {
		if (region->record.domid != domid)
			continue;
		/* A range that never was tracked keeps nothing that could be lost. */
		if (failure.status == XENVRAM__V1__STATUS__NO_DOMAIN || region->record.tracked_only) {
			fail_and_remove(broker, region, &failure);
			continue;
		}
		give_up(broker, region, &failure);
	}
	raw_pins_open_failed(broker, domid, &failure);
	raw_moves_open_failed(broker, domid, &failure);
	maps_open_failed(broker, domid, &failure);
}

void regions_domain_gone(struct broker *broker, uint32_t domid, const char *uuid)
{
	struct domain *domain = domain_begin_leave(broker, domid, uuid);
	struct region *region, *next;
	struct failure failure;
	unsigned int n_placed = 0;

	failure_set(&failure, XENVRAM__V1__STATUS__NO_DOMAIN, ESRCH, "domain %u (%s) is gone", domid, uuid);
	connections_domain_gone(broker, domid, uuid);
	if (!domain)
		return;
	LIST_FOREACH_SAFE(region, &broker->regions.regions, link, next) {
		if (region->domain != domain || !domain_is_lost(domain, region->record.uuid, uuid, false))
			continue;
		n_placed += region->journaled;
		fail_and_remove(broker, region, &failure);
	}
	/* Who only asked for something there has been told, as often as he asked. */
	if (n_placed > 0)
		log_info("%s, and %u regions with it", failure.text, n_placed);
	raw_pins_domain_gone(broker, domid, uuid, false, &failure);
	raw_moves_domain_gone(broker, domid, uuid, false, &failure);
	maps_domain_gone(broker, domid, uuid, false, &failure);
	domain_end_leave(domain, uuid);
}

void regions_inherit(struct broker *broker, const struct region_record *record, unsigned int slot)
{
	struct region *region = region_table_add(&broker->regions, record, slot);
	if (region)
		region->domain = domain_get(broker, record->domid, record->uuid);
	if (!region || !region->domain) {
		log_error("region 0x%" PRIx64 " of the journal cannot be taken over: %s", record->cookie,
			strerror(errno));
		if (region)
			region_table_remove(&broker->regions, region);
		/* It alone says where the pages are. */
		region_table_reserve(&broker->regions, slot);
		return;
	}
	region->journaled = true;
	region->inherited.state = record->state;
	region->inherited.going_back = record->going_back;
	task_begin_inherited(&region->task, &region->record);
}
