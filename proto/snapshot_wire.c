/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/snapshot_wire.h"

#include <stdbool.h>
#include <string.h>

#include "proto/xenvram.pb-c.h"

#define VARINT 0u
#define BYTES  2u

/* What precedes a field; all that are here have numbers below 16. */
#define TAG(number, type) ((uint8_t)((number) << 3 | (type)))

/* Its tag, and seven bits in each byte. */
#define MAX_FIELD_BYTES 11u

/* A Snapshot's fields are numbered from 1 without a gap: cookie, since, sync, first, nr_pages. */
#define N_REQUEST_FIELDS 5u
/* A serial, a length of one byte, and what it is the length of: below 128. */
#define MAX_REQUEST_BYTES (MAX_FIELD_BYTES + 2 + N_REQUEST_FIELDS * MAX_FIELD_BYTES)
/* As are a SnapshotReply's: generation, nr_pages, dirty_pages, before its bitmap. */
#define N_REPLY_FIELDS 3u

#define REQUEST_SERIAL   TAG(1, VARINT)
#define REQUEST_SNAPSHOT TAG(7, BYTES)
#define PACKET_REPLY     TAG(1, BYTES)
#define REPLY_SERIAL     TAG(1, VARINT)
#define REPLY_SNAPSHOT   TAG(9, BYTES)
#define SNAPSHOT_BITMAP  TAG(4, BYTES)

/* ---- packing ---- */

static size_t varint_bytes(uint64_t value)
{
	unsigned int n_bits = 64 - __builtin_clzll(value | 1);
	return (n_bits * 9 + 64) / 64; /* seven in a byte: exact up to 64 */
}

/* Zero is not sent. */
static size_t field_bytes(uint64_t value)
{
	return value ? 1 + varint_bytes(value) : 0;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = value | 0x80;
	*at++ = value;
	return at;
}

static uint8_t *put_field(uint8_t *at, uint8_t tag, uint64_t value)
{
	if (!value)
		return at;
	*at++ = tag;
	return put_varint(at, value);
}

static uint8_t *put_length(uint8_t *at, uint8_t tag, size_t length)
{
	*at++ = tag;
	return put_varint(at, length);
}

/* Numbered from 1. */
static size_t fields_bytes(const uint64_t *values, unsigned int n)
{
	size_t sum = 0;
	for (unsigned int i = 0; i < n; i++)
		sum += field_bytes(values[i]);
	return sum;
}

static uint8_t *put_fields(uint8_t *at, const uint64_t *values, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		at = put_field(at, TAG(i + 1, VARINT), values[i]);
	return at;
}

/* A message within another, with what says so. */
static size_t part_bytes(size_t length)
{
	return 1 + varint_bytes(length) + length;
}

static size_t pack_request(const Xenvram__V1__Request *request, uint8_t *bytes, size_t size)
{
	if (request->operation_case != XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT || size < MAX_REQUEST_BYTES ||
		request->base.n_unknown_fields > 0 || request->snapshot->base.n_unknown_fields > 0)
		return 0;
	const Xenvram__V1__Snapshot *snapshot = request->snapshot;
	const uint64_t values[N_REQUEST_FIELDS] = {
		snapshot->cookie, snapshot->since, snapshot->sync, snapshot->first, snapshot->nr_pages};

	uint8_t *at = put_field(bytes, REQUEST_SERIAL, request->serial);
	*at++ = REQUEST_SNAPSHOT;
	uint8_t *length = at++;
	uint8_t *end = put_fields(at, values, N_REQUEST_FIELDS);
	*length = end - at;
	return end - bytes;
}

static bool is_plain_reply(const Xenvram__V1__Packet *packet)
{
	if (packet->content_case != XENVRAM__V1__PACKET__CONTENT_REPLY || packet->base.n_unknown_fields > 0)
		return false;
	const Xenvram__V1__Reply *reply = packet->reply;
	return reply->result_case == XENVRAM__V1__REPLY__RESULT_SNAPSHOT &&
	       reply->base.n_unknown_fields == 0 && reply->snapshot->base.n_unknown_fields == 0 &&
	       reply->status == XENVRAM__V1__STATUS__OK && reply->os_error == 0 && !reply->message[0];
}

static size_t pack_reply(const Xenvram__V1__Packet *packet, uint8_t *bytes, size_t size)
{
	if (!is_plain_reply(packet))
		return 0;
	const Xenvram__V1__SnapshotReply *snapshot = packet->reply->snapshot;
	const ProtobufCBinaryData *bitmap = &snapshot->bitmap;
	const uint64_t values[N_REPLY_FIELDS] = {
		snapshot->generation, snapshot->nr_pages, snapshot->dirty_pages};
	size_t length =
		fields_bytes(values, N_REPLY_FIELDS) + (bitmap->len > 0 ? part_bytes(bitmap->len) : 0);
	size_t reply_length = field_bytes(packet->reply->serial) + part_bytes(length);

	if (part_bytes(reply_length) > size)
		return 0;
	uint8_t *at = put_length(bytes, PACKET_REPLY, reply_length);
	at = put_field(at, REPLY_SERIAL, packet->reply->serial);
	at = put_length(at, REPLY_SNAPSHOT, length);
	at = put_fields(at, values, N_REPLY_FIELDS);
	if (bitmap->len > 0) {
		at = put_length(at, SNAPSHOT_BITMAP, bitmap->len);
		memcpy(at, bitmap->data, bitmap->len);
		at += bitmap->len;
	}
	return at - bytes;
}

