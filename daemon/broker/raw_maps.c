/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/raw_maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/common/list.h"

typedef Xenvram__Internal__Command Command;

struct raw_map {
	LIST_ENTRY(raw_map) link; /* broker::raw_maps */
	struct domain *domain;
	char uuid[UUID_BYTES]; /* of the domain that is meant; empty until its worker is known */
	uint64_t id;           /* for the worker */
	uint64_t source, destination;
	struct extent pages; /* of these, that were asked for */
	bool at_work;
	struct asker asker;
};

static struct domain *forget(struct raw_map *map)
{
	struct domain *domain = map->domain;
	LIST_REMOVE(map, link);
	free(map);
	return domain;
}

void raw_maps_free_all(struct broker *broker)
{
	while (!LIST_EMPTY(&broker->raw_maps))
		forget(LIST_FIRST(&broker->raw_maps));
}

bool raw_maps_any(const struct broker *broker, uint32_t domid)
{
	const struct raw_map *map;
	LIST_FOREACH(map, &broker->raw_maps, link) {
		if (map->domain->domid == domid)
			return true;
	}
	return false;
}

/* To the worker, which maps as for a region, the destination is the vram. */
static void advance(struct raw_map *map)
{
	Xenvram__V1__Run run = XENVRAM__V1__RUN__INIT, *pointer = &run;
	Xenvram__Internal__Map packed = XENVRAM__INTERNAL__MAP__INIT;
	Command command = XENVRAM__INTERNAL__COMMAND__INIT;

	if (!map->domain->worker || map->at_work)
		return;
	run.first = map->pages.first;
	run.nr_pages = map->pages.nr_pages;
	packed.n_runs = 1;
	packed.runs = &pointer;
	packed.vram_gfn = map->destination;
	packed.has_backing = true;
	packed.backing_gfn = map->source;
	command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_MAP;
	command.map = &packed;
	strcpy(map->uuid, map->domain->uuid);
	map->at_work = true;
	domain_command_of(map->domain, COMMAND_RAW_MAP, map->id, &command);
}

void raw_maps_begin(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__MapRam *request)
{
	const char *uuid = connection_binding(connection)->uuid;
	const struct domain *known = domain_find(broker, request->domid);
	struct failure failure;

	if (known && domain_admit_command(known, &failure) < 0) {
		asker_fail(broker, asker, &failure);
		return;
	}
	struct raw_map *map = calloc(1, sizeof(*map));
	struct domain *domain = map ? domain_get(broker, request->domid, uuid) : NULL;
	if (!domain) {
		failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
		asker_fail(broker, asker, &failure);
		free(map);
		return;
	}
	*map = (struct raw_map){
		.domain = domain,
		.id = ++broker->last_raw_map,
		.source = request->source_gfn,
		.destination = request->destination_gfn,
		.pages = {request->first_page, request->nr_pages - request->first_page},
		.asker = *asker,
	};
	strcpy(map->uuid, uuid);
	LIST_INSERT_HEAD(&broker->raw_maps, map, link);
	domain_want_worker(domain);
	advance(map);
}

void raw_maps_advance_domain(struct domain *domain)
{
	struct raw_map *map;
	LIST_FOREACH(map, &domain->broker->raw_maps, link) {
		if (map->domain == domain)
			advance(map);
	}
}

static struct raw_map *find(const struct broker *broker, uint64_t id)
{
	struct raw_map *map;
	LIST_FOREACH(map, &broker->raw_maps, link) {
		if (map->id == id)
			return map;
	}
	return NULL;
}

static void reply(struct broker *broker, const struct raw_map *map, const Xenvram__Internal__Done *done)
{
	Xenvram__V1__MapRegionReply mapped = XENVRAM__V1__MAP_REGION_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	mapped.n_runs = done->n_map;
	mapped.runs = done->map;
	if (done->n_map == MAX_MAPPED_RUNS) {
		const Xenvram__V1__MappedRun *last = done->map[done->n_map - 1];
		uint64_t end = last->first + last->nr_pages;
		mapped.next_page = end < extent_end(map->pages) ? end : 0;
	}
	reply.result_case = XENVRAM__V1__REPLY__RESULT_MAP_REGION;
	reply.map_region = &mapped;
	asker_reply(broker, &map->asker, &reply, NULL, 0);
}

static void end(struct broker *broker, struct raw_map *map, const struct failure *failure)
{
	asker_fail(broker, &map->asker, failure);
	domain_release(forget(map));
}

void raw_maps_done(struct broker *broker, uint64_t id, const Xenvram__Internal__Done *done)
{
	struct raw_map *map = find(broker, id);
	struct failure failure;

	if (!map)
		return;
	if (done->failure) {
		failure_set(&failure, done->failure->status, done->failure->os_error, "%s",
			done->failure->message);
		end(broker, map, &failure);
	} else {
		reply(broker, map, done);
		domain_release(forget(map));
	}
}

void raw_maps_worker_lost(struct domain *domain)
{
	struct raw_map *map;
	LIST_FOREACH(map, &domain->broker->raw_maps, link) {
		if (map->domain == domain)
			map->at_work = false;
	}
}

void raw_maps_open_failed(struct broker *broker, uint32_t domid, const struct failure *failure)
{
	struct raw_map *map, *next;
	LIST_FOREACH_SAFE(map, &broker->raw_maps, link, next) {
		if (map->domain->domid == domid)
			end(broker, map, failure);
	}
}

void raw_maps_domain_gone(
	struct broker *broker, uint32_t domid, const char *uuid, bool other, const struct failure *failure)
{
	struct raw_map *map, *next;
	LIST_FOREACH_SAFE(map, &broker->raw_maps, link, next) {
		if (map->domain->domid == domid && domain_is_lost(map->uuid, uuid, other))
			end(broker, map, failure);
	}
}
