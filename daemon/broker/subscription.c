/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/subscription.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/governor.h"
#include "daemon/broker/policy.h"
#include "daemon/broker/regions.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

/* A byte a wake-up, and a full pipe means the same as one byte: the smallest pipe will do. */
#define WAKE_PIPE_BYTES 4096

/* The region's subscriptions have changed. */
static void update_watched(struct region *region)
{
	const struct subscription *subscription;

	region->period_us = 0;
	region->watched = (struct extent){0};
	LIST_FOREACH(subscription, &region->subscriptions, of_region) {
		if (region->period_us == 0 || subscription->period_us < region->period_us)
			region->period_us = subscription->period_us;
		region->watched = extent_hull(region->watched, subscription->pages);
	}
	if (region->period_us > 0)
		governor_wake(region->domain->broker);
}

/* To a worker that is not there yet all is told when it is. */
static void tell_worker(struct subscription *subscription, Xenvram__Internal__Command__WhatCase what, int fd)
{
	struct region *region = subscription->region;
	Xenvram__Internal__Reader reader = XENVRAM__INTERNAL__READER__INIT;
	Xenvram__Internal__Command command = XENVRAM__INTERNAL__COMMAND__INIT;

	if (!region->attached)
		return;
	reader.subscription = subscription->id;
	reader.cookie = region->record.cookie;
	reader.first = subscription->pages.first;
	reader.nr_pages = subscription->pages.nr_pages;
	reader.period_us = subscription->period_us;
	command.what_case = what;
	command.add_reader = &reader; /* one arm of the union, whichever `what` */
	domain_command(region->domain, region, &command, fd, NULL);
}

void subscription_send(struct subscription *subscription)
{
	tell_worker(subscription, XENVRAM__INTERNAL__COMMAND__WHAT_ADD_READER, subscription->wake_fd);
}

/* Takes wake_fd over. NULL with ENOMEM. */
static struct subscription *add(struct region *region, struct connection *connection, uint64_t id,
	struct extent pages, uint32_t period_us, int wake_fd)
{
	struct subscription *subscription = malloc(sizeof(*subscription));
	if (!subscription) {
		fd_close(wake_fd);
		return NULL;
	}
	*subscription = (struct subscription){.region = region,
		.connection = connection,
		.id = id,
		.pages = pages,
		.period_us = period_us,
		.wake_fd = wake_fd};
	LIST_INSERT_HEAD(&region->subscriptions, subscription, of_region);
	connection_add_subscription(connection, subscription);
	region->n_subscriptions++;
	subscription_send(subscription);
	update_watched(region);
	return subscription;
}

static void keep(struct broker *broker, const struct subscription *subscription)
{
	Xenvram__Internal__SubscriptionState state = XENVRAM__INTERNAL__SUBSCRIPTION_STATE__INIT;
	state.connection = connection_id(subscription->connection);
	state.cookie = subscription->region->record.cookie;
	state.first = subscription->pages.first;
	state.nr_pages = subscription->pages.nr_pages;
	state.period_us = subscription->period_us;
	supervisor_keep(broker, XENVRAM__INTERNAL__KEPT_KIND__SUBSCRIPTION, subscription->id, &state.base,
		subscription->wake_fd);
}

/* ---- subscribing ---- */

static unsigned int count_of_domain(const struct broker *broker, uint32_t domid)
{
	const struct region *region;
	unsigned int n = 0;
	LIST_FOREACH(region, &broker->regions.regions, link) {
		if (region->record.domid == domid)
			n += region->n_subscriptions;
	}
	return n;
}

static int admit(const struct broker *broker, const struct connection *connection,
	const struct region *region, struct failure *failure)
{
	unsigned int of_connection = connection_n_subscriptions(connection);
	unsigned int of_domain = count_of_domain(broker, region->record.domid);
	const struct settings *settings = &broker->settings;
	char who[IDENTITY_TEXT_BYTES];

	if (region->record.state == XENVRAM__V1__REGION_STATE__CREATING ||
		region->record.state == XENVRAM__V1__REGION_STATE__DESTROYING)
		return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, EBUSY,
			"region 0x%" PRIx64 " is being created or destroyed", region->record.cookie);
	if (region->log_fd < 0)
		return failure_set(failure, XENVRAM__V1__STATUS__RETRY, EAGAIN,
			"the log of region 0x%" PRIx64 " is not there yet; ask again", region->record.cookie);
	if (domain_admit_command(region->domain, failure) < 0)
		return -1;
	identity_describe(
		settings, connection_uid(connection), connection_binding(connection), who, sizeof(who));
	if (policy_admit(settings, POLICY(subscriptions_per_connection), who, of_connection, 1, failure) < 0)
		return -1;
	snprintf(who, sizeof(who), "domain %" PRIu32, region->record.domid);
	return policy_admit(settings, POLICY(subscriptions_per_domain), who, of_domain, 1, failure);
}

