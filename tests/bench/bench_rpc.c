/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a Snapshot costs, against a round trip of as many bytes between two processes, and against the same
 * call as a D-Bus method. All of them on one processor, see process_share_cpu(): left to the scheduler, the
 * same ratio comes out anywhere between 0.7 and 7, by where the two processes happen to be.
 */
#include <err.h>
#include <stdio.h>

#include "direct.h"
#include "peers.h"
#include "process.h"
#include "proto/xenvram.pb-c.h"
#include "service.h"

#define MIB      16u
#define NR_PAGES (MIB * PAGES_PER_MIB)

struct call {
	struct xenvram *conn;
	uint64_t cookie;
	uint64_t since;
	uint64_t dirty_pages; /* what every reply must have */
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(NR_PAGES)];
};

static void snapshot(void *data, uint32_t n)
{
	struct call *call = data;
	struct xenvram_snapshot snapshot;

	for (uint32_t i = 0; i < n; i++) {
		if (xenvram_snapshot(
			    call->conn, call->cookie, call->since, 0, call->bitmap, NR_PAGES, &snapshot) < 0)
			service_fail(call->conn, "snapshot");
		if (snapshot.dirty_pages != call->dirty_pages)
			errx(1, "%llu dirty pages", (unsigned long long)snapshot.dirty_pages);
	}
}

/* How many bytes go there and back. The library counts serials from 1: by now they take two bytes. */
static size_t request_bytes(const struct call *call)
{
	Xenvram__V1__Snapshot snapshot = XENVRAM__V1__SNAPSHOT__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	snapshot.cookie = call->cookie;
	snapshot.since = call->since;
	request.serial = 1000;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT;
	request.snapshot = &snapshot;
	return xenvram__v1__request__get_packed_size(&request);
}

static size_t reply_bytes(const struct call *call, uint64_t generation, size_t bitmap_bytes)
{
	Xenvram__V1__SnapshotReply snapshot = XENVRAM__V1__SNAPSHOT_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	Xenvram__V1__Packet packet = XENVRAM__V1__PACKET__INIT;
	uint8_t bitmap[NR_PAGES / 8];

	snapshot.generation = generation;
	snapshot.nr_pages = NR_PAGES;
	snapshot.dirty_pages = call->dirty_pages;
	snapshot.bitmap = (ProtobufCBinaryData){bitmap_bytes, bitmap};
	reply.serial = 1000;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SNAPSHOT;
	reply.snapshot = &snapshot;
	packet.content_case = XENVRAM__V1__PACKET__CONTENT_REPLY;
	packet.reply = &reply;
	return xenvram__v1__packet__get_packed_size(&packet);
}

static void report(const struct bench_options *options, const char *what, const char *against,
	const struct bench_subject *subject, const struct bench_subject *anchor, struct bench_goal goal)
{
	char name[96];
	snprintf(name, sizeof(name), "snapshot by message, %s, one processor, against %s", what, against);
	bench_report_pair(options, name, "us", 1000, subject, anchor, goal);
}

static void measure(const struct bench_options *options, const char *what, struct call *call,
	uint64_t generation, struct direct *direct)
{
	size_t bitmap_bytes = call->dirty_pages ? NR_PAGES / 8 : 0;
	struct echo echo;
	struct method peer;

	echo_init(&echo, request_bytes(call), reply_bytes(call, generation, bitmap_bytes));
	method_init_direct(&peer, bitmap_bytes);
	struct bench_subject ours = {.name = "snapshot by message", .run = snapshot, .data = call};
	struct bench_subject raw = {.name = "as many bytes by SEQPACKET", .run = echo_call, .data = &echo};
	struct bench_subject dbus = {.name = "D-Bus method, peer to peer", .run = method_call, .data = &peer};
	struct bench_subject track = {.name = "direct hypercall", .run = direct_track, .data = direct};
	struct bench_subject *subjects[] = {&ours, &raw, &dbus, &track};

	bench_interleave(options, subjects, options->on_xen ? 4 : 3);
	report(options, what, "raw packets", &ours, &raw, (struct bench_goal){RATIO_AT_MOST, 1.25});
	report(options, what, "D-Bus", &ours, &dbus, (struct bench_goal){RATIO_BELOW, 0.5});
	if (options->on_xen)
		report(options, what, "the direct call", &ours, &track, (struct bench_goal){0});
	method_deinit(&peer);
	echo_deinit(&echo);
}

/* What clients of a service on the system bus would have. The goal is set against the harder one, without. */
static void measure_by_bus(const struct bench_options *options, const char *what, struct call *call)
{
	struct bus bus;
	struct method method;

	bus_start(&bus);
	method_init_by_bus(&method, call->dirty_pages ? NR_PAGES / 8 : 0, &bus);
	struct bench_subject ours = {.name = "snapshot by message", .run = snapshot, .data = call};
	struct bench_subject by_bus = {
		.name = "D-Bus method, by dbus-daemon", .run = method_call, .data = &method};
	struct bench_subject *subjects[] = {&ours, &by_bus};

	bench_interleave(options, subjects, 2);
	report(options, what, "a D-Bus daemon", &ours, &by_bus, (struct bench_goal){0});
	method_deinit(&method);
	bus_stop(&bus);
}

int main(int argc, char **argv)
{
	static struct call none, few;
	struct bench_options options;
	struct direct direct;

	bench_parse(&options, argc, argv);
	/* Who answers Hello is there. */
	struct xenvram *conn = service_connect(&options);
	process_share_cpu(service_broker(&options));
	uint64_t cookie = service_create(conn, options.domid, 0, BACKING_GFN, NR_PAGES);
	struct xenvram_view *view = service_subscribe(conn, cookie, LONGEST_PERIOD_US, 0);
	direct_init(&direct, options.domid, VRAM_GFN, NR_PAGES);

	const struct xenvram_run run = {.first = 100, .nr_pages = NR_PAGES / 100};
	uint64_t before = service_settle(conn, cookie);
	if (xenvram_mark_dirty(conn, cookie, &run, 1) < 0)
		service_fail(conn, "mark_dirty");
	uint64_t now = service_settle(conn, cookie);

	none = (struct call){.conn = conn, .cookie = cookie, .since = now};
	few = (struct call){.conn = conn, .cookie = cookie, .since = before, .dirty_pages = run.nr_pages};
	measure(&options, "nothing changed", &none, now, &direct);
	measure(&options, "1 % of 16 MiB dirty", &few, now, &direct);
	/* There is no dbus-daemon in the dom0 of the tests. */
	if (!options.on_xen) {
		measure_by_bus(&options, "nothing changed", &none);
		measure_by_bus(&options, "1 % of 16 MiB dirty", &few);
	}

	direct_deinit(&direct);
	service_unsubscribe(conn, view);
	service_destroy(conn, cookie);
	xenvram_free(conn);
	return 0;
}
