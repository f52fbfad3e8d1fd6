/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/requests.h"

#include <errno.h>
#include <inttypes.h>

#include "daemon/broker/admission.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/gate.h"
#include "daemon/broker/listing.h"
#include "daemon/broker/maps.h"
#include "daemon/broker/ranges.h"
#include "daemon/broker/raw_moves.h"
#include "daemon/broker/raw_pins.h"
#include "daemon/broker/regions.h"
#include "daemon/broker/snapshot.h"
#include "daemon/broker/subscription.h"
#include "proto/check.h"

typedef Xenvram__V1__Request Request;

static void handle_hello(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	Xenvram__V1__HelloReply hello = XENVRAM__V1__HELLO_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	struct failure failure;

	/* A connection that is bound may have come into other hands. */
	if (connection_is_greeted(connection) && connection_binding(connection)->state == BINDING_NONE) {
		failure_set(&failure, XENVRAM__V1__STATUS__INVALID, EPROTO, "a second Hello");
		asker_fail(broker, asker, &failure);
		connection_close(connection, failure.text);
		return;
	}
	if (check_hello(request->hello, &hello.version, &failure) < 0) {
		asker_fail(broker, asker, &failure);
		connection_close(connection, failure.text);
		return;
	}
	connection_set_greeted(connection);
	hello.daemon = (char *)XENVRAM_VERSION;
	hello.max_message_bytes = MAX_MESSAGE_BYTES;
	hello.max_requests_in_flight = connection_max_in_flight(connection);
	hello.max_region_pages = MAX_REGION_PAGES;
	hello.min_period_us = MIN_PERIOD_US;
	hello.max_period_us = MAX_PERIOD_US;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_HELLO;
	reply.hello = &hello;
	asker_reply(broker, asker, &reply, NULL, 0);
}

static void handle_create_region(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	regions_create(broker, asker, connection_uid(connection), request->create_region);
}

static void handle_destroy_region(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	(void)connection;
	regions_destroy(broker, asker, request->destroy_region);
}

static void handle_move_region(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	(void)connection;
	regions_move(broker, asker, request->move_region);
}

static void handle_list_regions(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	(void)connection;
	listing_regions(broker, asker, request->list_regions);
}

static void handle_list_domains(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	(void)connection;
	listing_domains(broker, asker, request->list_domains);
}

/* The region, if its worker can be asked about it now; else the asker is told. */
static struct region *require_at_work(struct broker *broker, const struct asker *asker, uint64_t cookie)
{
	struct region *region = regions_require(broker, asker, cookie);
	struct failure failure;

	if (!region)
		return NULL;
	if (region->record.state == XENVRAM__V1__REGION_STATE__CREATING ||
		region->record.state == XENVRAM__V1__REGION_STATE__DESTROYING)
		failure_set(&failure, XENVRAM__V1__STATUS__CONFLICT, EBUSY,
			"region 0x%" PRIx64 " is being created or destroyed", cookie);
	else if (domain_admit_command(region->domain, &failure) == 0)
		return region;
	asker_fail(broker, asker, &failure);
	return NULL;
}

/* Pages that are polled anyway answer from their last poll; else the hypervisor is asked. */
static void handle_snapshot(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	const Xenvram__V1__Snapshot *snapshot = request->snapshot;
	struct region *region = require_at_work(broker, asker, snapshot->cookie);
	struct failure failure;
	struct extent pages;

	if (!region)
		return;
	if (regions_pages(region, snapshot->first, snapshot->nr_pages, &pages, &failure) < 0)
		asker_fail(broker, asker, &failure);
	else if (extent_contains(region->watched, pages) && region->log_fd >= 0 && !snapshot->sync)
		snapshot_answer(broker, region, asker, pages, snapshot->since);
	else if (gate_check_pause(broker, connection, &failure) < 0)
		asker_fail(broker, asker, &failure);
	else
		regions_poll(region, asker, pages, snapshot->since);
}

static void handle_subscribe(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	subscription_create(broker, connection, asker, request->subscribe);
}

static void handle_unsubscribe(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	uint64_t id = request->unsubscribe->subscription;
	struct subscription *subscription = connection_find_subscription(connection, id);
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	struct failure failure;

	if (!subscription) {
		failure_set(&failure, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT,
			"this connection has no subscription %" PRIu64, id);
		asker_fail(broker, asker, &failure);
		return;
	}
	subscription_end(broker, subscription);
	asker_reply(broker, asker, &reply, NULL, 0);
}

static bool is_large(const Xenvram__V1__MarkDirty *mark)
{
	uint64_t nr_pages = 0;
	for (size_t i = 0; i < mark->n_runs; i++)
		nr_pages += mark->runs[i]->nr_pages;
	return nr_pages > MAX_UNCOUNTED_MARKED_PAGES;
}

static void handle_mark_dirty(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	const Xenvram__V1__MarkDirty *mark = request->mark_dirty;
	struct region *region = require_at_work(broker, asker, mark->cookie);
	struct failure failure;

	if (!region)
		return;
	if (is_large(mark) && gate_check_pause(broker, connection, &failure) < 0)
		asker_fail(broker, asker, &failure);
	else
		regions_mark(region, asker, mark->runs, mark->n_runs);
}