static int make_wake_pipe(int *ret_read_fd, int *ret_write_fd, struct failure *failure)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno,
			"no wake pipe can be made: %s", strerror(errno));
	/* Merely a saving: a pipe of the usual size works as well. */
	if (fcntl(ends[1], F_SETPIPE_SZ, WAKE_PIPE_BYTES) < 0)
		log_warning("a wake pipe cannot be made small: %s", strerror(errno));
	*ret_read_fd = ends[0];
	*ret_write_fd = ends[1];
	return 0;
}

void subscription_create(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__Subscribe *request)
{
	struct region *region = regions_require(broker, asker, request->cookie);
	uint32_t period_us = request->period_us ? request->period_us : DEFAULT_PERIOD_US;
	_cleanup_close_ int read_fd = -1;
	int wake_fd = -1;
	struct extent pages;
	struct failure failure;

	if (!region)
		return;
	if (regions_pages(region, request->first, request->nr_pages, &pages, &failure) < 0 ||
		admit(broker, connection, region, &failure) < 0 ||
		(request->want_wake && make_wake_pipe(&read_fd, &wake_fd, &failure) < 0)) {
		asker_fail(broker, asker, &failure);
		return;
	}
	struct subscription *subscription =
		add(region, connection, broker_new_id(broker), pages, period_us, wake_fd);
	if (!subscription) {
		failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
		asker_fail(broker, asker, &failure);
		return;
	}
	keep(broker, subscription);

	Xenvram__V1__SubscribeReply subscribed = XENVRAM__V1__SUBSCRIBE_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	const int fds[] = {region->log_fd, read_fd};
	subscribed.subscription = subscription->id;
	subscribed.nr_pages = region->record.nr_pages;
	subscribed.period_us = period_us;
	subscribed.has_wake = request->want_wake;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SUBSCRIBE;
	reply.subscribe = &subscribed;
	asker_reply(broker, asker, &reply, fds, request->want_wake ? 2 : 1);
}

void subscription_inherit(
	struct broker *broker, uint64_t id, const Xenvram__Internal__SubscriptionState *state, int wake_fd)
{
	struct connection *connection = connection_find(broker, state->connection);
	struct region *region = region_table_find(&broker->regions, state->cookie);

	if (!connection || !region) {
		fd_close(wake_fd);
		supervisor_drop(broker, XENVRAM__INTERNAL__KEPT_KIND__SUBSCRIPTION, id);
		return;
	}
	struct extent pages = {state->first, state->nr_pages};
	if (!add(region, connection, id, pages, state->period_us, wake_fd))
		log_error("out of memory: subscription %" PRIu64 " is lost", id);
}

/* ---- ending ---- */

static void subscription_free(struct broker *broker, struct subscription *subscription)
{
	tell_worker(subscription, XENVRAM__INTERNAL__COMMAND__WHAT_DROP_READER, -1);
	supervisor_drop(broker, XENVRAM__INTERNAL__KEPT_KIND__SUBSCRIPTION, subscription->id);
	subscription->region->n_subscriptions--;
	LIST_REMOVE(subscription, of_region);
	connection_remove_subscription(subscription->connection, subscription);
	fd_close(subscription->wake_fd);
	free(subscription);
}

void subscription_end(struct broker *broker, struct subscription *subscription)
{
	struct region *region = subscription->region;
	subscription_free(broker, subscription);
	update_watched(region);
}

static bool has_other(const struct region *region, const struct subscription *subscription)
{
	const struct subscription *other;
	LIST_FOREACH(other, &region->subscriptions, of_region) {
		if (other != subscription && other->connection == subscription->connection)
			return true;
	}
	return false;
}

void subscriptions_end(struct broker *broker, struct region *region, const char *reason)
{
	Xenvram__V1__RegionChanged changed = XENVRAM__V1__REGION_CHANGED__INIT;
	Xenvram__V1__Event event = XENVRAM__V1__EVENT__INIT;
	changed.cookie = region->record.cookie;
	changed.state = XENVRAM__V1__REGION_STATE__GONE;
	changed.reason = (char *)reason;
	event.what_case = XENVRAM__V1__EVENT__WHAT_REGION_CHANGED;
	event.region_changed = &changed;

	struct subscription *subscription;
	while ((subscription = LIST_FIRST(&region->subscriptions))) {
		if (!has_other(region, subscription))
			connection_event(subscription->connection, &event);
		subscription_free(broker, subscription);
	}
}
