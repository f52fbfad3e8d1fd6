/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What frames make of a packet must be what protobuf-c makes of it, field for field and byte for byte. */
#ifndef XENVRAM_TESTS_FUZZ_COMPARE_H
#define XENVRAM_TESTS_FUZZ_COMPARE_H

#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"

/* Packing looks at every field. What was unpacked may take up to twice as much again. */
static inline size_t pack_by_protobuf(const ProtobufCMessage *message, uint8_t bytes[2 * MAX_MESSAGE_BYTES])
{
	size_t n_bytes = protobuf_c_message_get_packed_size(message);
	if (n_bytes > 2 * MAX_MESSAGE_BYTES || protobuf_c_message_pack(message, bytes) != n_bytes)
		abort();
	return n_bytes;
}

static inline void compare_with_protobuf(const struct frame *frame, const ProtobufCMessage *message)
{
	static uint8_t ours[2 * MAX_MESSAGE_BYTES], theirs[2 * MAX_MESSAGE_BYTES];
	ProtobufCMessage *reference =
		protobuf_c_message_unpack(message->descriptor, NULL, frame->n_bytes, frame->bytes);
	size_t n_ours = pack_by_protobuf(message, ours), n_packed;

	if (!reference || pack_by_protobuf(reference, theirs) != n_ours || memcmp(ours, theirs, n_ours) != 0)
		abort();
	protobuf_c_message_free_unpacked(reference, NULL);
	if ((frame_pack(message, ours, &n_packed) == 0) != (n_ours <= MAX_MESSAGE_BYTES))
		abort();
	if (n_ours <= MAX_MESSAGE_BYTES && (n_packed != n_ours || memcmp(ours, theirs, n_ours) != 0))
		abort();
}

#endif
