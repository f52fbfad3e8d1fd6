/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/common/channel.h"
#include "proto/xenvram.pb-c.h"
#include "tests/unit/raw_packet.h"

#define MAX_PACKETS 256u

/* What the owner of the channel saw, and what it is to do in its callbacks. */
static struct {
	struct event_base *base;
	struct channel *channel;
	int theirs; /* the other end, without a channel; -1: closed */
	unsigned int n_open;
	uint64_t serials[MAX_PACKETS];
	unsigned int n_packets;
	unsigned int n_closed;
	int close_error;
	bool sending; /* inside channel_send */
	unsigned int hold_after;
	unsigned int free_after;
	unsigned int close_after;
	bool take_fd;
	int taken;
	unsigned int n_lost; /* packets whose descriptors were */
} t;

static void on_packet(void *owner, struct frame *frame)
{
	assert_ptr_equal(owner, &t);
	Xenvram__V1__Request *request =
		(Xenvram__V1__Request *)frame_unpack(frame, &xenvram__v1__request__descriptor);
	assert_non_null(request);
	assert_true(t.n_packets < MAX_PACKETS);
	t.serials[t.n_packets++] = request->serial;
	frame_free_message(&request->base);
	t.n_lost += frame->fds_lost;
	if (t.take_fd)
		t.taken = frame_take_fd(frame, 0);
	if (t.n_packets == t.hold_after)
		channel_hold(t.channel, true);
	if (t.n_packets == t.close_after)
		channel_close(t.channel, EPROTO);
	if (t.n_packets == t.free_after)
		t.channel = channel_free(t.channel);
}

static void on_close(void *owner, int error)
{
	assert_ptr_equal(owner, &t);
	assert_false(t.sending);
	t.n_closed++;
	t.close_error = error;
	t.channel = channel_free(t.channel);
}

static const struct channel_ops ops = {on_packet, on_close};

static int open_channel(enum channel_kind kind)
{
	int pair[2];
	memset(&t, 0, sizeof(t));
	t.n_open = count_open_fds();
	t.base = event_base_new();
	if (!t.base || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	t.theirs = pair[1];
	t.taken = -1;
	t.channel = channel_new(t.base, pair[0], kind, &ops, &t);
	return t.channel ? 0 : -1;
}

static int open_role(void **state)
{
	(void)state;
	return open_channel(CHANNEL_ROLE);
}

static int open_client(void **state)
{
	(void)state;
	return open_channel(CHANNEL_CLIENT);
}

/* Whatever was queued or on its way: nothing is left open. */
static int close_channel(void **state)
{
	(void)state;
	channel_free(t.channel);
	event_base_free(t.base);
	if (t.theirs >= 0)
		close(t.theirs);
	if (t.taken >= 0)
		close(t.taken);
	assert_int_equal(count_open_fds(), t.n_open);
	return 0;
}

static void run_loop(void)
{
	for (unsigned int i = 0; i < 20; i++)
		event_base_loop(t.base, EVLOOP_NONBLOCK);
}

static void send_sized(uint64_t serial, size_t padding, const int *fds, unsigned int n_fds)
{
	Xenvram__V1__Hello hello = XENVRAM__V1__HELLO__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;
	char *name = calloc(1, padding + 1);
	memset(name, 'x', padding);
	request.serial = serial;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_HELLO;
	request.hello = &hello;
	hello.client = name;
	t.sending = true;
	channel_send(t.channel, &request.base, fds, n_fds);
	t.sending = false;
	free(name);
}

static void send_from_peer(uint64_t serial, const int *fds, unsigned int n_fds)
{
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = serial;
	assert_int_equal(frame_send_message(t.theirs, &request.base, fds, n_fds), 0);
}

static struct frame peer_frame;

/* The serial of the next packet, 0 when there is none; its first descriptor is left in peer_frame. */
static uint64_t receive_at_peer(void)
{
	if (frame_recv(t.theirs, &peer_frame) != 1)
		return 0;
	Xenvram__V1__Request *request =
		(Xenvram__V1__Request *)frame_unpack(&peer_frame, &xenvram__v1__request__descriptor);
	assert_non_null(request);
	uint64_t serial = request->serial;
	frame_free_message(&request->base);
	return serial;
}

/* ---- receiving ---- */

static void test_packets_come_in(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 100; i++)
		send_from_peer(i, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, 100);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(t.serials[i], i + 1);
	assert_int_equal(t.n_closed, 0);
}

