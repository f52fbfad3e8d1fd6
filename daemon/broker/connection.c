/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/connection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/broker/admission.h"
#include "daemon/broker/backlog.h"
#include "daemon/broker/policy.h"
#include "daemon/broker/regions.h"
#include "daemon/broker/requests.h"
#include "daemon/broker/subscription.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

struct connection {
	LIST_ENTRY(connection) link; /* broker::connections */
	struct broker *broker;
	struct channel *channel;
	uint64_t id;
	struct ucred peer; /* as it was when the peer connected */
	struct binding binding;
	bool greeted;
	unsigned int n_in_flight;   /* requests without a reply */
	unsigned int max_in_flight; /* as it was told in Hello */
	unsigned int n_subscriptions;
	LIST_HEAD(, subscription) subscriptions;
};

uint64_t connection_id(const struct connection *connection)
{
	return connection->id;
}

int connection_fd(const struct connection *connection)
{
	return channel_fd(connection->channel);
}

const struct ucred *connection_peer(const struct connection *connection)
{
	return &connection->peer;
}

uint32_t connection_uid(const struct connection *connection)
{
	return connection->peer.uid;
}

const struct binding *connection_binding(const struct connection *connection)
{
	return &connection->binding;
}

bool connection_is_greeted(const struct connection *connection)
{
	return connection->greeted;
}

static void keep(struct connection *connection)
{
	Xenvram__Internal__ConnectionState state = XENVRAM__INTERNAL__CONNECTION_STATE__INIT;
	Xenvram__Internal__DomainRef bound = XENVRAM__INTERNAL__DOMAIN_REF__INIT;
	state.greeted = connection->greeted;
	state.max_in_flight = connection->max_in_flight;
	state.max_queued_bytes = channel_max_queued(connection->channel);
	if (connection->binding.state == BINDING_BOUND) {
		bound.domid = connection->binding.domid;
		bound.uuid = connection->binding.uuid;
		state.bound = &bound;
	}
	supervisor_keep(connection->broker, XENVRAM__INTERNAL__KEPT_KIND__CONNECTION, connection->id,
		&state.base, channel_fd(connection->channel));
}

/* Before all is inherited, what a request is about might not be there. */
static void update_reading(struct connection *connection)
{
	channel_hold(connection->channel, !connection->broker->serving ||
						  backlog_is_there(connection->broker) ||
						  connection->n_in_flight >= connection->max_in_flight ||
						  connection->binding.state == BINDING_PENDING);
}

void connection_bind(struct connection *connection, const struct binding *binding)
{
	connection->binding = *binding;
	keep(connection);
	update_reading(connection);
}

void connections_domain_gone(struct broker *broker, uint32_t domid, const char *uuid)
{
	struct connection *connection;
	LIST_FOREACH(connection, &broker->connections, link) {
		if (connection->binding.state == BINDING_BOUND &&
			binding_covers(&connection->binding, domid, uuid))
			connection->binding.gone = true;
	}
}

void connection_set_greeted(struct connection *connection)
{
	if (connection->greeted)
		return;
	connection->greeted = true;
	keep(connection);
}

struct connection *connection_find(struct broker *broker, uint64_t id)
{
	struct connection *connection;
	LIST_FOREACH(connection, &broker->connections, link) {
		if (connection->id == id)
			return connection;
	}
	return NULL;
}

struct connection *connection_next(const struct broker *broker, const struct connection *connection)
{
	return connection ? LIST_NEXT(connection, link) : LIST_FIRST(&broker->connections);
}

/* ---- subscriptions ---- */

void connection_add_subscription(struct connection *connection, struct subscription *subscription)
{
	LIST_INSERT_HEAD(&connection->subscriptions, subscription, of_connection);
	connection->n_subscriptions++;
}

void connection_remove_subscription(struct connection *connection, struct subscription *subscription)
{
	LIST_REMOVE(subscription, of_connection);
	connection->n_subscriptions--;
}

struct subscription *connection_find_subscription(const struct connection *connection, uint64_t id)
{
	struct subscription *subscription;
	LIST_FOREACH(subscription, &connection->subscriptions, of_connection) {
		if (subscription->id == id)
			return subscription;
	}
	return NULL;
}

