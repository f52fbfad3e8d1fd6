/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peers.h"

#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process.h"
#include "proto/limits.h"

#define OBJECT    "/xenvram"
#define INTERFACE "xenvram.v1"
#define NAME      "xenvram.Bench"

static void make_pair(int type, int *ret_sockets)
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret_sockets) < 0)
		err(1, "socketpair");
}

/* ---- packets ---- */

static void answer_packets(void *data)
{
	static char bytes[MAX_MESSAGE_BYTES];
	const struct echo *echo = data;

	while (recv(echo->socket, bytes, sizeof(bytes), 0) > 0)
		send(echo->socket, bytes, echo->reply_bytes, MSG_NOSIGNAL);
}

void echo_init(struct echo *echo, size_t request_bytes, size_t reply_bytes)
{
	int sockets[2];

	*echo = (struct echo){.request_bytes = request_bytes, .reply_bytes = reply_bytes};
	make_pair(SOCK_SEQPACKET, sockets);
	echo->socket = sockets[1];
	echo->pid = process_fork(answer_packets, echo);
	echo->socket = sockets[0];
	close(sockets[1]);
}

void echo_deinit(struct echo *echo)
{
	process_kill(echo->pid);
	close(echo->socket);
}

void echo_call(void *data, uint32_t n)
{
	static char bytes[MAX_MESSAGE_BYTES];
	const struct echo *echo = data;

	for (uint32_t i = 0; i < n; i++) {
		if (send(echo->socket, bytes, echo->request_bytes, MSG_NOSIGNAL) < 0 ||
			recv(echo->socket, bytes, sizeof(bytes), 0) != (ssize_t)echo->reply_bytes)
			err(1, "the echoing process");
	}
}

/* ---- D-Bus ---- */

static void need(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, strerror(-result));
}

static int on_snapshot(sd_bus_message *call, void *data, sd_bus_error *error)
{
	static uint8_t bitmap[MAX_REGION_PAGES / 8];
	const struct method *method = data;
	sd_bus_message *reply = NULL;
	uint64_t cookie, since;
	int sync;

	(void)error;
	need(sd_bus_message_read(call, "ttb", &cookie, &since, &sync), "sd_bus_message_read");
	need(sd_bus_message_new_method_return(call, &reply), "sd_bus_message_new_method_return");
	need(sd_bus_message_append(reply, "ttt", since + 1, (uint64_t)4096, (uint64_t)1),
		"sd_bus_message_append");
	need(sd_bus_message_append_array(reply, 'y', bitmap, method->bitmap_bytes),
		"sd_bus_message_append_array");
	need(sd_bus_send(NULL, reply, NULL), "sd_bus_send");
	sd_bus_message_unref(reply);
	return 1;
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Snapshot", "ttb", "tttay", on_snapshot, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static sd_bus *open_bus(int socket)
{
	sd_bus *bus;
	need(sd_bus_new(&bus), "sd_bus_new");
	need(sd_bus_set_fd(bus, socket, socket), "sd_bus_set_fd");
	need(sd_bus_set_anonymous(bus, true), "sd_bus_set_anonymous");
	need(sd_bus_set_trusted(bus, true), "sd_bus_set_trusted");
	need(sd_bus_negotiate_creds(bus, false, 0), "sd_bus_negotiate_creds");
	need(sd_bus_negotiate_fds(bus, false), "sd_bus_negotiate_fds");
	return bus;
}

static void answer_calls(sd_bus *bus, struct method *method)
{
	need(sd_bus_add_object_vtable(bus, NULL, OBJECT, INTERFACE, vtable, method),
		"sd_bus_add_object_vtable");
	if (method->between)
		need(sd_bus_request_name(bus, NAME, 0), "sd_bus_request_name");
	for (;;) {
		int processed = sd_bus_process(bus, NULL);
		if (processed < 0)
			return; /* the other side has gone */
		if (processed == 0)
			need(sd_bus_wait(bus, UINT64_MAX), "sd_bus_wait");
	}
}

static void answer_directly(void *data)
{
	struct method *method = data;
	sd_id128_t id;

	need(sd_id128_randomize(&id), "sd_id128_randomize");
	sd_bus *bus = open_bus(method->server_socket);
	need(sd_bus_set_server(bus, true, id), "sd_bus_set_server");
	need(sd_bus_start(bus), "sd_bus_start");
	answer_calls(bus, method);
}

static void answer_by_bus(void *data)
{
	struct method *method = data;
	answer_calls(bus_connect(method->between), method);
}

void method_init_direct(struct method *method, size_t bitmap_bytes)
{
	int sockets[2];

	*method = (struct method){.bitmap_bytes = bitmap_bytes};
	make_pair(SOCK_STREAM, sockets);
	method->server_socket = sockets[1];
	method->pid = process_fork(answer_directly, method);
	close(sockets[1]);
	method->bus = open_bus(sockets[0]);
	need(sd_bus_start(method->bus), "sd_bus_start");
}

void method_init_by_bus(struct method *method, size_t bitmap_bytes, const struct bus *between)
{
	*method = (struct method){.destination = NAME, .bitmap_bytes = bitmap_bytes, .between = between};
	method->pid = process_fork(answer_by_bus, method);
	method->bus = bus_connect(between);
	bus_await_name(method->bus, NAME);
}

void method_deinit(struct method *method)
{
	sd_bus_unref(method->bus);
	process_kill(method->pid);
}

void method_call(void *data, uint32_t n)
{
	const struct method *method = data;

	for (uint32_t i = 0; i < n; i++) {
		sd_bus_error error = SD_BUS_ERROR_NULL;
		sd_bus_message *reply = NULL;
		uint64_t generation, nr_pages, dirty_pages;
		const void *bitmap;
		size_t bytes;

		int result = sd_bus_call_method(method->bus, method->destination, OBJECT, INTERFACE,
			"Snapshot", &error, &reply, "ttb", (uint64_t)1, (uint64_t)1, 0);
		if (result < 0)
			errx(1, "the D-Bus method: %s", error.message ? error.message : strerror(-result));
		need(sd_bus_message_read(reply, "ttt", &generation, &nr_pages, &dirty_pages), "the reply");
		need(sd_bus_message_read_array(reply, 'y', &bitmap, &bytes), "the reply's bitmap");
		if (bytes != method->bitmap_bytes)
			errx(1, "the D-Bus method returned %zu bytes", bytes);
		sd_bus_message_unref(reply);
	}
}
