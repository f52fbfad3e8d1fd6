/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The library's calls against a daemon that talks nonsense: EPROTO, the end of the connection, nothing
 * leaked. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/fake_daemon.h"
#include "tests/unit/fake_log.h"

#define NR_PAGES 200u

static struct fake_daemon peer;

static void script_bytes(struct fake_daemon *daemon, void *data)
{
	fake_daemon_next(daemon);
	if (send(daemon->socket, data, strlen(data), MSG_NOSIGNAL) < 0)
		abort();
	fake_daemon_next(daemon);
}

static void garbage_ends_the_connection(void **state)
{
	static const char *const garbage[] = {
		"\xff\xff\xff\xff", "\x0a\x7f", "GET / HTTP/1.1\r\n\r\n", "\x0a\x02\x08"};
	(void)state;
	for (unsigned int i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		struct xenvram *conn = fake_daemon_connect(&peer, script_bytes, (void *)garbage[i]);
		assert_fails(xenvram_destroy_region(conn, 1), EPROTO);
		assert_fails(xenvram_destroy_region(conn, 1), ENOTCONN);
		fake_daemon_disconnect(&peer, conn);
	}
}

static void script_reply(struct fake_daemon *daemon, void *data)
{
	fake_daemon_next(daemon);
	fake_daemon_reply(daemon, data, NULL, 0);
	fake_daemon_next(daemon);
}

static void assert_nonsense(Xenvram__V1__Reply *reply, int (*call)(struct xenvram *conn))
{
	struct xenvram *conn = fake_daemon_connect(&peer, script_reply, reply);
	assert_fails(call(conn), EPROTO);
	assert_string_not_equal(xenvram_error(conn), "");
	assert_fails(call(conn), ENOTCONN);
	fake_daemon_disconnect(&peer, conn);
	reply->serial = 0;
}

static int call_destroy(struct xenvram *conn)
{
	return xenvram_destroy_region(conn, 1);
}

static int call_create(struct xenvram *conn)
{
	const struct xenvram_create create = {.nr_pages = 1};
	uint64_t cookie;
	return xenvram_create_region(conn, &create, &cookie);
}

static int call_snapshot(struct xenvram *conn)
{
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(NR_PAGES)];
	struct xenvram_snapshot snapshot;
	return xenvram_snapshot(conn, 1, 0, 0, bitmap, NR_PAGES, &snapshot);
}

static int each_region(const struct xenvram_region *region, void *data)
{
	(void)region;
	(void)data;
	return 0;
}

static int call_list_regions(struct xenvram *conn)
{
	return xenvram_list_regions(conn, NULL, each_region, NULL);
}

static void wrong_results_are_refused(void **state)
{
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	Xenvram__V1__CreateRegionReply created = XENVRAM__V1__CREATE_REGION_REPLY__INIT;
	(void)state;

	assert_nonsense(&reply, call_create); /* no result at all */
	reply.result_case = XENVRAM__V1__REPLY__RESULT_CREATE_REGION;
	reply.create_region = &created;
	assert_nonsense(&reply, call_create);   /* cookie 0 */
	assert_nonsense(&reply, call_destroy);  /* a result where none belongs */
	assert_nonsense(&reply, call_snapshot); /* the result of another question */

	xenvram__v1__reply__init(&reply);
	reply.status = XENVRAM__V1__STATUS__LIMIT; /* a failure without an errno */
	assert_nonsense(&reply, call_destroy);
	reply.os_error = -5;
	assert_nonsense(&reply, call_destroy);
	reply.os_error = 1 << 20;
	assert_nonsense(&reply, call_destroy);
}

static void wrong_snapshots_are_refused(void **state)
{
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	Xenvram__V1__SnapshotReply snapshot = XENVRAM__V1__SNAPSHOT_REPLY__INIT;
	uint8_t bytes[64] = {0};
	(void)state;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SNAPSHOT;
	reply.snapshot = &snapshot;
	assert_nonsense(&reply, call_snapshot); /* no pages */
	snapshot.nr_pages = NR_PAGES;
	snapshot.bitmap = (ProtobufCBinaryData){NR_PAGES / 8 - 1, bytes};
	assert_nonsense(&reply, call_snapshot);
	snapshot.bitmap.len = NR_PAGES / 8 + 1;
	assert_nonsense(&reply, call_snapshot);
	snapshot.nr_pages = UINT64_MAX;
	assert_nonsense(&reply, call_snapshot);
	snapshot.nr_pages = MAX_REGION_PAGES + 1;
	assert_nonsense(&reply, call_snapshot);
}