unsigned int connection_n_in_flight(const struct connection *connection)
{
	return connection->n_in_flight;
}

unsigned int connection_max_in_flight(const struct connection *connection)
{
	return connection->max_in_flight;
}

unsigned int connection_n_subscriptions(const struct connection *connection)
{
	return connection->n_subscriptions;
}

/* ---- packets ---- */

static void connection_free(struct connection *connection)
{
	struct broker *broker = connection->broker;
	while (!LIST_EMPTY(&connection->subscriptions))
		subscription_end(broker, LIST_FIRST(&connection->subscriptions));
	regions_forget_connection(broker, connection->id);
	audit_forget_connection(broker, connection->id);
	supervisor_drop(broker, XENVRAM__INTERNAL__KEPT_KIND__CONNECTION, connection->id);
	channel_free(connection->channel);
	LIST_REMOVE(connection, link);
	broker->n_connections--;
	free(connection);
}

static void on_turn(void *owner)
{
	struct connection *connection = owner;
	supervisor_active(connection->broker);
}

static void on_packet(void *owner, struct frame *frame)
{
	struct connection *connection = owner;

	connection->n_in_flight++;
	update_reading(connection);
	requests_handle(connection->broker, connection, frame);
	backlog_check(connection->broker);
}

void connections_update_reading(struct broker *broker)
{
	struct connection *connection;
	LIST_FOREACH(connection, &broker->connections, link)
		update_reading(connection);
}

static void say_close_reason(const struct connection *connection, int error, char *ret_text, size_t size)
{
	const struct settings *settings = &connection->broker->settings;

	switch (error) {
	case EMSGSIZE:
		snprintf(ret_text, size, "it sent a packet of more than %u bytes", MAX_MESSAGE_BYTES);
		break;
	case EBADMSG:
		snprintf(ret_text, size, "it sent more than %u file descriptors", MAX_MESSAGE_FDS);
		break;
	case EMFILE:
		snprintf(ret_text, size,
			"it sent file descriptors, which no request carries, and this process has no room "
			"for them");
		break;
	case ENOBUFS:
		snprintf(ret_text, size,
			"it does not read what is sent to it: %zu bytes wait and more have come; at most %zu "
			"can, by "
			"queued-bytes of [limits] as it was when it connected, which can be up to %" PRIu32
			" for later ones; change and reload %s",
			channel_queued(connection->channel), channel_max_queued(connection->channel),
			POLICY(queued_bytes)->max, settings->file);
		break;
	default:
		snprintf(ret_text, size, "%s", strerror(error));
	}
}

static void on_close(void *owner, int error)
{
	struct connection *connection = owner;
	char reason[CONFIG_PATH_BYTES + 320];

	if (error) {
		say_close_reason(connection, error, reason, sizeof(reason));
		audit_closed(connection->broker, connection, reason);
	}
	connection_free(connection);
}

void connection_close(struct connection *connection, const char *reason)
{
	audit_closed(connection->broker, connection, reason);
	channel_close(connection->channel, 0);
}

static void send_packet(
	struct connection *connection, const Xenvram__V1__Packet *packet, const int *fds, unsigned int n_fds)
{
	channel_send(connection->channel, &packet->base, fds, n_fds);
}

void connection_event(struct connection *connection, const Xenvram__V1__Event *event)
{
	Xenvram__V1__Packet packet = XENVRAM__V1__PACKET__INIT;
	packet.content_case = XENVRAM__V1__PACKET__CONTENT_EVENT;
	packet.event = (Xenvram__V1__Event *)event;
	send_packet(connection, &packet, NULL, 0);
}

Xenvram__V1__Reply asker_outcome(const struct failure *failure)
{
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	if (failure) {
		reply.status = failure->status;
		reply.os_error = failure->os_error;
		reply.message = (char *)failure->text;
	}
	return reply;
}

void asker_reply(struct broker *broker, const struct asker *asker, Xenvram__V1__Reply *reply, const int *fds,
	unsigned int n_fds)
{
	Xenvram__V1__Packet packet = XENVRAM__V1__PACKET__INIT;
	struct connection *connection = connection_find(broker, asker->connection);

	audit_reply(broker, asker, reply);
	if (!connection)
		return;
	reply->serial = asker->serial;
	packet.content_case = XENVRAM__V1__PACKET__CONTENT_REPLY;
	packet.reply = reply;
	send_packet(connection, &packet, fds, n_fds);
	connection->n_in_flight--;
	update_reading(connection);
}

