/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The short way of snapshots must say and understand what protobuf-c does, or leave it alone. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/snapshot_wire.h"
#include "proto/xenvram.pb-c.h"

#define N_RANDOM 20000u

typedef Xenvram__V1__Request Request;
typedef Xenvram__V1__Packet Packet;

static void *allocate(void *data, size_t size)
{
	(void)data;
	return malloc(size);
}

static void release(void *data, void *pointer)
{
	(void)data;
	free(pointer);
}

static ProtobufCAllocator plain = {allocate, release, NULL};

/* Says the same as protobuf-c, and nothing where there is too little room. */
static size_t assert_packs(const ProtobufCMessage *message, uint8_t *ret_bytes)
{
	static uint8_t expected[MAX_MESSAGE_BYTES];
	size_t n = protobuf_c_message_pack(message, expected);

	assert_int_equal(snapshot_wire_pack(message, ret_bytes, MAX_MESSAGE_BYTES), n);
	assert_memory_equal(ret_bytes, expected, n);
	assert_int_equal(snapshot_wire_pack(message, ret_bytes, n - 1), 0);
	return n;
}

/*
 * What is understood is what protobuf-c understands, to the last field: whatever that is, packed again it is
 * the same bytes. Returns whether it was understood.
 */
static bool understands(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t n)
{
	static uint8_t ours[2 * MAX_MESSAGE_BYTES], theirs[2 * MAX_MESSAGE_BYTES];
	uint8_t *exact = malloc(n ? n : 1); /* for AddressSanitizer */
	memcpy(exact, bytes, n);
	ProtobufCMessage *message = snapshot_wire_unpack(descriptor, &plain, exact, n);
	free(exact);
	if (!message)
		return false;
	ProtobufCMessage *reference = protobuf_c_message_unpack(descriptor, NULL, n, bytes);
	assert_non_null(reference);
	assert_ptr_equal(message->descriptor, descriptor);
	size_t n_ours = protobuf_c_message_pack(message, ours);
	assert_int_equal(n_ours, protobuf_c_message_pack(reference, theirs));
	assert_memory_equal(ours, theirs, n_ours);
	protobuf_c_message_free_unpacked(message, &plain);
	protobuf_c_message_free_unpacked(reference, NULL);
	return true;
}

/* Of every length, 0 often. */
static uint64_t any_value(uint64_t *random)
{
	unsigned int shift = next_random(random) % 80;
	return shift > 63 ? 0 : next_random(random) >> shift;
}

struct asked {
	Request request;
	Xenvram__V1__Snapshot snapshot;
};

static void make_request(struct asked *asked, uint64_t *random)
{
	xenvram__v1__request__init(&asked->request);
	xenvram__v1__snapshot__init(&asked->snapshot);
	asked->request.serial = any_value(random);
	asked->request.operation_case = XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT;
	asked->request.snapshot = &asked->snapshot;
	asked->snapshot.cookie = any_value(random);
	asked->snapshot.since = any_value(random);
	asked->snapshot.sync = next_random(random) & 1;
	asked->snapshot.first = any_value(random);
	asked->snapshot.nr_pages = any_value(random);
}

struct answered {
	Packet packet;
	Xenvram__V1__Reply reply;
	Xenvram__V1__SnapshotReply snapshot;
};

static void make_reply(struct answered *answered, uint64_t *random, size_t bitmap_bytes)
{
	static uint8_t bitmap[MAX_REGION_PAGES / 8];

	for (size_t i = 0; i < bitmap_bytes && i < 64; i++)
		bitmap[i] = next_random(random);
	xenvram__v1__packet__init(&answered->packet);
	xenvram__v1__reply__init(&answered->reply);
	xenvram__v1__snapshot_reply__init(&answered->snapshot);
	answered->packet.content_case = XENVRAM__V1__PACKET__CONTENT_REPLY;
	answered->packet.reply = &answered->reply;
	answered->reply.serial = any_value(random);
	answered->reply.result_case = XENVRAM__V1__REPLY__RESULT_SNAPSHOT;
	answered->reply.snapshot = &answered->snapshot;
	answered->snapshot.generation = any_value(random);
	answered->snapshot.nr_pages = any_value(random);
	answered->snapshot.dirty_pages = any_value(random);
	answered->snapshot.bitmap = (ProtobufCBinaryData){bitmap_bytes, bitmap};
}