static void handle_refresh(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	struct region *region = require_at_work(broker, asker, request->refresh->cookie);
	(void)connection;
	if (region)
		regions_mark(region, asker, NULL, 0);
}

static void handle_map_region(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	struct region *region = regions_require(broker, asker, request->map_region->cookie);
	(void)connection;
	if (region)
		maps_of_region(region, asker, request->map_region->first_page);
}

static void handle_bind(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	admission_bind(broker, connection, asker, request->bind->domid);
}

static void handle_move_ram(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	raw_moves_begin(broker, connection, asker, request->move_ram);
}

static void handle_map_ram(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	maps_of_move(broker, connection, asker, request->map_ram);
}

static void handle_pin_cacheattr(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	raw_pins_set(broker, asker, connection_uid(connection), request->pin_cacheattr);
}

static void handle_unpin_cacheattr(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	(void)connection;
	raw_pins_delete(broker, asker, request->unpin_cacheattr);
}

static void handle_list_pins(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Request *request)
{
	(void)connection;
	listing_pins(broker, asker, request->list_pins->domid);
}

static void handle_track_dirty(struct broker *broker, struct connection *connection,
	const struct asker *asker, const Request *request)
{
	ranges_track(broker, connection, asker, request->track_dirty);
}

/* ---- the table ---- */

enum {
	CHANGES = 1, /* something that is audited whatever comes of it; other requests are when they are
			refused */
	PAUSES = 2, /* the guest, or may: so many a second. Snapshot is when it comes to a poll, and MarkDirty
			counts as one when it is large */
};

struct operation {
	void (*handle)(struct broker *broker, struct connection *connection, const struct asker *asker,
		const Request *request);
	unsigned int flags;
};

/* Who may, is decided for all alike: gate.h. */
static const struct operation operations[] = {
	[XENVRAM__V1__REQUEST__OPERATION_HELLO] = {handle_hello, 0},
	[XENVRAM__V1__REQUEST__OPERATION_BIND] = {handle_bind, CHANGES},
	[XENVRAM__V1__REQUEST__OPERATION_CREATE_REGION] = {handle_create_region, CHANGES | PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_DESTROY_REGION] = {handle_destroy_region, CHANGES | PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_LIST_REGIONS] = {handle_list_regions, 0},
	[XENVRAM__V1__REQUEST__OPERATION_LIST_DOMAINS] = {handle_list_domains, 0},
	[XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT] = {handle_snapshot, 0},
	[XENVRAM__V1__REQUEST__OPERATION_SUBSCRIBE] = {handle_subscribe, 0},
	[XENVRAM__V1__REQUEST__OPERATION_UNSUBSCRIBE] = {handle_unsubscribe, 0},
	[XENVRAM__V1__REQUEST__OPERATION_MARK_DIRTY] = {handle_mark_dirty, 0},
	[XENVRAM__V1__REQUEST__OPERATION_REFRESH] = {handle_refresh, PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_MOVE_REGION] = {handle_move_region, CHANGES | PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_MAP_REGION] = {handle_map_region, PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_MOVE_RAM] = {handle_move_ram, CHANGES | PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_MAP_RAM] = {handle_map_ram, PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_PIN_CACHEATTR] = {handle_pin_cacheattr, CHANGES | PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_UNPIN_CACHEATTR] = {handle_unpin_cacheattr, CHANGES | PAUSES},
	[XENVRAM__V1__REQUEST__OPERATION_LIST_PINS] = {handle_list_pins, 0},
	[XENVRAM__V1__REQUEST__OPERATION_TRACK_DIRTY] = {handle_track_dirty, PAUSES},
};

/* NULL for what is none; the gate refuses it. */
static const struct operation *find_operation(const Request *request)
{
	if (request->operation_case >= sizeof(operations) / sizeof(operations[0]) ||
		!operations[request->operation_case].handle)
		return NULL;
	return &operations[request->operation_case];
}

static struct requester find_requester(const struct connection *connection, const struct frame *frame)
{
	const struct ucred *peer = connection_peer(connection);

	if (frame->has_sender)
		return (struct requester){frame->sender_uid, frame->sender_pid, true};
	return (struct requester){peer->uid, peer->pid, true};
}

void requests_handle(struct broker *broker, struct connection *connection, struct frame *frame)
{
	struct failure failure;
	Request *request = (Request *)frame_unpack(frame, &xenvram__v1__request__descriptor);
	if (!request) {
		connection_close(connection, errno == ENOMEM ? "it sent a request that unpacks to too much"
							     : "it sent something that is no request");
		return;
	}
	const struct asker asker = {
		.connection = connection_id(connection),
		.serial = request->serial,
		.request = ++broker->n_requests,
		.requester = find_requester(connection, frame),
	};
	const struct operation *operation = find_operation(request);
	unsigned int flags = operation ? operation->flags : 0;

	audit_begin(broker, connection, &asker, request, flags & CHANGES);
	if (gate_check(broker, connection, request, frame, flags & PAUSES, &failure) == 0) {
		/* It knows the operation, so it is in the table. */
		operation->handle(broker, connection, &asker, request);
	} else {
		bool greeted = connection_is_greeted(connection);
		asker_fail(broker, &asker, &failure);
		if (!greeted)
			connection_close(connection, failure.text);
	}
	audit_end(broker);
	frame_free_message(&request->base);
}