void asker_fail(struct broker *broker, const struct asker *asker, const struct failure *failure)
{
	Xenvram__V1__Reply reply = asker_outcome(failure);
	asker_reply(broker, asker, &reply, NULL, 0);
}

/* ---- accepting ---- */

/* Takes fd over. What it is promised holds for as long as it is open. NULL with errno. */
static struct connection *add(
	struct broker *broker, uint64_t id, int fd, uint32_t max_in_flight, size_t max_queued_bytes)
{
	static const struct channel_ops ops = {on_packet, on_close};
	struct connection *connection = calloc(1, sizeof(*connection));
	socklen_t length = sizeof(connection->peer);

	if (!connection || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &connection->peer, &length) < 0) {
		fd_close(fd);
		free(connection);
		return NULL;
	}
	connection->broker = broker;
	connection->id = id;
	LIST_INIT(&connection->subscriptions);
	connection->channel = channel_new(broker->base, fd, CHANNEL_CLIENT, &ops, connection);
	if (!connection->channel) {
		free(connection);
		return NULL;
	}
	connection->max_in_flight = max_in_flight;
	channel_set_max_queued(connection->channel, max_queued_bytes);
	channel_announce(connection->channel, on_turn);
	LIST_INSERT_HEAD(&broker->connections, connection, link);
	broker->n_connections++;
	update_reading(connection);
	return connection;
}

void connection_refuse(struct connection *connection, const struct failure *failure)
{
	Xenvram__V1__Reply reply = asker_outcome(failure);
	Xenvram__V1__Packet packet = XENVRAM__V1__PACKET__INIT;
	packet.content_case = XENVRAM__V1__PACKET__CONTENT_REPLY;
	packet.reply = &reply;
	send_packet(connection, &packet, NULL, 0);
	audit_refused(connection->broker, connection, failure);
	channel_close(connection->channel, 0);
}

int connection_accept(struct broker *broker, int listening_fd)
{
	struct failure failure;
	int fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return -1;
	struct connection *connection = add(broker, broker_new_id(broker), fd,
		broker->settings.requests_in_flight, broker->settings.queued_bytes);
	if (!connection)
		return -1;

	if (admission_check_new(broker, connection, &failure) < 0) {
		connection_refuse(connection, &failure);
	} else {
		keep(connection);
		admission_begin(broker, connection);
	}
	return 0;
}

void connection_inherit(
	struct broker *broker, uint64_t id, const Xenvram__Internal__ConnectionState *state, int fd)
{
	struct connection *connection = add(broker, id, fd, state->max_in_flight, state->max_queued_bytes);
	struct failure failure;

	if (!connection) {
		log_error("connection %" PRIu64 " is lost: %s", id,
			fd < 0 ? "its socket was not kept" : strerror(errno));
		supervisor_drop(broker, XENVRAM__INTERNAL__KEPT_KIND__CONNECTION, id);
		return;
	}
	connection->greeted = state->greeted;
	if (state->bound) {
		connection->binding = (struct binding){.state = BINDING_BOUND, .domid = state->bound->domid};
		snprintf(
			connection->binding.uuid, sizeof(connection->binding.uuid), "%s", state->bound->uuid);
	}
	/* Other settings may hold than when it was taken. */
	if (admission_check(broker, connection, &failure) < 0)
		connection_refuse(connection, &failure);
	else
		admission_begin(broker, connection);
}

void connections_announce_restart(struct broker *broker)
{
	Xenvram__V1__Restarted restarted = XENVRAM__V1__RESTARTED__INIT;
	Xenvram__V1__Event event = XENVRAM__V1__EVENT__INIT;
	struct connection *connection;

	event.what_case = XENVRAM__V1__EVENT__WHAT_RESTARTED;
	event.restarted = &restarted;
	LIST_FOREACH(connection, &broker->connections, link)
		connection_event(connection, &event);
	connections_update_reading(broker);
}

void connections_free_all(struct broker *broker)
{
	while (!LIST_EMPTY(&broker->connections))
		connection_free(LIST_FIRST(&broker->connections));
}
