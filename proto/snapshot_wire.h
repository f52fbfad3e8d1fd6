/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The request and the reply that are sent most often by far, Snapshot and SnapshotReply, to and from their bytes
 * without a walk over descriptors, which is most of what such a call costs its two processes. What is in any
 * way unusual is left to protobuf-c; the rest comes out the same, byte for byte and field for field.
 */
#ifndef XENVRAM_PROTO_SNAPSHOT_WIRE_H
#define XENVRAM_PROTO_SNAPSHOT_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* Packs a Request for a snapshot, or a Packet with one, if it takes no more than `size` bytes. 0: left to others. */
size_t snapshot_wire_pack(const ProtobufCMessage *message, uint8_t *bytes, size_t size);

/* The Request or Packet, as `descriptor` says; NULL: left to others. The message is what is allocated first. */
ProtobufCMessage *snapshot_wire_unpack(const ProtobufCMessageDescriptor *descriptor,
	ProtobufCAllocator *allocator, const uint8_t *bytes, size_t n_bytes);

#endif
