/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/admission.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/policy.h"
#include "daemon/broker/ranges.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/clock.h"
#include "daemon/common/list.h"

/* The path is what this build listens on, or what systemd was told to. */
void admission_get_socket_path(const struct connection *connection, char *ret_path, size_t size)
{
	union {
		struct sockaddr any;
		struct sockaddr_un local;
	} address = {0};
	socklen_t length = sizeof(address.local) - 1;

	if (getsockname(connection_fd(connection), &address.any, &length) < 0 || !address.local.sun_path[0])
		snprintf(ret_path, size, "this socket");
	else
		snprintf(ret_path, size, "%s", address.local.sun_path);
}

/* `groups` must outlive the peer. */
static struct peer get_peer(const struct connection *connection, uint32_t groups[MAX_PEER_GROUPS + 1])
{
	socklen_t n_bytes = MAX_PEER_GROUPS * sizeof(groups[0]);
	struct peer peer = {.uid = connection_uid(connection), .gids = groups};

	if (getsockopt(connection_fd(connection), SOL_SOCKET, SO_PEERGROUPS, groups, &n_bytes) == 0)
		peer.n_gids = n_bytes / sizeof(groups[0]);
	else
		peer.groups_error = errno;
	/* The primary one need not be among them. */
	groups[peer.n_gids++] = connection_peer(connection)->gid;
	return peer;
}

/* Or about to be, by the uid; until Bind has succeeded it is as before. */
static bool is_bound(const struct binding *binding)
{
	return binding->state != BINDING_NONE && !binding->asker.connection;
}

/* A uid may say something else than when it connected. */
static int refuse_changed(const struct settings *settings, const struct connection *connection,
	uint32_t domid, const char *path, struct failure *failure)
{
	const struct binding *binding = connection_binding(connection);
	char was[64] = "was an administrator's";

	if (is_bound(binding))
		snprintf(was, sizeof(was), "is bound to domain %u by earlier settings", binding->domid);
	return failure_set(failure, XENVRAM__V1__STATUS__PERMISSION_DENIED, EACCES,
		"uid %u is the device model of domain %u now (domain-uid-base + %u), and this connection to "
		"%s %s; connect anew, or see [access] in %s",
		connection_uid(connection), domid, domid, path, was, settings->file);
}

static int check(struct broker *broker, const struct connection *connection, enum identity_kind *ret_kind,
	uint32_t *ret_domid, struct failure *failure)
{
	const struct binding *binding = connection_binding(connection);
	uint32_t groups[MAX_PEER_GROUPS + 1], domid = 0;
	const struct peer peer = get_peer(connection, groups);
	char path[SOCKET_PATH_BYTES];

	*ret_kind = identity_of(&broker->settings, &peer, &domid);
	*ret_domid = domid;
	if (*ret_kind == IDENTITY_ADMINISTRATOR)
		return 0;
	/* Before Hello nothing was asked for: it can still be bound. */
	if (*ret_kind == IDENTITY_DEVICE_MODEL &&
		(is_bound(binding) ? binding->domid == domid : !connection_is_greeted(connection)))
		return 0;
	admission_get_socket_path(connection, path, sizeof(path));
	return *ret_kind == IDENTITY_DEVICE_MODEL
		       ? refuse_changed(&broker->settings, connection, domid, path, failure)
		       : identity_refuse(&broker->settings, &peer, path, failure);
}

int admission_check(struct broker *broker, const struct connection *connection, struct failure *failure)
{
	enum identity_kind kind;
	uint32_t domid;
	return check(broker, connection, &kind, &domid, failure);
}

/*
 * What an administrator has bound is for a domain's connections to be counted among. A device model's are for
 * both: those that it keeps of dead domains with its domid are not among the living one's.
 */
static unsigned int count_of_uid(const struct broker *broker, uint32_t uid, enum identity_kind kind)
{
	const struct connection *connection = NULL;
	unsigned int n = 0;
	while ((connection = connection_next(broker, connection)))
		n += connection_uid(connection) == uid &&
		     (kind == IDENTITY_DEVICE_MODEL ||
			     connection_binding(connection)->state != BINDING_BOUND);
	return n;
}

/* Is there room for one more that acts for this domain alone? Those of dead ones with its domid take none. */
static int check_domain(
	const struct broker *broker, uint32_t domid, const char *uuid, struct failure *failure)
{
	const struct connection *connection = NULL;
	unsigned int n = 0;
	char who[32];

	while ((connection = connection_next(broker, connection))) {
		const struct binding *binding = connection_binding(connection);
		n += binding->state == BINDING_BOUND && binding_covers(binding, domid, uuid);
	}
	snprintf(who, sizeof(who), "domain %u", domid);
	return policy_admit(&broker->settings, POLICY(connections_per_domain), who, n, 1, failure);
}

static int check_number(struct broker *broker, uint32_t uid, enum identity_kind kind, struct failure *failure)
{
	const struct settings *settings = &broker->settings;
	char who[32];

	snprintf(who, sizeof(who), "uid %u", uid);
	if (policy_admit(settings, POLICY(connections_per_uid), who, count_of_uid(broker, uid, kind) - 1, 1,
		    failure) < 0)
		return -1;
	return policy_admit_connection(settings, uid, broker->n_connections - 1, failure);
}

