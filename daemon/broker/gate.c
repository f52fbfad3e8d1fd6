/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/gate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/broker/admission.h"
#include "daemon/broker/audit_fields.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/policy.h"
#include "daemon/common/clock.h"
#include "proto/check.h"

typedef Xenvram__V1__Request Request;

/* Whatever is asked: may who sent it use this connection? */
static int check_sender(const struct broker *broker, const struct connection *connection,
	const struct frame *frame, struct failure *failure)
{
	const struct peer sender = {
		.uid = frame->sender_uid, .pid = frame->sender_pid, .n_gids = 1, .gids = &frame->sender_gid};

	const struct peer *known = frame->has_sender ? &sender : NULL;
	uint32_t peer_uid = connection_uid(connection);
	char path[SOCKET_PATH_BYTES];

	if (connection_binding(connection)->state != BINDING_NONE ||
		identity_may_send(&broker->settings, known, peer_uid))
		return 0;
	admission_get_socket_path(connection, path, sizeof(path));
	return identity_refuse_sender(&broker->settings, known, peer_uid, path, failure);
}

static int check_form(const struct connection *connection, const Request *request, const struct frame *frame,
	struct failure *failure)
{
	if (frame->n_fds > 0)
		return failure_set(failure, XENVRAM__V1__STATUS__INVALID, EINVAL,
			"%u file descriptors came with the request, none are taken", frame->n_fds);
	if (!connection_is_greeted(connection) &&
		request->operation_case != XENVRAM__V1__REQUEST__OPERATION_HELLO)
		return failure_set(failure, XENVRAM__V1__STATUS__INVALID, EPROTO,
			"the first request of a connection must be Hello");
	return check_request(request, failure);
}

/* Does the request name a domain? Asked of the grammar, so that no operation can be forgotten. */
static bool names_domain(const Request *request, uint32_t *ret_domid)
{
	const ProtobufCMessage *operation = audit_operation(request);
	const ProtobufCFieldDescriptor *domid =
		protobuf_c_message_descriptor_get_field_by_name(operation->descriptor, "domid");

	if (!domid || (request->operation_case == XENVRAM__V1__REQUEST__OPERATION_LIST_REGIONS &&
			      !request->list_regions->by_domid))
		return false;
	memcpy(ret_domid, (const char *)operation + domid->offset, sizeof(*ret_domid));
	return true;
}

/* A worker of another domain was there after the binding: until then the binding's had the domid, if at all. */
static bool was_replaced(const struct domain *domain, const struct binding *binding)
{
	return domain && domain->met > binding->known && strcmp(domain->uuid, binding->uuid) != 0;
}

static int check_domain(struct broker *broker, const struct connection *connection, const Request *request,
	struct failure *failure)
{
	const struct binding *binding = connection_binding(connection);
	char who[IDENTITY_TEXT_BYTES];
	uint32_t domid;

	if (binding->state == BINDING_NONE || !names_domain(request, &domid))
		return 0;
	if (domid == binding->domid && !binding->gone && !was_replaced(domain_find(broker, domid), binding))
		return 0;
	identity_describe(&broker->settings, connection_uid(connection), binding, who, sizeof(who));
	if (domid != binding->domid)
		return failure_set(failure, XENVRAM__V1__STATUS__PERMISSION_DENIED, EPERM,
			"%s acts for domain %" PRIu32 " alone, and the request is about domain %" PRIu32, who,
			binding->domid, domid);
	return failure_set(failure, XENVRAM__V1__STATUS__NO_DOMAIN, ESRCH,
		"%s acts for domain %" PRIu32 " (%s) alone, which %s", who, domid, binding->uuid,
		binding->gone ? "is gone" : "is another one now");
}

/* The domain, of whatever domid: a later one with the same begins anew. FNV-1a of the UUID. */
static uint64_t domain_key(const struct binding *binding)
{
	uint64_t key = UINT64_C(0xcbf29ce484222325);

	for (const char *c = binding->uuid; *c; c++)
		key = (key ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	return key;
}

int gate_check_pause(struct broker *broker, const struct connection *connection, struct failure *failure)
{
	const struct binding *binding = connection_binding(connection);
	uint64_t now_ns = clock_now_ns();
	char who[32];

	if (binding->state == BINDING_NONE)
		return 0;
	snprintf(who, sizeof(who), "domain %" PRIu32, binding->domid);
	return policy_admit_rate(&broker->settings, POLICY(guest_pauses_per_second), who,
		buckets_get(&broker->pausing, domain_key(binding), now_ns), now_ns, failure);
}

/* Before a worker was there what there is may be of a domain that is dead, or of whichever there is. */
static bool is_known(const struct domain *domain, const char *uuid)
{
	if (domain->met > 0)
		return strcmp(domain->uuid, uuid) == 0;
	return (!*domain->uuid || strcmp(domain->uuid, uuid) == 0) && !domain_find_other(domain, uuid);
}

int gate_check_known(
	struct broker *broker, const struct connection *connection, uint32_t domid, struct failure *failure)
{
	const struct binding *binding = connection_binding(connection);
	const struct domain *domain = domain_find(broker, domid);

	if (binding->state == BINDING_NONE || !domain || is_known(domain, binding->uuid))
		return 0;
	/* With a worker it would be; an earlier attempt may have failed, and each one costs something. */
	if (gate_check_pause(broker, connection, failure) < 0)
		return -1;
	domain_want_worker(domain);
	return failure_set(failure, XENVRAM__V1__STATUS__RETRY, EAGAIN,
		"whether domain %" PRIu32 " is still the one that this connection is bound to (%s) is being "
		"found out; ask again",
		domid, binding->uuid);
}

static int check_creation(
	const struct broker *broker, const Xenvram__V1__CreateRegion *create, struct failure *failure)
{
	const struct settings *settings = &broker->settings;
	const struct region_usage usage = {
		.regions = broker->regions.n_regions,
		.domain_regions = region_table_count(&broker->regions, create->domid),
		.domain_pages = region_table_pages(&broker->regions, create->domid),
	};

	if (policy_admit_gfns(settings, &settings->vram, "vram", create->domid, create->vram_gfn,
		    create->nr_pages, failure) < 0 ||
		(!create->adopt && policy_admit_gfns(settings, &settings->backing, "backing", create->domid,
					   create->backing_gfn, create->nr_pages, failure) < 0))
		return -1;
	return policy_admit_region(settings, create->domid, &usage, create->nr_pages, failure);
}

int gate_check(struct broker *broker, const struct connection *connection, const Request *request,
	const struct frame *frame, bool pauses, struct failure *failure)
{
	uint32_t domid;

	if (check_sender(broker, connection, frame, failure) < 0 ||
		check_form(connection, request, frame, failure) < 0 ||
		check_domain(broker, connection, request, failure) < 0)
		return -1;
	if (pauses && names_domain(request, &domid) &&
		gate_check_known(broker, connection, domid, failure) < 0)
		return -1;
	if (request->operation_case == XENVRAM__V1__REQUEST__OPERATION_CREATE_REGION &&
		check_creation(broker, request->create_region, failure) < 0)
		return -1;
	return pauses ? gate_check_pause(broker, connection, failure) : 0;
}