static void requests_are_protobuf(void **state)
{
	uint64_t random = 0x5eed;
	uint8_t bytes[128];
	(void)state;
	for (unsigned int i = 0; i < N_RANDOM; i++) {
		struct asked asked;
		make_request(&asked, &random);
		size_t n = assert_packs(&asked.request.base, bytes);
		assert_true(understands(&xenvram__v1__request__descriptor, bytes, n));
	}
}

static void replies_are_protobuf(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 100, 127, 128, 512, 2048, 16383, 16384, MAX_REGION_PAGES / 8};
	static uint8_t bytes[MAX_MESSAGE_BYTES];
	uint64_t random = 0x5eed;
	(void)state;
	for (unsigned int i = 0; i < N_RANDOM; i++) {
		struct answered answered;
		size_t which = next_random(&random) % (i % 16 ? 7 : sizeof(sizes) / sizeof(sizes[0]));
		make_reply(&answered, &random, sizes[which]);
		size_t n = assert_packs(&answered.packet.base, bytes);
		assert_true(understands(&xenvram__v1__packet__descriptor, bytes, n));
	}
}

/* Spoilt in every byte and cut off everywhere: what it makes of that, protobuf-c does, too. */
static void what_is_spoilt_is_not_misunderstood(void **state)
{
	uint64_t random = 0x5eed;
	uint8_t bytes[256];
	unsigned int n_understood = 0;
	(void)state;
	for (unsigned int i = 0; i < 400; i++) {
		struct asked asked;
		struct answered answered;
		make_request(&asked, &random);
		make_reply(&answered, &random, i % 20);
		const ProtobufCMessage *message = i % 2 ? &asked.request.base : &answered.packet.base;
		size_t n = protobuf_c_message_pack(message, bytes);
		for (size_t end = 0; end < n; end++)
			assert_false(understands(message->descriptor, bytes, end));
		for (size_t at = 0; at < n; at++) {
			uint8_t was = bytes[at];
			bytes[at] = next_random(&random);
			if (i % 4 < 2)
				bytes[at] = was ^ 1 << bytes[at] % 8;
			n_understood += understands(message->descriptor, bytes, n);
			bytes[at] = was;
		}
		bytes[n] = 0;
		assert_false(understands(message->descriptor, bytes, n + 1));
	}
	assert_true(n_understood > 1000); /* other values, mostly */
}

static void assert_left_request(const uint8_t *bytes, size_t n)
{
	assert_false(understands(&xenvram__v1__request__descriptor, bytes, n));
}

#define LEFT_REQUEST(...) assert_left_request((uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void the_unusual_is_left_to_others(void **state)
{
	(void)state;
	LEFT_REQUEST(0x08, 1);                            /* no operation */
	LEFT_REQUEST(0x08, 1, 0x32, 0);                   /* another one */
	LEFT_REQUEST(0x3a, 2, 0x08, 5, 0x08, 1);          /* the serial last */
	LEFT_REQUEST(0x08, 1, 0x3a, 4, 0x10, 1, 0x08, 5); /* fields in descending order */
	LEFT_REQUEST(0x08, 1, 0x3a, 4, 0x08, 5, 0x08, 6); /* twice the same */
	LEFT_REQUEST(0x08, 1, 0x3a, 2, 0x18, 2);          /* a bool that is 2 */
	LEFT_REQUEST(0x08, 1, 0x3a, 4, 0x08, 5, 0x30, 1); /* a field of later versions */
	LEFT_REQUEST(0x08, 1, 0x3a, 3, 0x08, 5);          /* longer than it is */
	LEFT_REQUEST(0x08, 1, 0x3a, 1, 0x08, 5);          /* and shorter */
	LEFT_REQUEST(0x08, 1, 0x3a, 0x82, 0, 0x08, 5);    /* a length in more bytes than it takes */
	LEFT_REQUEST(0x08, 8, 0x3a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0); /* which protobuf-c refuses */
	LEFT_REQUEST(0x08, 1, 0x3a, 2, 0x08, 0x85);                         /* cut off */
	LEFT_REQUEST(0x08, 1, 0x3a, 11, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2);
	LEFT_REQUEST(0x08, 1, 0x3a, 12, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0);
	assert_left_request((const uint8_t *)"", 0);
	assert_false(understands(&xenvram__v1__snapshot__descriptor, (const uint8_t[]){0x08, 1}, 2));
}