static void test_descriptors_not_taken_are_closed(void **state)
{
	(void)state;
	unsigned int n_before = count_open_fds();
	const int fds[3] = {t.theirs, t.theirs, t.theirs};
	send_from_peer(1, fds, 3);
	run_loop();
	assert_int_equal(t.n_packets, 1);
	assert_int_equal(count_open_fds(), n_before);
	t.take_fd = true;
	send_from_peer(2, fds, 3);
	run_loop();
	assert_true(fd_is_open(t.taken));
	assert_int_equal(count_open_fds(), n_before + 1);
}

/* One that sends without end does not keep others from their turn. */
static void test_a_turn_is_bounded(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 100; i++)
		send_from_peer(i, NULL, 0);
	event_base_loop(t.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	assert_in_range(t.n_packets, 1, 99);
}

static void test_hold(void **state)
{
	(void)state;
	channel_hold(t.channel, true);
	send_from_peer(1, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, 0);
	send_sized(7, 0, NULL, 0);
	assert_int_equal(receive_at_peer(), 7);
	channel_hold(t.channel, false);
	run_loop();
	assert_int_equal(t.n_packets, 1);
}

static void test_hold_by_a_packet(void **state)
{
	(void)state;
	t.hold_after = 3;
	for (unsigned int i = 1; i <= 10; i++)
		send_from_peer(i, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, 3);
	channel_hold(t.channel, false);
	run_loop();
	assert_int_equal(t.n_packets, 10);
}

static void test_free_by_a_packet(void **state)
{
	(void)state;
	t.free_after = 2;
	for (unsigned int i = 1; i <= 10; i++)
		send_from_peer(i, NULL, 0);
	run_loop();
	assert_null(t.channel);
	assert_int_equal(t.n_packets, 2);
	assert_int_equal(t.n_closed, 0);
}

/* ---- how it ends ---- */

static void test_peer_closes(void **state)
{
	(void)state;
	send_from_peer(1, NULL, 0);
	close(t.theirs);
	t.theirs = -1;
	run_loop();
	assert_int_equal(t.n_packets, 1);
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, 0);
}

static void test_a_role_is_heard_out(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 40; i++)
		send_from_peer(i, NULL, 0);
	close(t.theirs);
	t.theirs = -1;
	channel_hold(t.channel, true);
	send_sized(1, 0, NULL, 0); /* finds that it has ended */
	run_loop();
	assert_int_equal(t.n_packets, 40);
	assert_int_equal(t.n_closed, 1);
}

static void test_finish(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 40; i++)
		send_from_peer(i, NULL, 0);
	t.channel = channel_finish(t.channel);
	assert_null(t.channel);
	assert_int_equal(t.n_packets, 40);
	assert_int_equal(t.n_closed, 0);
	assert_null(channel_finish(NULL));
}

static void test_finish_with_free_by_a_packet(void **state)
{
	(void)state;
	t.free_after = 2;
	for (unsigned int i = 1; i <= 10; i++)
		send_from_peer(i, NULL, 0);
	assert_null(channel_finish(t.channel));
	assert_int_equal(t.n_packets, 2);
}

static void test_send_to_a_closed_peer(void **state)
{
	(void)state;
	close(t.theirs);
	t.theirs = -1;
	channel_hold(t.channel, true);
	send_sized(1, 0, NULL, 0);
	send_sized(2, 0, NULL, 0);
	assert_non_null(t.channel);
	run_loop();
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, 0);
}

static void test_packet_too_long(void **state)
{
	(void)state;
	send_from_peer(1, NULL, 0);
	raw_packet_send(t.theirs, MAX_MESSAGE_BYTES + 1, 0);
	send_from_peer(2, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, 1);
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, EMSGSIZE);
}

static void test_too_many_descriptors(void **state)
{
	(void)state;
	raw_packet_send(t.theirs, 1, MAX_MESSAGE_FDS + 1);
	run_loop();
	assert_int_equal(t.n_packets, 0);
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, EBADMSG);
}

