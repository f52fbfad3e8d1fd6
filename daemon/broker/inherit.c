/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/inherit.h"

#include <errno.h>
#include <string.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/listening.h"
#include "daemon/broker/move_journal.h"
#include "daemon/broker/pin_journal.h"
#include "daemon/broker/raw_moves.h"
#include "daemon/broker/raw_pins.h"
#include "daemon/broker/region_journal.h"
#include "daemon/broker/regions.h"
#include "daemon/broker/subscription.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/fd.h"
#include "daemon/common/log.h"

/* As region_journal_decode(). */
static int inherit_region(struct broker *broker, const uint8_t *bytes, unsigned int slot)
{
	struct region_record record;
	int n = region_journal_decode(bytes, &record);
	if (n > 0)
		regions_inherit(broker, &record, slot);
	return n;
}

static void reserve_region(struct broker *broker, unsigned int slot)
{
	region_table_reserve(&broker->regions, slot);
}

static int inherit_pin(struct broker *broker, const uint8_t *bytes, unsigned int slot)
{
	struct pin_record record;
	int n = pin_journal_decode(bytes, &record);
	if (n > 0)
		raw_pins_inherit(broker, &record, slot);
	return n;
}

static void reserve_pin(struct broker *broker, unsigned int slot)
{
	pins_reserve(&broker->pins, slot);
}

static int inherit_move(struct broker *broker, const uint8_t *bytes, unsigned int slot)
{
	struct move_record record;
	int n = move_journal_decode(bytes, &record);
	if (n > 0)
		raw_moves_inherit(broker, &record, slot);
	return n;
}

static void reserve_move(struct broker *broker, unsigned int slot)
{
	moves_reserve(&broker->moves, slot);
}

static const struct part {
	const char *name; /* what it has */
	const struct journal_kind *kind;
	int (*inherit)(struct broker *broker, const uint8_t *bytes, unsigned int slot);
	void (*reserve)(struct broker *broker, unsigned int slot);
} parts[] = {
	{"regions", &region_journal, inherit_region, reserve_region},
	{"pins", &pin_journal, inherit_pin, reserve_pin},
	{"moves", &move_journal, inherit_move, reserve_move},
};

/* What cannot be read is left for who can: guest pages may be where it alone says. */
static void inherit_part(struct broker *broker, const struct part *part)
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];

	for (unsigned int slot = 0; slot < part->kind->n_slots; slot++) {
		int n = journal_read(part->kind, broker->journal_fd, slot, bytes);
		if (n > 0)
			n = part->inherit(broker, bytes, slot);
		if (n >= 0)
			continue;
		log_error("slot %u for %s of the journal is passed over: %s", slot, part->name,
			strerror(errno));
		part->reserve(broker, slot);
	}
}

void inherit_start(struct broker *broker, struct frame *frame)
{
	broker->journal_fd = frame_take_fd(frame, 0);
	for (unsigned int i = 1; i < frame->n_fds; i++)
		listening_add(broker, frame_take_fd(frame, i));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		inherit_part(broker, &parts[i]);
}

static void take_id(struct broker *broker, uint64_t id)
{
	if (id > broker->last_id)
		broker->last_id = id;
}

void inherit_kept(struct broker *broker, const Xenvram__Internal__Kept *kept, int fd)
{
	const ProtobufCMessageDescriptor *descriptor =
		kept->kind == XENVRAM__INTERNAL__KEPT_KIND__CONNECTION
			? &xenvram__internal__connection_state__descriptor
			: &xenvram__internal__subscription_state__descriptor;
	ProtobufCMessage *state =
		protobuf_c_message_unpack(descriptor, NULL, kept->state.len, kept->state.data);

	take_id(broker, kept->id);
	if (!state) {
		log_error("an object of the broker before this one cannot be read");
		fd_close(fd);
		supervisor_drop(broker, kept->kind, kept->id);
	} else if (kept->kind == XENVRAM__INTERNAL__KEPT_KIND__CONNECTION) {
		connection_inherit(broker, kept->id, (Xenvram__Internal__ConnectionState *)state, fd);
	} else {
		subscription_inherit(broker, kept->id, (Xenvram__Internal__SubscriptionState *)state, fd);
	}
	protobuf_c_message_free_unpacked(state, NULL);
}

void inherit_finish(struct broker *broker)
{
	broker->serving = true;
	connections_announce_restart(broker);
	listening_start(broker);
	supervisor_ready(broker);
}
