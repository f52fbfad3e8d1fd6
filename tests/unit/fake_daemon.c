/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fake_daemon.h"

#include "tests/unit/unit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PATIENCE_MS 30000

static void require(bool true_, const char *what)
{
	if (true_)
		return;
	fprintf(stderr, "fake daemon: %s: %m\n", what);
	abort(); /* cmocka's assertions are for its own thread */
}

#define REQUIRE(condition) require(condition, #condition)

static void forget_request(struct fake_daemon *daemon)
{
	if (daemon->request)
		frame_free_message(&daemon->request->base);
	daemon->request = NULL;
}

const Xenvram__V1__Request *fake_daemon_next(struct fake_daemon *daemon)
{
	struct pollfd fd = {.fd = daemon->socket, .events = POLLIN};

	forget_request(daemon);
	REQUIRE(poll(&fd, 1, PATIENCE_MS) == 1);
	if (frame_recv(daemon->socket, &daemon->frame) != 1)
		return NULL;
	REQUIRE(daemon->frame.n_fds == 0);
	daemon->request =
		(Xenvram__V1__Request *)frame_unpack(&daemon->frame, &xenvram__v1__request__descriptor);
	REQUIRE(daemon->request);
	return daemon->request;
}

static void send_packet(
	struct fake_daemon *daemon, const Xenvram__V1__Packet *packet, const int *fds, unsigned int n_fds)
{
	/* The client may have given up and gone. */
	REQUIRE(frame_send_message(daemon->socket, &packet->base, fds, n_fds) == 0 || errno == EPIPE);
}

void fake_daemon_reply(
	struct fake_daemon *daemon, Xenvram__V1__Reply *reply, const int *fds, unsigned int n_fds)
{
	Xenvram__V1__Packet packet = XENVRAM__V1__PACKET__INIT;

	if (reply->serial == 0)
		reply->serial = daemon->request->serial;
	packet.content_case = XENVRAM__V1__PACKET__CONTENT_REPLY;
	packet.reply = reply;
	send_packet(daemon, &packet, fds, n_fds);
}

void fake_daemon_ok(struct fake_daemon *daemon)
{
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	fake_daemon_reply(daemon, &reply, NULL, 0);
}

void fake_daemon_fail(
	struct fake_daemon *daemon, Xenvram__V1__Status status, int os_error, const char *message)
{
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	reply.status = status;
	reply.os_error = os_error;
	reply.message = (char *)message;
	fake_daemon_reply(daemon, &reply, NULL, 0);
}

static void send_event(struct fake_daemon *daemon, Xenvram__V1__Event *event)
{
	Xenvram__V1__Packet packet = XENVRAM__V1__PACKET__INIT;

	packet.content_case = XENVRAM__V1__PACKET__CONTENT_EVENT;
	packet.event = event;
	send_packet(daemon, &packet, NULL, 0);
}

void fake_daemon_region_changed(struct fake_daemon *daemon, uint64_t cookie, Xenvram__V1__RegionState state)
{
	Xenvram__V1__RegionChanged changed = XENVRAM__V1__REGION_CHANGED__INIT;
	Xenvram__V1__Event event = XENVRAM__V1__EVENT__INIT;

	changed.cookie = cookie;
	changed.state = state;
	changed.reason = (char *)"because";
	event.what_case = XENVRAM__V1__EVENT__WHAT_REGION_CHANGED;
	event.region_changed = &changed;
	send_event(daemon, &event);
}

void fake_daemon_restarted(struct fake_daemon *daemon)
{
	Xenvram__V1__Restarted restarted = XENVRAM__V1__RESTARTED__INIT;
	Xenvram__V1__Event event = XENVRAM__V1__EVENT__INIT;

	event.what_case = XENVRAM__V1__EVENT__WHAT_RESTARTED;
	event.restarted = &restarted;
	send_event(daemon, &event);
}

static void answer_hello(struct fake_daemon *daemon)
{
	Xenvram__V1__HelloReply hello = XENVRAM__V1__HELLO_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	const Xenvram__V1__Request *request = fake_daemon_next(daemon);
	REQUIRE(request && request->operation_case == XENVRAM__V1__REQUEST__OPERATION_HELLO);
	REQUIRE(request->hello->version_min == 1 && request->hello->version_max == 1);
	REQUIRE(strcmp(request->hello->client, "test") == 0);
	hello.version = 1;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_HELLO;
	reply.hello = &hello;
	fake_daemon_reply(daemon, &reply, NULL, 0);
}

static void *serve(void *data)
{
	struct fake_daemon *daemon = data;
	struct pollfd fd = {.fd = daemon->listening, .events = POLLIN};

	REQUIRE(poll(&fd, 1, PATIENCE_MS) == 1);
	daemon->socket = accept4(daemon->listening, NULL, NULL, SOCK_CLOEXEC);
	REQUIRE(daemon->socket >= 0);
	if (daemon->script) {
		answer_hello(daemon);
		daemon->script(daemon, daemon->data);
	}
	forget_request(daemon);
	close(daemon->socket);
	return NULL;
}

void fake_daemon_start(
	struct fake_daemon *daemon, void (*script)(struct fake_daemon *daemon, void *data), void *data)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*daemon =
		(struct fake_daemon){.directory = "/tmp/xenvram-unit-XXXXXX", .script = script, .data = data};
	assert_non_null(mkdtemp(daemon->directory));
	snprintf(daemon->path, sizeof(daemon->path), "%s/socket", daemon->directory);
	strcpy(address.sun_path, daemon->path);
	daemon->listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(daemon->listening >= 0);
	assert_int_equal(bind(daemon->listening, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(daemon->listening, 1), 0);
	assert_int_equal(pthread_create(&daemon->thread, NULL, serve, daemon), 0);
}

void fake_daemon_join(struct fake_daemon *daemon)
{
	assert_int_equal(pthread_join(daemon->thread, NULL), 0);
	close(daemon->listening);
	unlink(daemon->path);
	rmdir(daemon->directory);
}

struct xenvram *fake_daemon_connect(
	struct fake_daemon *daemon, void (*script)(struct fake_daemon *daemon, void *data), void *data)
{
	fake_daemon_start(daemon, script, data);
	struct xenvram *conn = xenvram_new("test");
	assert_non_null(conn);
	assert_int_equal(xenvram_connect(conn, daemon->path), 0);
	return conn;
}

void fake_daemon_disconnect(struct fake_daemon *daemon, struct xenvram *conn)
{
	xenvram_free(conn);
	fake_daemon_join(daemon);
}
