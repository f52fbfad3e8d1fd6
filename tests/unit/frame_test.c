/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "proto/frame.h"
#include "proto/xenvram.pb-c.h"
#include "tests/unit/raw_packet.h"

/* One more than a frame takes. */
#define SURPLUS_FDS (MAX_MESSAGE_FDS + 1)

struct link {
	int ours, theirs;
	unsigned int n_open; /* with both ends open */
};

static struct frame frame;

static int open_link(void **state)
{
	static struct link link;
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	link = (struct link){.ours = pair[0], .theirs = pair[1]};
	link.n_open = count_open_fds();
	*state = &link;
	return 0;
}

static int close_link(void **state)
{
	struct link *link = *state;
	close(link->ours);
	if (link->theirs >= 0)
		close(link->theirs);
	return 0;
}

static bool is_same_file(int a, int b)
{
	struct stat st_a, st_b;
	assert_int_equal(fstat(a, &st_a), 0);
	assert_int_equal(fstat(b, &st_b), 0);
	return st_a.st_ino == st_b.st_ino && st_a.st_dev == st_b.st_dev;
}

static void test_packets_keep_their_bounds(void **state)
{
	struct link *link = *state;
	assert_int_equal(frame_send(link->theirs, "one", 3, NULL, 0), 0);
	assert_int_equal(frame_send(link->theirs, "second", 6, NULL, 0), 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
	assert_int_equal(frame.n_bytes, 3);
	assert_memory_equal(frame.bytes, "one", 3);
	assert_int_equal(frame.n_fds, 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
	assert_int_equal(frame.n_bytes, 6);
	assert_memory_equal(frame.bytes, "second", 6);
}

static void test_nothing_there(void **state)
{
	struct link *link = *state;
	assert_fails(frame_recv(link->ours, &frame), EAGAIN);
	assert_fails(frame_recv(-1, &frame), EBADF);
}

static void test_peer_closed(void **state)
{
	struct link *link = *state;
	close(link->theirs);
	link->theirs = -1;
	assert_int_equal(frame_recv(link->ours, &frame), 0);
	assert_fails(frame_send(link->ours, "x", 1, NULL, 0), EPIPE);
}

static void test_descriptors(void **state)
{
	struct link *link = *state;
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	const int fds[MAX_MESSAGE_FDS] = {pipe_fds[0], pipe_fds[1], link->theirs, pipe_fds[0]};

	assert_int_equal(frame_send(link->theirs, "x", 1, fds, MAX_MESSAGE_FDS), 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
	assert_int_equal(frame.n_fds, MAX_MESSAGE_FDS);
	for (unsigned int i = 0; i < MAX_MESSAGE_FDS; i++) {
		assert_true(is_same_file(frame.fds[i], fds[i]));
		assert_int_not_equal(frame.fds[i], fds[i]);
		assert_true(fcntl(frame.fds[i], F_GETFD) & FD_CLOEXEC);
	}
	assert_int_equal(frame_take_fd(&frame, MAX_MESSAGE_FDS), -1);
	int taken = frame_take_fd(&frame, 1);
	assert_true(is_same_file(taken, pipe_fds[1]));
	assert_int_equal(frame_take_fd(&frame, 1), -1);

	frame_close_fds(&frame);
	assert_int_equal(frame.n_fds, 0);
	assert_true(fd_is_open(taken));
	assert_true(fd_is_open(pipe_fds[0]));
	close(taken);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	assert_int_equal(count_open_fds(), link->n_open);
	frame_close_fds(&frame); /* again: nothing */
}

static void test_sender(void **state)
{
	struct link *link = *state;
	static const int on = 1;
	const int fds[MAX_MESSAGE_FDS] = {link->theirs, link->theirs, link->theirs, link->theirs};

	frame.has_sender = true;
	assert_int_equal(frame_send(link->theirs, "x", 1, NULL, 0), 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
	assert_false(frame.has_sender);

	assert_int_equal(setsockopt(link->ours, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	assert_int_equal(frame_send(link->theirs, "x", 1, fds, MAX_MESSAGE_FDS), 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
	assert_true(frame.has_sender);
	assert_int_equal(frame.sender_uid, getuid());
	assert_int_equal(frame.sender_gid, getgid());
	assert_int_equal(frame.sender_pid, getpid());
	assert_int_equal(frame.n_fds, MAX_MESSAGE_FDS);
	frame_close_fds(&frame);

	raw_packet_send(link->theirs, 1, SURPLUS_FDS);
	assert_fails(frame_recv(link->ours, &frame), EBADMSG);
	assert_int_equal(count_open_fds(), link->n_open);
}

static void test_longest_packet(void **state)
{
	struct link *link = *state;
	static uint8_t bytes[MAX_MESSAGE_BYTES + 1];
	memset(bytes, 0x5a, sizeof(bytes));

	assert_int_equal(frame_send(link->theirs, bytes, MAX_MESSAGE_BYTES, NULL, 0), 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
	assert_int_equal(frame.n_bytes, MAX_MESSAGE_BYTES);
	assert_memory_equal(frame.bytes, bytes, MAX_MESSAGE_BYTES);

	assert_fails(frame_send(link->theirs, bytes, MAX_MESSAGE_BYTES + 1, NULL, 0), EMSGSIZE);
	assert_fails(frame_recv(link->ours, &frame), EAGAIN);
}

static void test_truncated_packet(void **state)
{
	struct link *link = *state;
	raw_packet_send(link->theirs, MAX_MESSAGE_BYTES + 1, 0);
	assert_fails(frame_recv(link->ours, &frame), EMSGSIZE);
	raw_packet_send(link->theirs, MAX_MESSAGE_BYTES + 1, 2);
	assert_fails(frame_recv(link->ours, &frame), EMSGSIZE);
	assert_int_equal(frame.n_fds, 0);
	assert_int_equal(count_open_fds(), link->n_open);
}

static void test_too_many_descriptors(void **state)
{
	struct link *link = *state;
	const int fds[SURPLUS_FDS] = {0};

	assert_fails(frame_send(link->theirs, "x", 1, fds, SURPLUS_FDS), EMSGSIZE);
	assert_fails(frame_recv(link->ours, &frame), EAGAIN);
	raw_packet_send(link->theirs, 1, SURPLUS_FDS);
	assert_fails(frame_recv(link->ours, &frame), EBADMSG);
	assert_int_equal(frame.n_fds, 0);
	assert_int_equal(count_open_fds(), link->n_open);

	/* The stream is intact behind it. */
	assert_int_equal(frame_send(link->theirs, "x", 1, NULL, 0), 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
}

/* Of what comes for a full table nothing is kept, and it is not taken for too much. */
static void test_no_room_for_descriptors(void **state)
{
	struct link *link = *state;
	static const int on = 1;
	const int fds[3] = {link->theirs, link->theirs, link->theirs};

	for (int with_sender = 0; with_sender < 2; with_sender++) {
		for (unsigned int room = 0; room < 3; room++) {
			assert_int_equal(frame_send(link->theirs, "abc", 3, fds, 3), 0);
			struct rlimit before = leave_room_for_fds(room);
			int rc = frame_recv(link->ours, &frame);
			int error = errno;
			restore_fd_limit(&before);
			assert_int_equal(rc, -1);
			assert_int_equal(error, EMFILE);
			assert_true(frame.fds_lost);
			assert_int_equal(frame.n_fds, 0);
			assert_int_equal(frame.n_bytes, 3);
			assert_memory_equal(frame.bytes, "abc", 3);
			assert_int_equal(count_open_fds(), link->n_open);
		}
		assert_int_equal(frame_send(link->theirs, "x", 1, fds, 3), 0);
		assert_int_equal(frame_recv(link->ours, &frame), 1);
		assert_false(frame.fds_lost);
		frame_close_fds(&frame);
		assert_int_equal(setsockopt(link->ours, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	}
}

static void test_empty_packet(void **state)
{
	struct link *link = *state;
	raw_packet_send(link->theirs, 0, 0);
	assert_int_equal(frame_recv(link->ours, &frame), 0);
	raw_packet_send(link->theirs, 0, 3);
	assert_int_equal(frame_recv(link->ours, &frame), 0);
	assert_int_equal(frame.n_fds, 0);
	assert_int_equal(count_open_fds(), link->n_open);
}

static void test_waiting_takes_bytes_alone(void **state)
{
	struct link *link = *state;
	static const struct timeval soon = {.tv_usec = 1000};
	const int fds[2] = {link->theirs, link->theirs};

	frame.n_fds = 1;
	frame.has_sender = true;
	assert_int_equal(frame_send(link->theirs, "one", 3, fds, 2), 0);
	assert_int_equal(frame_recv_wait(link->ours, &frame), 1);
	assert_int_equal(frame.n_bytes, 3);
	assert_memory_equal(frame.bytes, "one", 3);
	assert_int_equal(frame.n_fds, 0);
	assert_false(frame.has_sender);
	assert_int_equal(count_open_fds(), link->n_open);

	raw_packet_send(link->theirs, MAX_MESSAGE_BYTES, 0);
	assert_int_equal(frame_recv_wait(link->ours, &frame), 1);
	assert_int_equal(frame.n_bytes, MAX_MESSAGE_BYTES);
	raw_packet_send(link->theirs, MAX_MESSAGE_BYTES + 1, 2);
	assert_fails(frame_recv_wait(link->ours, &frame), EMSGSIZE);

	assert_int_equal(setsockopt(link->ours, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
	assert_fails(frame_recv_wait(link->ours, &frame), EAGAIN);
	close(link->theirs);
	link->theirs = -1;
	assert_int_equal(frame_recv_wait(link->ours, &frame), 0);
}

static void test_full_socket(void **state)
{
	struct link *link = *state;
	static const uint8_t bytes[4096];
	unsigned int n_sent = 0;

	assert_int_equal(fcntl(link->theirs, F_SETFL, O_NONBLOCK), 0);
	while (frame_send(link->theirs, bytes, sizeof(bytes), NULL, 0) == 0)
		assert_true(++n_sent < 100000);
	assert_int_equal(errno, EAGAIN);
	for (unsigned int i = 0; i < n_sent; i++)
		assert_int_equal(frame_recv(link->ours, &frame), 1);
	assert_fails(frame_recv(link->ours, &frame), EAGAIN);
}

static void test_message(void **state)
{
	struct link *link = *state;
	Xenvram__V1__Hello hello = XENVRAM__V1__HELLO__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;
	char name[] = "a client";
	hello.client = name;
	request.serial = UINT64_MAX;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_HELLO;
	request.hello = &hello;

	assert_int_equal(frame_send_message(link->theirs, &request.base, NULL, 0), 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
	Xenvram__V1__Request *received =
		(Xenvram__V1__Request *)frame_unpack(&frame, &xenvram__v1__request__descriptor);
	assert_non_null(received);
	assert_true(received->serial == UINT64_MAX);
	assert_int_equal(received->operation_case, XENVRAM__V1__REQUEST__OPERATION_HELLO);
	assert_string_equal(received->hello->client, "a client");
	frame_free_message(&received->base);
	frame_free_message(NULL);
}

static void test_message_too_large(void **state)
{
	struct link *link = *state;
	static uint8_t bitmap[MAX_MESSAGE_BYTES];
	Xenvram__V1__SnapshotReply snapshot = XENVRAM__V1__SNAPSHOT_REPLY__INIT;
	snapshot.bitmap = (ProtobufCBinaryData){sizeof(bitmap), bitmap};
	assert_fails(frame_send_message(link->theirs, &snapshot.base, NULL, 0), EMSGSIZE);
	assert_fails(frame_recv(link->ours, &frame), EAGAIN);
}

static void assert_not_unpacked(const uint8_t *bytes, size_t n_bytes, int error)
{
	memcpy(frame.bytes, bytes, n_bytes);
	frame.n_bytes = n_bytes;
	assert_null_with(frame_unpack(&frame, &xenvram__v1__packet__descriptor), error);
}

static void test_no_message(void **state)
{
	(void)state;
	static const uint8_t cut_short[] = {1 << 3 | 2, 5, 0};
	static const uint8_t no_tag[] = {0};
	static const uint8_t endless[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	assert_not_unpacked(cut_short, sizeof(cut_short), EPROTO);
	assert_not_unpacked(no_tag, sizeof(no_tag), EPROTO);
	assert_not_unpacked(endless, sizeof(endless), EPROTO);
}

static uint8_t *put_varint(uint8_t *at, uint32_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = value | 0x80;
	*at++ = value;
	return at;
}

/* A field of `length` bytes, which follow. */
static uint8_t *put_field(uint8_t *at, unsigned int field, uint32_t length)
{
	return put_varint(put_varint(at, field << 3 | 2), length);
}

/* Two bytes on the wire for each entry of a list, a hundred and more in memory. */
static void test_list_that_balloons(void **state)
{
	(void)state;
	enum { ENTRIES = 30000 };
	static uint8_t bytes[MAX_MESSAGE_BYTES];
	uint8_t *at = bytes;
	at = put_field(at, 1, 2 * ENTRIES + 4); /* Packet.reply; 4 is the length of the next line's */
	at = put_field(at, 7, 2 * ENTRIES);     /* Reply.list_regions */
	for (unsigned int i = 0; i < ENTRIES; i++)
		at = put_field(at, 1, 0);
	assert_not_unpacked(bytes, at - bytes, ENOMEM);
}

/* Unknown fields are kept, each with a descriptor of its own. */
static void test_unknown_fields_that_balloon(void **state)
{
	(void)state;
	static uint8_t bytes[MAX_MESSAGE_BYTES];
	uint8_t *at = bytes;
	while (at < bytes + sizeof(bytes) - 2)
		at = put_field(at, 15, 0);
	assert_not_unpacked(bytes, at - bytes, ENOMEM);
}

/* The longest honest answer is within every bound. */
static void test_full_list_passes(void **state)
{
	struct link *link = *state;
	static Xenvram__V1__RegionInfo infos[MAX_LISTED];
	static Xenvram__V1__RegionInfo *regions[MAX_LISTED];
	char uuid[UUID_BYTES];
	Xenvram__V1__ListRegionsReply list = XENVRAM__V1__LIST_REGIONS_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	Xenvram__V1__Packet packet = XENVRAM__V1__PACKET__INIT;

	memset(uuid, 'u', sizeof(uuid));
	uuid[UUID_BYTES - 1] = '\0';
	for (unsigned int i = 0; i < MAX_LISTED; i++) {
		Xenvram__V1__RegionInfo info = XENVRAM__V1__REGION_INFO__INIT;
		info.cookie = info.generation = info.polls = info.dirty_pages = UINT64_MAX;
		info.vram_gfn = info.backing_gfn = MAX_GFN - 1;
		info.nr_pages = MAX_REGION_PAGES;
		info.domid = info.owner_uid = info.subscriptions = info.period_us = UINT32_MAX;
		info.pinned = true;
		info.cache_attr = XENVRAM__V1__CACHE_ATTR__WP;
		info.state = XENVRAM__V1__REGION_STATE__GONE;
		info.domain_uuid = uuid;
		infos[i] = info;
		regions[i] = &infos[i];
	}
	list.n_regions = MAX_LISTED;
	list.regions = regions;
	reply.serial = UINT64_MAX;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_LIST_REGIONS;
	reply.list_regions = &list;
	packet.content_case = XENVRAM__V1__PACKET__CONTENT_REPLY;
	packet.reply = &reply;
	assert_int_equal(frame_send_message(link->theirs, &packet.base, NULL, 0), 0);
	assert_int_equal(frame_recv(link->ours, &frame), 1);
	Xenvram__V1__Packet *received =
		(Xenvram__V1__Packet *)frame_unpack(&frame, &xenvram__v1__packet__descriptor);
	assert_non_null(received);
	assert_int_equal(received->reply->list_regions->n_regions, MAX_LISTED);
	frame_free_message(&received->base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_packets_keep_their_bounds, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_nothing_there, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_peer_closed, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_descriptors, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_sender, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_longest_packet, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_truncated_packet, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_too_many_descriptors, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_no_room_for_descriptors, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_empty_packet, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_waiting_takes_bytes_alone, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_full_socket, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_message, open_link, close_link),
		cmocka_unit_test_setup_teardown(test_message_too_large, open_link, close_link),
		cmocka_unit_test(test_no_message),
		cmocka_unit_test(test_list_that_balloons),
		cmocka_unit_test(test_unknown_fields_that_balloon),
		cmocka_unit_test_setup_teardown(test_full_list_passes, open_link, close_link),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