int admission_check_new(struct broker *broker, const struct connection *connection, struct failure *failure)
{
	uint32_t uid = connection_uid(connection);
	uint64_t now = clock_now_ns();
	enum identity_kind kind;
	uint32_t domid;
	char who[32];

	if (check(broker, connection, &kind, &domid, failure) < 0)
		return -1;
	snprintf(who, sizeof(who), "uid %u", uid);
	if (check_number(broker, uid, kind, failure) == 0 &&
		(kind == IDENTITY_ADMINISTRATOR ||
			policy_admit_rate(&broker->settings, POLICY(connections_per_second), who,
				buckets_get(&broker->connecting, uid, now), now, failure) == 0))
		return 0;
	failure->os_error = EUSERS;
	return -1;
}

void admission_begin(struct broker *broker, struct connection *connection)
{
	/* Groups make nobody a device model. */
	const struct peer peer = {.uid = connection_uid(connection)};
	uint32_t domid;

	if (connection_binding(connection)->state != BINDING_NONE ||
		identity_of(&broker->settings, &peer, &domid) != IDENTITY_DEVICE_MODEL)
		return;
	connection_bind(connection, &(struct binding){.state = BINDING_PENDING, .domid = domid});
	supervisor_identify(broker, connection_id(connection), domid);
}

void admission_bind(
	struct broker *broker, struct connection *connection, const struct asker *asker, uint32_t domid)
{
	const struct binding *binding = connection_binding(connection);
	struct failure failure;

	if (binding->state == BINDING_BOUND) {
		/* To this domid, or the request would have been refused. */
		Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
		audit_set_unchanging(broker);
		asker_reply(broker, asker, &reply, NULL, 0);
		return;
	}
	/* What they bring might be another domain's. */
	unsigned int n_requests = connection_n_in_flight(connection) - 1;
	unsigned int n_subscriptions = connection_n_subscriptions(connection);
	unsigned int n_ranges = ranges_count(broker, connection_id(connection));
	if (n_requests > 0 || n_subscriptions > 0 || n_ranges > 0) {
		failure_set(&failure, XENVRAM__V1__STATUS__CONFLICT, EBUSY,
			"the connection has %u other requests under way, %u subscriptions and %u tracked "
			"ranges; it must have none to be bound",
			n_requests, n_subscriptions, n_ranges);
		asker_fail(broker, asker, &failure);
		return;
	}
	connection_bind(
		connection, &(struct binding){.state = BINDING_PENDING, .domid = domid, .asker = *asker});
	supervisor_identify(broker, asker->connection, domid);
}

static void succeed(struct broker *broker, struct connection *connection, const struct asker *asker,
	const struct binding *bound)
{
	Xenvram__V1__Reply reply = asker_outcome(NULL);
	audit_record(broker, asker, &reply);
	connection_bind(connection, bound);
	if (asker->connection)
		asker_reply(broker, asker, &reply, NULL, 0);
}

/* A device model without a domain has no business here; an administrator may try another one. */
static void fail(struct broker *broker, struct connection *connection, const struct asker *asker,
	const struct failure *failure)
{
	if (!asker->connection) {
		connection_refuse(connection, failure);
		return;
	}
	connection_bind(connection, &(struct binding){.state = BINDING_NONE});
	asker_fail(broker, asker, failure);
}

void admission_identified(struct broker *broker, const Xenvram__Internal__Identify *message)
{
	struct connection *connection = connection_find(broker, message->connection);
	struct failure failure;

	if (!connection)
		return;
	struct binding binding = *connection_binding(connection);
	if (binding.state != BINDING_PENDING || binding.domid != message->domid)
		return;
	const struct asker asker = binding.asker;
	if (message->failure || strlen(message->uuid) >= sizeof(binding.uuid)) {
		char who[IDENTITY_TEXT_BYTES];
		identity_describe(&broker->settings, connection_uid(connection), &binding, who, sizeof(who));
		const char *reason = message->failure ? message->failure->message : "has a UUID too long";
		failure_set(&failure,
			message->failure ? message->failure->status : XENVRAM__V1__STATUS__INTERNAL,
			message->failure ? message->failure->os_error : EPROTO, "%s cannot act for it: it %s",
			who, reason);
		fail(broker, connection, &asker, &failure);
		return;
	}
	if (check_domain(broker, binding.domid, message->uuid, &failure) < 0) {
		/* As for every other connection that is one too many. */
		if (!asker.connection)
			failure.os_error = EUSERS;
		fail(broker, connection, &asker, &failure);
		return;
	}
	binding.state = BINDING_BOUND;
	binding.asker = (struct asker){0};
	binding.known = ++broker->n_known;
	strcpy(binding.uuid, message->uuid);
	succeed(broker, connection, &asker, &binding);
}

void admission_review(struct broker *broker)
{
	struct connection *connection, *next;
	struct failure failure;

	for (connection = connection_next(broker, NULL); connection; connection = next) {
		next = connection_next(broker, connection);
		if (admission_check(broker, connection, &failure) < 0)
			connection_refuse(connection, &failure);
		else
			admission_begin(broker, connection);
	}
}