static void a_list_that_never_ends_is_refused(void **state)
{
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	Xenvram__V1__ListRegionsReply list = XENVRAM__V1__LIST_REGIONS_REPLY__INIT;
	Xenvram__V1__RegionInfo infos[] = {XENVRAM__V1__REGION_INFO__INIT, XENVRAM__V1__REGION_INFO__INIT};
	Xenvram__V1__RegionInfo *regions[] = {&infos[0], &infos[1]};
	(void)state;
	infos[0].cookie = 5;
	infos[1].cookie = 5;
	list.regions = regions;
	list.n_regions = 2;
	list.more = true;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_LIST_REGIONS;
	reply.list_regions = &list;
	assert_nonsense(&reply, call_list_regions);
}

struct delivery {
	Xenvram__V1__SubscribeReply subscribed;
	int fds[MAX_MESSAGE_FDS];
	unsigned int n_fds;
};

static void script_delivery(struct fake_daemon *daemon, void *data)
{
	struct delivery *delivery = data;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	fake_daemon_next(daemon);
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SUBSCRIBE;
	reply.subscribe = &delivery->subscribed;
	fake_daemon_reply(daemon, &reply, delivery->fds, delivery->n_fds);
	fake_daemon_next(daemon);
}

static void assert_undeliverable(struct delivery *delivery)
{
	unsigned int n_open = count_open_fds();
	struct xenvram_view *view = NULL;
	struct xenvram *conn = fake_daemon_connect(&peer, script_delivery, delivery);
	assert_fails(xenvram_subscribe(conn, 1, 0, XENVRAM_SUBSCRIBE_WAKE, &view), EPROTO);
	assert_null(view);
	fake_daemon_disconnect(&peer, conn);
	assert_int_equal(count_open_fds(), n_open);
}

static void wrong_descriptors_are_refused_and_closed(void **state)
{
	struct delivery delivery = {.subscribed = XENVRAM__V1__SUBSCRIBE_REPLY__INIT};
	struct fake_log log;
	int pipe_fds[2];
	(void)state;
	fake_log_init(&log, 1, NR_PAGES);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	delivery.subscribed.nr_pages = NR_PAGES;
	delivery.subscribed.has_wake = true;
	for (unsigned int i = 0; i < MAX_MESSAGE_FDS; i++)
		delivery.fds[i] = log.fd;

	assert_undeliverable(&delivery); /* none at all */
	delivery.n_fds = 1;              /* no wake descriptor */
	assert_undeliverable(&delivery);
	delivery.n_fds = 2; /* one, but it is no pipe */
	assert_undeliverable(&delivery);
	delivery.fds[1] = pipe_fds[0];
	delivery.n_fds = 3; /* one too many */
	assert_undeliverable(&delivery);
	delivery.n_fds = 4;
	assert_undeliverable(&delivery);
	delivery.n_fds = 2;
	delivery.subscribed.has_wake = false; /* one that is not spoken of */
	assert_undeliverable(&delivery);
	delivery.subscribed.has_wake = true;
	delivery.subscribed.nr_pages = NR_PAGES - 1; /* not the log's */
	assert_undeliverable(&delivery);
	delivery.subscribed.nr_pages = NR_PAGES;
	log.header->cookie = 2; /* not the region's */
	assert_undeliverable(&delivery);
	log.header->cookie = 1;
	delivery.fds[0] = pipe_fds[0]; /* not a log */
	assert_undeliverable(&delivery);

	close(pipe_fds[0]);
	close(pipe_fds[1]);
	fake_log_deinit(&log);
}

static void script_surplus_fds(struct fake_daemon *daemon, void *data)
{
	const int *fd = data;
	const int fds[] = {*fd, *fd, *fd, *fd};
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	fake_daemon_next(daemon);
	fake_daemon_reply(daemon, &reply, fds, 4);
	fake_daemon_next(daemon);
}

static void descriptors_nobody_asked_for_are_closed(void **state)
{
	unsigned int n_open = count_open_fds();
	int fd = fake_log_file(1);
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_surplus_fds, &fd);
	unsigned int n_connected = count_open_fds();
	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	assert_int_equal(count_open_fds(), n_connected);
	fake_daemon_disconnect(&peer, conn);
	close(fd);
	assert_int_equal(count_open_fds(), n_open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(garbage_ends_the_connection),
		cmocka_unit_test(wrong_results_are_refused),
		cmocka_unit_test(wrong_snapshots_are_refused),
		cmocka_unit_test(a_list_that_never_ends_is_refused),
		cmocka_unit_test(wrong_descriptors_are_refused_and_closed),
		cmocka_unit_test(descriptors_nobody_asked_for_are_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
