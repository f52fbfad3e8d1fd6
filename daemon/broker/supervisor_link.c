/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/supervisor_link.h"

#include <errno.h>
#include <string.h>

#include "daemon/broker/admission.h"
#include "daemon/broker/governor.h"
#include "daemon/broker/inherit.h"
#include "daemon/broker/regions.h"
#include "daemon/common/log.h"
#include "daemon/common/role.h"

typedef Xenvram__Internal__FromBroker FromBroker;

static void tell(struct broker *broker, const FromBroker *message, int fd)
{
	channel_send(broker->supervisor, &message->base, &fd, fd >= 0 ? 1 : 0);
}

static void tell_nothing_more(struct broker *broker, Xenvram__Internal__FromBroker__WhatCase what)
{
	Xenvram__Internal__Nothing nothing = XENVRAM__INTERNAL__NOTHING__INIT;
	FromBroker message = XENVRAM__INTERNAL__FROM_BROKER__INIT;
	message.what_case = what;
	message.ready = &nothing; /* one arm of the union, whichever `what` */
	tell(broker, &message, -1);
}

void supervisor_ready(struct broker *broker)
{
	tell_nothing_more(broker, XENVRAM__INTERNAL__FROM_BROKER__WHAT_READY);
}

void supervisor_active(struct broker *broker)
{
	if (broker->active)
		return;
	broker->active = true;
	tell_nothing_more(broker, XENVRAM__INTERNAL__FROM_BROKER__WHAT_ACTIVE);
}

void supervisor_identify(struct broker *broker, uint64_t connection, uint32_t domid)
{
	Xenvram__Internal__Identify identify = XENVRAM__INTERNAL__IDENTIFY__INIT;
	FromBroker message = XENVRAM__INTERNAL__FROM_BROKER__INIT;
	identify.connection = connection;
	identify.domid = domid;
	message.what_case = XENVRAM__INTERNAL__FROM_BROKER__WHAT_IDENTIFY;
	message.identify = &identify;
	tell(broker, &message, -1);
}

static void tell_domain(
	struct broker *broker, Xenvram__Internal__FromBroker__WhatCase what, uint32_t domid, const char *uuid)
{
	Xenvram__Internal__DomainRef ref = XENVRAM__INTERNAL__DOMAIN_REF__INIT;
	FromBroker message = XENVRAM__INTERNAL__FROM_BROKER__INIT;
	ref.domid = domid;
	ref.uuid = (char *)uuid;
	message.what_case = what;
	message.open_worker = &ref; /* one arm of the union, whichever `what` */
	tell(broker, &message, -1);
}

void supervisor_open_worker(struct broker *broker, uint32_t domid, const char *uuid)
{
	tell_domain(broker, XENVRAM__INTERNAL__FROM_BROKER__WHAT_OPEN_WORKER, domid, uuid);
}

void supervisor_close_worker(struct broker *broker, uint32_t domid)
{
	tell_domain(broker, XENVRAM__INTERNAL__FROM_BROKER__WHAT_CLOSE_WORKER, domid, "");
}

void supervisor_restart_worker(struct broker *broker, uint32_t domid)
{
	tell_domain(broker, XENVRAM__INTERNAL__FROM_BROKER__WHAT_RESTART_WORKER, domid, "");
}

static void tell_log(
	struct broker *broker, Xenvram__Internal__FromBroker__WhatCase what, Xenvram__Internal__LogRef *ref)
{
	FromBroker message = XENVRAM__INTERNAL__FROM_BROKER__INIT;
	message.what_case = what;
	message.create_log = ref; /* one arm of the union, whichever `what` */
	tell(broker, &message, -1);
}

void supervisor_create_log(
	struct broker *broker, const struct region_record *record, uint64_t first_generation)
{
	Xenvram__Internal__LogRef ref = XENVRAM__INTERNAL__LOG_REF__INIT;
	ref.cookie = record->cookie;
	ref.domid = record->domid;
	ref.nr_pages = record->nr_pages;
	ref.first_generation = first_generation;
	tell_log(broker, XENVRAM__INTERNAL__FROM_BROKER__WHAT_CREATE_LOG, &ref);
}

void supervisor_drop_log(struct broker *broker, uint64_t cookie)
{
	Xenvram__Internal__LogRef ref = XENVRAM__INTERNAL__LOG_REF__INIT;
	ref.cookie = cookie;
	tell_log(broker, XENVRAM__INTERNAL__FROM_BROKER__WHAT_DROP_LOG, &ref);
}

