/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/maps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/common/list.h"

typedef Xenvram__Internal__Command Command;

struct map {
	LIST_ENTRY(map) link; /* broker::maps */
	struct domain *domain;
	char uuid[UUID_BYTES]; /* of the domain that is meant; empty until its worker is known */
	uint64_t id;           /* for the worker */
	bool at_work;
	struct asker asker;
	uint64_t first_page;
	uint64_t cookie; /* of the region; 0: of a move, which is */
	uint64_t source, destination;
	uint64_t nr_pages;
};

static struct domain *forget(struct map *map)
{
	struct domain *domain = map->domain;
	LIST_REMOVE(map, link);
	free(map);
	return domain;
}

void maps_free_all(struct broker *broker)
{
	while (!LIST_EMPTY(&broker->maps))
		forget(LIST_FIRST(&broker->maps));
}

bool maps_any(const struct broker *broker, uint32_t domid)
{
	const struct map *map;
	LIST_FOREACH(map, &broker->maps, link) {
		if (map->domain->domid == domid)
			return true;
	}
	return false;
}

const char *maps_find_other(const struct domain *domain, const char *uuid)
{
	const struct map *map;
	LIST_FOREACH(map, &domain->broker->maps, link) {
		if (map->domain == domain && strcmp(map->uuid, uuid) != 0)
			return map->uuid;
	}
	return NULL;
}

static void end(struct broker *broker, struct map *map, const struct failure *failure)
{
	asker_fail(broker, &map->asker, failure);
	domain_release(forget(map));
}

static void end_without_region(struct broker *broker, struct map *map)
{
	struct failure failure;
	failure_set(&failure, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT,
		"there is no region 0x%" PRIx64 " any more", map->cookie);
	end(broker, map, &failure);
}

/* ---- the worker ---- */

static void send_map(struct map *map, Xenvram__Internal__Map *packed)
{
	Command command = XENVRAM__INTERNAL__COMMAND__INIT;
	command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_MAP;
	command.map = packed;
	strcpy(map->uuid, map->domain->uuid);
	map->at_work = true;
	domain_command_of(map->domain, COMMAND_MAP, map->id, &command);
}

static void send_of_region(struct map *map, const struct region_record *record)
{
	Xenvram__V1__Run runs[MAX_REGION_EXTENTS], *pointers[MAX_REGION_EXTENTS];
	Xenvram__Internal__Map packed = XENVRAM__INTERNAL__MAP__INIT;

	for (unsigned int i = 0; i < record->live.n; i++) {
		uint64_t first = record->live.run[i].first, end = extent_end(record->live.run[i]);
		if (end <= map->first_page)
			continue;
		if (first < map->first_page)
			first = map->first_page;
		xenvram__v1__run__init(&runs[packed.n_runs]);
		runs[packed.n_runs].first = first;
		runs[packed.n_runs].nr_pages = end - first;
		pointers[packed.n_runs] = &runs[packed.n_runs];
		packed.n_runs++;
	}
	packed.runs = pointers;
	packed.vram_gfn = record->vram_gfn;
	packed.has_backing = !record->adopted;
	packed.backing_gfn = record->backing_gfn;
	packed.has_old_vram = record->between;
	packed.old_vram_gfn = record->old_vram_gfn;
	send_map(map, &packed);
}

/* To the worker, which maps as for a region, the destination is the vram. */
static void send_of_move(struct map *map)
{
	Xenvram__V1__Run run = XENVRAM__V1__RUN__INIT, *pointer = &run;
	Xenvram__Internal__Map packed = XENVRAM__INTERNAL__MAP__INIT;

	run.first = map->first_page;
	run.nr_pages = map->nr_pages - map->first_page;
	packed.n_runs = 1;
	packed.runs = &pointer;
	packed.vram_gfn = map->destination;
	packed.has_backing = true;
	packed.backing_gfn = map->source;
	send_map(map, &packed);
}

static void advance(struct broker *broker, struct map *map)
{
	const struct region *region = map->cookie ? region_table_find(&broker->regions, map->cookie) : NULL;

	if (!map->domain->worker || map->at_work)
		return;
	if (region)
		send_of_region(map, &region->record);
	else if (map->cookie)
		end_without_region(broker, map);
	else
		send_of_move(map);
}

/* ---- requests ---- */