size_t snapshot_wire_pack(const ProtobufCMessage *message, uint8_t *bytes, size_t size)
{
	if (message->descriptor == &xenvram__v1__request__descriptor)
		return pack_request((const Xenvram__V1__Request *)message, bytes, size);
	if (message->descriptor == &xenvram__v1__packet__descriptor)
		return pack_reply((const Xenvram__V1__Packet *)message, bytes, size);
	return 0;
}

/* ---- unpacking: everything in ascending order, once at most, and nothing else ---- */

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

static bool take_tag(struct cursor *cursor, uint8_t tag)
{
	if (cursor->at == cursor->end || *cursor->at != tag)
		return false;
	cursor->at++;
	return true;
}

/* False: it is cut off, or has more than 64 bits. */
static bool take_varint(struct cursor *cursor, uint64_t *ret_value)
{
	const uint8_t *at = cursor->at;
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64 && at < cursor->end; shift += 7) {
		uint64_t byte = *at++;
		value |= (byte & 0x7f) << shift;
		if (byte < 0x80) {
			cursor->at = at;
			*ret_value = value;
			return shift < 63 || byte <= 1;
		}
	}
	return false;
}

/* Those of n fields, numbered from 1, that are there. */
static bool take_fields(struct cursor *cursor, uint64_t *values, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		values[i] = 0;
		if (take_tag(cursor, TAG(i + 1, VARINT)) && !take_varint(cursor, &values[i]))
			return false;
	}
	return true;
}

/* What comes up to the end, and says so in no more bytes than it takes: not all that can be longer is allowed. */
static bool take_rest(struct cursor *cursor, uint8_t tag)
{
	const uint8_t *begin = cursor->at;
	uint64_t length;

	return take_tag(cursor, tag) && take_varint(cursor, &length) &&
	       length == (uint64_t)(cursor->end - cursor->at) &&
	       (size_t)(cursor->at - begin) == 1 + varint_bytes(length);
}

static void *allocate(ProtobufCAllocator *allocator, size_t size)
{
	return allocator->alloc(allocator->allocator_data, size);
}

static ProtobufCMessage *unpack_request(struct cursor cursor, ProtobufCAllocator *allocator)
{
	uint64_t serial, values[N_REQUEST_FIELDS];

	if (!take_fields(&cursor, &serial, 1) || !take_rest(&cursor, REQUEST_SNAPSHOT) ||
		!take_fields(&cursor, values, N_REQUEST_FIELDS) || cursor.at != cursor.end || values[2] > 1)
		return NULL;
	Xenvram__V1__Request *request = allocate(allocator, sizeof(*request));
	Xenvram__V1__Snapshot *snapshot = allocate(allocator, sizeof(*snapshot));
	if (!request || !snapshot)
		return NULL;
	xenvram__v1__request__init(request);
	xenvram__v1__snapshot__init(snapshot);
	request->serial = serial;
	request->operation_case = XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT;
	request->snapshot = snapshot;
	snapshot->cookie = values[0];
	snapshot->since = values[1];
	snapshot->sync = values[2];
	snapshot->first = values[3];
	snapshot->nr_pages = values[4];
	return &request->base;
}

static ProtobufCMessage *unpack_reply(struct cursor cursor, ProtobufCAllocator *allocator)
{
	uint64_t serial, values[N_REPLY_FIELDS];

	if (!take_rest(&cursor, PACKET_REPLY) || !take_fields(&cursor, &serial, 1) ||
		!take_rest(&cursor, REPLY_SNAPSHOT) || !take_fields(&cursor, values, N_REPLY_FIELDS))
		return NULL;
	if (cursor.at != cursor.end && !take_rest(&cursor, SNAPSHOT_BITMAP))
		return NULL;
	size_t n_bytes = cursor.end - cursor.at;
	Xenvram__V1__Packet *packet = allocate(allocator, sizeof(*packet));
	Xenvram__V1__Reply *reply = allocate(allocator, sizeof(*reply));
	Xenvram__V1__SnapshotReply *snapshot = allocate(allocator, sizeof(*snapshot));
	uint8_t *bitmap = n_bytes > 0 ? allocate(allocator, n_bytes) : NULL;
	if (!packet || !reply || !snapshot || (n_bytes > 0 && !bitmap))
		return NULL;
	xenvram__v1__packet__init(packet);
	xenvram__v1__reply__init(reply);
	xenvram__v1__snapshot_reply__init(snapshot);
	packet->content_case = XENVRAM__V1__PACKET__CONTENT_REPLY;
	packet->reply = reply;
	reply->serial = serial;
	reply->result_case = XENVRAM__V1__REPLY__RESULT_SNAPSHOT;
	reply->snapshot = snapshot;
	snapshot->generation = values[0];
	snapshot->nr_pages = values[1];
	snapshot->dirty_pages = values[2];
	if (n_bytes > 0)
		memcpy(bitmap, cursor.at, n_bytes);
	snapshot->bitmap = (ProtobufCBinaryData){n_bytes, bitmap};
	return &packet->base;
}

ProtobufCMessage *snapshot_wire_unpack(const ProtobufCMessageDescriptor *descriptor,
	ProtobufCAllocator *allocator, const uint8_t *bytes, size_t n_bytes)
{
	const struct cursor cursor = {bytes, bytes + n_bytes};

	if (descriptor == &xenvram__v1__request__descriptor)
		return unpack_request(cursor, allocator);
	if (descriptor == &xenvram__v1__packet__descriptor)
		return unpack_reply(cursor, allocator);
	return NULL;
}