void supervisor_keep(struct broker *broker, Xenvram__Internal__KeptKind kind, uint64_t id,
	const ProtobufCMessage *state, int fd)
{
	uint8_t bytes[MAX_KEPT_BYTES]; /* the states are a few integers each, and a UUID */
	Xenvram__Internal__Kept kept = XENVRAM__INTERNAL__KEPT__INIT;
	FromBroker message = XENVRAM__INTERNAL__FROM_BROKER__INIT;

	if (protobuf_c_message_get_packed_size(state) > sizeof(bytes)) {
		log_error("an object of kind %d is too large to be kept", (int)kind);
		return;
	}
	kept.kind = kind;
	kept.id = id;
	kept.state = (ProtobufCBinaryData){protobuf_c_message_pack(state, bytes), bytes};
	message.what_case = XENVRAM__INTERNAL__FROM_BROKER__WHAT_KEEP;
	message.keep = &kept;
	tell(broker, &message, fd);
}

void supervisor_drop(struct broker *broker, Xenvram__Internal__KeptKind kind, uint64_t id)
{
	Xenvram__Internal__Kept kept = XENVRAM__INTERNAL__KEPT__INIT;
	FromBroker message = XENVRAM__INTERNAL__FROM_BROKER__INIT;
	kept.kind = kind;
	kept.id = id;
	message.what_case = XENVRAM__INTERNAL__FROM_BROKER__WHAT_DROP;
	message.drop = &kept;
	tell(broker, &message, -1);
}

/* ---- what the supervisor says ---- */

static void take_settings(struct broker *broker, const Xenvram__Internal__Settings *packed)
{
	if (packed->settings.len != sizeof(broker->settings)) {
		log_error("the settings have %zu bytes, not %zu: they are of another build",
			packed->settings.len, sizeof(broker->settings));
		return;
	}
	memcpy(&broker->settings, packed->settings.data, sizeof(broker->settings));
	governor_configure(broker);
	admission_review(broker);
}

static void answer_ping(struct broker *broker)
{
	broker->active = false;
	tell_nothing_more(broker, XENVRAM__INTERNAL__FROM_BROKER__WHAT_PONG);
}

static void handle(struct broker *broker, const Xenvram__Internal__ToBroker *message, struct frame *frame)
{
	switch (message->what_case) {
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_START:
		inherit_start(broker, frame);
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_KEPT:
		inherit_kept(broker, message->kept, frame_take_fd(frame, 0));
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_LOG:
		regions_log_arrived(broker, message->log->cookie, frame_take_fd(frame, 0));
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_WORKER:
		regions_worker_arrived(
			broker, message->worker->domid, message->worker->uuid, frame_take_fd(frame, 0));
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_INHERITED_ALL:
		inherit_finish(broker);
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_OPEN_FAILED:
		regions_open_failed(broker, message->open_failed->domid, message->open_failed->failure);
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_LOG_FAILED:
		regions_log_failed(broker, message->log_failed->cookie, message->log_failed->failure);
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_DOMAIN_GONE:
		regions_domain_gone(broker, message->domain_gone->domid, message->domain_gone->uuid);
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_SETTINGS:
		take_settings(broker, message->settings);
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_IDENTIFIED:
		admission_identified(broker, message->identified);
		break;
	case XENVRAM__INTERNAL__TO_BROKER__WHAT_PING:
		answer_ping(broker);
		break;
	default:
		log_error("unknown message %d of the supervisor", (int)message->what_case);
	}
}

static void on_packet(void *owner, struct frame *frame)
{
	Xenvram__Internal__ToBroker *message =
		(Xenvram__Internal__ToBroker *)frame_unpack(frame, &xenvram__internal__to_broker__descriptor);
	if (!message) {
		log_error("a message of the supervisor cannot be read: %s", strerror(errno));
		return;
	}
	handle(owner, message, frame);
	frame_free_message(&message->base);
}

/* Without the supervisor there is nothing to do: whoever starts the next one starts a broker with it. */
static void on_close(void *owner, int error)
{
	struct broker *broker = owner;
	if (error) {
		log_error("the channel to the supervisor failed: %s", strerror(error));
		broker->exit_status = 1;
	}
	event_base_loopbreak(broker->base);
}

int supervisor_link_open(struct broker *broker)
{
	static const struct channel_ops ops = {on_packet, on_close};
	broker->supervisor = channel_new(broker->base, ROLE_CHANNEL_FD, CHANNEL_ROLE, &ops, broker);
	return broker->supervisor ? 0 : -1;
}