static void replies_with_more_are_left_to_others(void **state)
{
	uint64_t random = 0x5eed;
	uint8_t bytes[256];
	struct answered answered;
	ProtobufCMessageUnknownField unknown = {0};
	(void)state;

	make_reply(&answered, &random, 10);
	assert_true(snapshot_wire_pack(&answered.packet.base, bytes, sizeof(bytes)) > 0);
	answered.reply.message = (char *)"but";
	assert_int_equal(snapshot_wire_pack(&answered.packet.base, bytes, sizeof(bytes)), 0);
	make_reply(&answered, &random, 10);
	answered.reply.status = XENVRAM__V1__STATUS__RETRY;
	assert_int_equal(snapshot_wire_pack(&answered.packet.base, bytes, sizeof(bytes)), 0);
	make_reply(&answered, &random, 10);
	answered.reply.os_error = 1;
	assert_int_equal(snapshot_wire_pack(&answered.packet.base, bytes, sizeof(bytes)), 0);
	make_reply(&answered, &random, 10);
	answered.snapshot.base.n_unknown_fields = 1;
	answered.snapshot.base.unknown_fields = &unknown;
	assert_int_equal(snapshot_wire_pack(&answered.packet.base, bytes, sizeof(bytes)), 0);
	assert_int_equal(snapshot_wire_pack(&answered.snapshot.base, bytes, sizeof(bytes)), 0);
}

/* As in a frame, where everything goes together in the end. */
struct store {
	unsigned int n_left; /* how often there is memory yet */
	size_t n_used;
	_Alignas(max_align_t) uint8_t bytes[1024];
};

static void *allocate_from_store(void *data, size_t size)
{
	struct store *store = data;
	if (store->n_left == 0)
		return NULL;
	store->n_left--;
	void *memory = store->bytes + store->n_used;
	store->n_used += (size + 15) & ~(size_t)15;
	return memory;
}

static void without_memory_nothing_is_understood(void **state)
{
	uint64_t random = 0x5eed;
	uint8_t bytes[256];
	struct answered answered;
	(void)state;
	make_reply(&answered, &random, 10);
	size_t n = protobuf_c_message_pack(&answered.packet.base, bytes);
	for (unsigned int n_left = 0; n_left <= 4; n_left++) {
		struct store store = {.n_left = n_left};
		ProtobufCAllocator allocator = {allocate_from_store, NULL, &store};
		ProtobufCMessage *message =
			snapshot_wire_unpack(&xenvram__v1__packet__descriptor, &allocator, bytes, n);
		assert_ptr_equal(message, n_left == 4 ? store.bytes : NULL); /* the packet comes first */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_protobuf),
		cmocka_unit_test(replies_are_protobuf),
		cmocka_unit_test(what_is_spoilt_is_not_misunderstood),
		cmocka_unit_test(the_unusual_is_left_to_others),
		cmocka_unit_test(replies_with_more_are_left_to_others),
		cmocka_unit_test(without_memory_nothing_is_understood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