static void receive_without_room(void)
{
	const int fds[2] = {t.theirs, t.theirs};

	send_from_peer(1, fds, 2);
	struct rlimit before = leave_room_for_fds(1);
	run_loop();
	restore_fd_limit(&before);
}

static void test_a_role_is_heard_without_its_descriptors(void **state)
{
	(void)state;
	t.take_fd = true;
	receive_without_room();
	send_from_peer(2, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, 2);
	assert_int_equal(t.taken, -1);
	assert_int_equal(t.n_lost, 1);
	assert_int_equal(t.n_closed, 0);
}

static void test_a_client_is_not(void **state)
{
	(void)state;
	receive_without_room();
	assert_int_equal(t.n_packets, 0);
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, EMFILE);
}

static void test_empty_packet(void **state)
{
	(void)state;
	raw_packet_send(t.theirs, 0, 1);
	run_loop();
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, 0);
}

/* Also behind one that is empty, too long, or has too many descriptors. */
static void test_nothing_is_left_in_the_socket(void **state)
{
	(void)state;
	static const int on = 1;
	char byte;
	int other = fcntl(channel_fd(t.channel), F_DUPFD_CLOEXEC, 0);
	assert_int_equal(setsockopt(other, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	for (unsigned int i = 0; i < 2; i++) {
		raw_packet_send(t.theirs, 0, 0);
		raw_packet_send(t.theirs, MAX_MESSAGE_BYTES + 1, 0);
		raw_packet_send(t.theirs, 1, MAX_MESSAGE_FDS + 1);
		raw_packet_send(t.theirs, 1, 1);
	}
	run_loop();
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(recv(other, &byte, 1, MSG_DONTWAIT), 0);
	close(other);
}

static void test_close(void **state)
{
	(void)state;
	send_sized(5, 0, NULL, 0);
	channel_close(t.channel, EPROTO);
	channel_close(t.channel, EIO); /* the first counts */
	assert_int_equal(t.n_closed, 0);
	send_sized(6, 0, NULL, 0);
	send_from_peer(1, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, 0);
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, EPROTO);
	assert_int_equal(receive_at_peer(), 5);
	assert_int_equal(receive_at_peer(), 0);
}

/* What broke a rule is not listened to, though it may have said more. */
static void test_close_by_a_packet(void **state)
{
	(void)state;
	t.close_after = 2;
	for (unsigned int i = 1; i <= 10; i++)
		send_from_peer(i, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, 2);
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, EPROTO);
}

static void test_close_while_held(void **state)
{
	(void)state;
	channel_hold(t.channel, true);
	channel_close(t.channel, EPROTO);
	channel_hold(t.channel, false);
	run_loop();
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, EPROTO);
}

static void test_message_too_large(void **state)
{
	(void)state;
	send_sized(1, MAX_MESSAGE_BYTES, NULL, 0);
	run_loop();
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, EMSGSIZE);
}

/* ---- queueing ---- */

#define BULK 8192u

static void test_queue_keeps_order_and_descriptors(void **state)
{
	(void)state;
	enum { SENT = 400 };
	struct stat sent, received;
	unsigned int n_before = count_open_fds();
	int pipe_fds[2];
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(fstat(pipe_fds[0], &sent), 0);
	for (unsigned int i = 1; i <= SENT; i++)
		send_sized(i, BULK, i == SENT ? &pipe_fds[0] : NULL, i == SENT);
	/* The queue has a descriptor of its own. */
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	assert_int_equal(count_open_fds(), n_before + 1);

	for (unsigned int i = 1; i <= SENT; i++) {
		uint64_t serial = receive_at_peer();
		if (serial == 0) {
			run_loop();
			serial = receive_at_peer();
		}
		assert_int_equal(serial, i);
	}
	assert_int_equal(peer_frame.n_fds, 1);
	assert_int_equal(fstat(peer_frame.fds[0], &received), 0);
	assert_int_equal(received.st_ino, sent.st_ino);
	frame_close_fds(&peer_frame);
	assert_int_equal(count_open_fds(), n_before);
	assert_int_equal(t.n_closed, 0);
}

static void test_role_is_read_while_it_queues(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 400; i++)
		send_sized(i, BULK, NULL, 0);
	send_from_peer(1, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, 1);
}