static void begin(struct broker *broker, const struct map *wanted, uint32_t domid)
{
	const struct domain *known = domain_find(broker, domid);
	struct failure failure;

	if (known && domain_admit_command(known, &failure) < 0) {
		asker_fail(broker, &wanted->asker, &failure);
		return;
	}
	struct map *map = malloc(sizeof(*map));
	struct domain *domain = map ? domain_get(broker, domid, wanted->uuid) : NULL;
	if (!domain) {
		failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
		asker_fail(broker, &wanted->asker, &failure);
		free(map);
		return;
	}
	*map = *wanted;
	map->domain = domain;
	map->id = ++broker->last_map;
	LIST_INSERT_HEAD(&broker->maps, map, link);
	domain_want_worker(domain);
	advance(broker, map);
}

void maps_of_region(struct region *region, const struct asker *asker, uint64_t first_page)
{
	struct map wanted = {.asker = *asker, .first_page = first_page, .cookie = region->record.cookie};
	strcpy(wanted.uuid, region->record.uuid);
	begin(region->domain->broker, &wanted, region->record.domid);
}

void maps_of_move(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__MapRam *request)
{
	struct map wanted = {
		.asker = *asker,
		.first_page = request->first_page,
		.source = request->source_gfn,
		.destination = request->destination_gfn,
		.nr_pages = request->nr_pages,
	};
	strcpy(wanted.uuid, connection_binding(connection)->uuid);
	begin(broker, &wanted, request->domid);
}

void maps_advance_domain(struct domain *domain)
{
	struct map *map, *next;
	LIST_FOREACH_SAFE(map, &domain->broker->maps, link, next) {
		if (map->domain == domain)
			advance(domain->broker, map);
	}
}

/* ---- answers ---- */

static struct map *find(const struct broker *broker, uint64_t id)
{
	struct map *map;
	LIST_FOREACH(map, &broker->maps, link) {
		if (map->id == id)
			return map;
	}
	return NULL;
}

/* Where the next reply has to begin; 0: all pages are told. */
static uint64_t next_page(
	const struct map *map, const struct region *region, const Xenvram__Internal__Done *done)
{
	if (done->n_map < MAX_MAPPED_RUNS)
		return 0;
	const Xenvram__V1__MappedRun *last = done->map[done->n_map - 1];
	uint64_t end = last->first + last->nr_pages;
	bool more = region ? extents_first(&region->record.live, end, region->record.nr_pages, 1).nr_pages > 0
			   : end < map->nr_pages;
	return more ? end : 0;
}

static void reply(struct broker *broker, const struct map *map, const struct region *region,
	const Xenvram__Internal__Done *done)
{
	Xenvram__V1__MapRegionReply mapped = XENVRAM__V1__MAP_REGION_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	mapped.n_runs = done->n_map;
	mapped.runs = done->map;
	mapped.next_page = next_page(map, region, done);
	reply.result_case = XENVRAM__V1__REPLY__RESULT_MAP_REGION;
	reply.map_region = &mapped;
	asker_reply(broker, &map->asker, &reply, NULL, 0);
}

void maps_done(struct broker *broker, uint64_t id, const Xenvram__Internal__Done *done)
{
	struct map *map = find(broker, id);
	struct failure failure;

	if (!map)
		return;
	const struct region *region = map->cookie ? region_table_find(&broker->regions, map->cookie) : NULL;
	if (done->failure) {
		failure_set(&failure, done->failure->status, done->failure->os_error, "%s",
			done->failure->message);
		end(broker, map, &failure);
	} else if (map->cookie && !region) {
		end_without_region(broker, map);
	} else {
		reply(broker, map, region, done);
		domain_release(forget(map));
	}
}

/* ---- what happens to them ---- */

void maps_worker_lost(struct domain *domain)
{
	struct map *map;
	LIST_FOREACH(map, &domain->broker->maps, link) {
		if (map->domain == domain)
			map->at_work = false;
	}
}

void maps_open_failed(struct broker *broker, uint32_t domid, const struct failure *failure)
{
	struct map *map, *next;
	LIST_FOREACH_SAFE(map, &broker->maps, link, next) {
		if (map->domain->domid == domid)
			end(broker, map, failure);
	}
}

void maps_domain_gone(
	struct broker *broker, uint32_t domid, const char *uuid, bool other, const struct failure *failure)
{
	struct map *map, *next;
	LIST_FOREACH_SAFE(map, &broker->maps, link, next) {
		if (map->domain->domid == domid && domain_is_lost(map->domain, map->uuid, uuid, other))
			end(broker, map, failure);
	}
}