static void test_free_with_a_queue(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 400; i++)
		send_sized(i, BULK, &t.theirs, i > 390);
	t.channel = channel_free(t.channel);
	frame_close_fds(&peer_frame);
}

/* Fills the socket, and a little more than that is queued. */
static unsigned int fill_client(void)
{
	unsigned int n = 0;
	int queued = 0;
	do {
		send_sized(++n, BULK, NULL, 0);
		run_loop();
		send_from_peer(n, NULL, 0);
		unsigned int n_before = t.n_packets;
		run_loop();
		queued = t.n_packets == n_before;
	} while (!queued);
	return n;
}

static void test_client_is_not_read_while_it_does_not_read(void **state)
{
	(void)state;
	unsigned int n = fill_client();
	assert_true(n > 1 && n < 100);
	for (unsigned int i = 1; i <= n; i++) {
		assert_int_equal(receive_at_peer(), i);
		run_loop();
	}
	assert_int_equal(t.n_packets, n);
	send_from_peer(n + 1, NULL, 0);
	run_loop();
	assert_int_equal(t.n_packets, n + 1);
	assert_int_equal(t.n_closed, 0);
}

static void test_client_that_does_not_read(void **state)
{
	(void)state;
	unsigned int n = fill_client(); /* one is queued */
	unsigned int n_allowed = MAX_QUEUED_BYTES / (BULK + 16);
	for (unsigned int i = 1; i < n_allowed; i++)
		send_sized(n + i, BULK, NULL, 0);
	run_loop();
	assert_int_equal(t.n_closed, 0);
	for (unsigned int i = 0; i < 3; i++)
		send_sized(1, BULK, NULL, 0);
	assert_int_equal(t.n_closed, 0);
	assert_in_range(channel_queued(t.channel), MAX_QUEUED_BYTES - BULK - 16, MAX_QUEUED_BYTES);
	assert_int_equal(channel_max_queued(t.channel), MAX_QUEUED_BYTES);
	run_loop();
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, ENOBUFS);
}

static void test_client_closes_with_a_queue(void **state)
{
	(void)state;
	fill_client();
	close(t.theirs);
	t.theirs = -1;
	run_loop();
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.close_error, 0);
}

/* ---- creation ---- */

static void test_new_takes_the_descriptor_over(void **state)
{
	(void)state;
	assert_null_with(channel_new(t.base, -1, CHANNEL_ROLE, &ops, &t), EBADF);
	assert_true(fcntl(channel_fd(t.channel), F_GETFL) & O_NONBLOCK);
	assert_null(channel_free(NULL));
}

#define ROLE(name)   cmocka_unit_test_setup_teardown(name, open_role, close_channel)
#define CLIENT(name) cmocka_unit_test_setup_teardown(name, open_client, close_channel)

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		ROLE(test_packets_come_in),
		ROLE(test_descriptors_not_taken_are_closed),
		ROLE(test_a_turn_is_bounded),
		CLIENT(test_hold),
		ROLE(test_hold_by_a_packet),
		ROLE(test_free_by_a_packet),
		ROLE(test_peer_closes),
		ROLE(test_a_role_is_heard_out),
		ROLE(test_finish),
		ROLE(test_finish_with_free_by_a_packet),
		CLIENT(test_send_to_a_closed_peer),
		CLIENT(test_packet_too_long),
		CLIENT(test_too_many_descriptors),
		ROLE(test_a_role_is_heard_without_its_descriptors),
		CLIENT(test_a_client_is_not),
		CLIENT(test_empty_packet),
		CLIENT(test_nothing_is_left_in_the_socket),
		CLIENT(test_close),
		ROLE(test_close_by_a_packet),
		CLIENT(test_close_while_held),
		ROLE(test_message_too_large),
		ROLE(test_queue_keeps_order_and_descriptors),
		ROLE(test_role_is_read_while_it_queues),
		ROLE(test_free_with_a_queue),
		CLIENT(test_client_is_not_read_while_it_does_not_read),
		CLIENT(test_client_that_does_not_read),
		CLIENT(test_client_closes_with_a_queue),
		ROLE(test_new_takes_the_descriptor_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
