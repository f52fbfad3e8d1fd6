/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The library's calls against a daemon that answers well. */
#include "tests/unit/unit.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/libxenvram/xenvram.h"
#include "tests/unit/fake_daemon.h"
#include "tests/unit/fake_log.h"

#define NR_PAGES 200u

static struct fake_daemon peer;

/* ---- connecting ---- */

static void script_nothing(struct fake_daemon *daemon, void *data)
{
	(void)daemon;
	(void)data;
}

static void a_connection_is_made_once(void **state)
{
	unsigned int n_open = count_open_fds();
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_nothing, NULL);
	assert_fails(xenvram_connect(conn, peer.path), EISCONN);
	assert_string_not_equal(xenvram_error(conn), "");
	assert_true(fcntl(xenvram_fd(conn), F_GETFD) & FD_CLOEXEC);
	fake_daemon_disconnect(&peer, conn);
	assert_int_equal(count_open_fds(), n_open);
}

static void nothing_can_be_done_unconnected(void **state)
{
	struct xenvram *conn = xenvram_new(NULL);
	char long_name[66];
	char long_path[200];
	(void)state;
	assert_non_null(conn);
	assert_fails(xenvram_destroy_region(conn, 1), ENOTCONN);
	assert_fails(xenvram_fd(conn), ENOTCONN);
	assert_fails(xenvram_dispatch(conn), ENOTCONN);
	assert_fails(xenvram_set_timeout_ms(conn, 0), EINVAL);
	assert_fails(xenvram_connect(conn, "/nonexistent/socket"), ENOENT);
	assert_non_null(strstr(xenvram_error(conn), "/nonexistent/socket"));
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_fails(xenvram_connect(conn, long_path), ENAMETOOLONG);
	xenvram_free(conn);
	xenvram_free(NULL);
	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	assert_null_with(xenvram_new(long_name), EINVAL);
}

/* ---- handing over ---- */

static void script_hand_over(struct fake_daemon *daemon, void *data)
{
	const Xenvram__V1__Request *request = fake_daemon_next(daemon);
	uint32_t *domid = data;
	Xenvram__V1__HelloReply hello = XENVRAM__V1__HELLO_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	if (request->operation_case == XENVRAM__V1__REQUEST__OPERATION_BIND)
		*domid = request->bind->domid;
	fake_daemon_ok(daemon);
	/* The next one's Hello is answered only after a restart, and another one. */
	fake_daemon_next(daemon);
	fake_daemon_restarted(daemon);
	request = fake_daemon_next(daemon);
	if (request->operation_case != XENVRAM__V1__REQUEST__OPERATION_HELLO)
		*domid = 0;
	hello.version = PROTOCOL_VERSION_MAX;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_HELLO;
	reply.hello = &hello;
	fake_daemon_reply(daemon, &reply, NULL, 0);
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
}

static void a_connection_is_handed_over(void **state)
{
	unsigned int n_open = count_open_fds();
	uint32_t domid = 0;
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_hand_over, &domid);
	assert_int_equal(xenvram_bind(conn, 7), 0);
	assert_int_equal(domid, 7);
	int fd = xenvram_release_fd(conn);
	assert_true(fd >= 0);
	assert_fails(xenvram_destroy_region(conn, 1), ENOTCONN);
	assert_fails(xenvram_release_fd(conn), ENOTCONN);

	/* As it may come out of an exec. */
	assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	struct xenvram *heir = xenvram_new("heir");
	assert_non_null(heir);
	assert_int_equal(xenvram_connect_fd(heir, fd), 0);
	assert_int_equal(domid, 7);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_fails(xenvram_connect_fd(heir, fd), EISCONN);
	assert_int_equal(xenvram_destroy_region(heir, 1), 0);
	xenvram_free(heir);
	fake_daemon_disconnect(&peer, conn);
	assert_int_equal(count_open_fds(), n_open);
}

static void what_is_no_connection_stays_its_owners(void **state)
{
	(void)state;
	struct xenvram *conn = xenvram_new(NULL);
	int fds[2];
	assert_non_null(conn);
	assert_fails(xenvram_connect_fd(conn, -1), EBADF);
	assert_int_equal(pipe(fds), 0);
	assert_fails(xenvram_connect_fd(conn, fds[0]), ENOTSOCK);
	assert_true(fd_is_open(fds[0]));
	assert_fails(xenvram_fd(conn), ENOTCONN);
	close(fds[0]);
	close(fds[1]);
	xenvram_free(conn);
}

/* ---- regions ---- */

static void script_regions(struct fake_daemon *daemon, void *data)
{
	Xenvram__V1__CreateRegionReply created = XENVRAM__V1__CREATE_REGION_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	const Xenvram__V1__Request *request = fake_daemon_next(daemon);
	const Xenvram__V1__CreateRegion *create = request->create_region;

	if (create->domid == 3 && create->vram_gfn == 0xf0000 && create->backing_gfn == 0x8000 &&
		create->nr_pages == 16 && create->cache_attr == XENVRAM__V1__CACHE_ATTR__WC &&
		create->require_cache_attr)
		*(bool *)data = true;
	created.cookie = 0x1234567890abcdef;
	reply.message = (char *)"not pinned";
	reply.result_case = XENVRAM__V1__REPLY__RESULT_CREATE_REGION;
	reply.create_region = &created;
	fake_daemon_reply(daemon, &reply, NULL, 0);

	fake_daemon_next(daemon);
	fake_daemon_fail(daemon, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT, "no region 0x5");
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
}

static void regions_are_created_and_destroyed(void **state)
{
	const struct xenvram_create create = {
		.domid = 3,
		.vram_gfn = 0xf0000,
		.backing_gfn = 0x8000,
		.nr_pages = 16,
		.cache_attr = XENVRAM_CACHE_WC,
		.require_cache_attr = true,
	};
	bool as_asked = false;
	uint64_t cookie = 0;
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_regions, &as_asked);
	assert_int_equal(xenvram_create_region(conn, &create, &cookie), 0);
	assert_int_equal(cookie, 0x1234567890abcdef);
	assert_string_equal(xenvram_warning(conn), "not pinned");
	assert_fails(xenvram_destroy_region(conn, 5), ENOENT);
	assert_string_equal(xenvram_error(conn), "no region 0x5");
	assert_string_equal(xenvram_warning(conn), "");
	assert_int_equal(xenvram_destroy_region(conn, cookie), 0);
	assert_string_equal(xenvram_error(conn), "");
	fake_daemon_disconnect(&peer, conn);
	assert_true(as_asked);
}

static void script_changes(struct fake_daemon *daemon, void *data)
{
	unsigned int *n_right = data;
	const Xenvram__V1__Request *request = fake_daemon_next(daemon);

	*n_right += request->operation_case == XENVRAM__V1__REQUEST__OPERATION_DESTROY_REGION &&
		    request->destroy_region->cookie == 7 && request->destroy_region->first_page == 3 &&
		    request->destroy_region->nr_pages == 10;
	fake_daemon_fail(daemon, XENVRAM__V1__STATUS__LIMIT, EDQUOT, "too many runs");
	request = fake_daemon_next(daemon);
	*n_right += request->operation_case == XENVRAM__V1__REQUEST__OPERATION_MOVE_REGION &&
		    request->move_region->cookie == 7 && request->move_region->vram_gfn == 0xe0000;
	fake_daemon_ok(daemon);
	request = fake_daemon_next(daemon);
	*n_right += request->operation_case == XENVRAM__V1__REQUEST__OPERATION_DESTROY_REGION &&
		    request->destroy_region->first_page == 0 && request->destroy_region->nr_pages == 0;
	fake_daemon_ok(daemon);
}

static void regions_are_moved_and_destroyed_in_part(void **state)
{
	unsigned int n_right = 0;
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_changes, &n_right);
	/* To the service this would be all of it. */
	assert_fails(xenvram_destroy_range(conn, 7, 3, 0), EINVAL);
	assert_fails(xenvram_destroy_range(conn, 7, 3, 10), EDQUOT);
	assert_int_equal(xenvram_move_region(conn, 7, 0xe0000), 0);
	assert_int_equal(xenvram_destroy_region(conn, 7), 0);
	fake_daemon_disconnect(&peer, conn);
	assert_int_equal(n_right, 3);
}

struct map_script {
	uint64_t first[2]; /* of the runs of the second reply; 0: none */
	uint64_t next_page;
	unsigned int n_seen;
};

static void reply_map(struct fake_daemon *daemon, const uint64_t *first, unsigned int n, uint64_t next_page)
{
	Xenvram__V1__MapRegionReply map = XENVRAM__V1__MAP_REGION_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	Xenvram__V1__MappedRun runs[2], *pointers[2];
	for (unsigned int i = 0; i < n; i++) {
		xenvram__v1__mapped_run__init(&runs[i]);
		runs[i].first = first[i];
		runs[i].nr_pages = 10;
		runs[i].place = XENVRAM__V1__PAGE_PLACE__AT_OLD_VRAM;
		runs[i].gfn = 0xe0000 + first[i];
		pointers[i] = &runs[i];
	}
	map.n_runs = n;
	map.runs = pointers;
	map.next_page = next_page;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_MAP_REGION;
	reply.map_region = &map;
	fake_daemon_reply(daemon, &reply, NULL, 0);
}

static bool is_right_map_ram(const Xenvram__V1__MapRam *map)
{
	return map->domid == 3 && map->source_gfn == 0x400 && map->destination_gfn == 0xe0000 &&
	       map->nr_pages == 70 && map->first_page == 40;
}

static void script_map(struct fake_daemon *daemon, void *data)
{
	static const uint64_t first[] = {0, 20};
	const struct map_script *script = data;

	fake_daemon_next(daemon);
	reply_map(daemon, first, 2, 40);
	const Xenvram__V1__Request *request = fake_daemon_next(daemon);
	if (request && (request->operation_case == XENVRAM__V1__REQUEST__OPERATION_MAP_RAM
				       ? is_right_map_ram(request->map_ram)
				       : request->map_region->first_page == 40))
		reply_map(daemon, script->first, 2, script->next_page);
}

static int count_run(const struct xenvram_mapped_run *run, void *data)
{
	struct map_script *script = data;
	assert_int_equal(run->nr_pages, 10);
	assert_int_equal(run->place, XENVRAM_AT_OLD_VRAM);
	assert_int_equal(run->gfn, 0xe0000 + run->first);
	script->n_seen++;
	return 0;
}

static int stop_at_run(const struct xenvram_mapped_run *run, void *data)
{
	(void)data;
	return run->first == 20 ? 33 : 0;
}

static void pages_are_mapped(void **state)
{
	struct map_script script = {.first = {40, 60}};
	struct map_script nonsense[] = {{.first = {20, 60}}, {.first = {60, 60}}, {.first = {40, UINT64_MAX}},
		{.first = {40, 60}, .next_page = 40}, {.first = {40, 60}, .next_page = 69}};
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_map, &script);
	assert_int_equal(xenvram_map_region(conn, 7, count_run, &script), 0);
	assert_int_equal(script.n_seen, 4);
	fake_daemon_disconnect(&peer, conn);

	conn = fake_daemon_connect(&peer, script_map, &script);
	assert_int_equal(xenvram_map_ram(conn, 3, 0x400, 0xe0000, 70, count_run, &script), 0);
	assert_int_equal(script.n_seen, 8);
	fake_daemon_disconnect(&peer, conn);

	conn = fake_daemon_connect(&peer, script_map, &script);
	assert_int_equal(xenvram_map_region(conn, 7, stop_at_run, &script), 33);
	fake_daemon_disconnect(&peer, conn);

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		conn = fake_daemon_connect(&peer, script_map, &nonsense[i]);
		assert_fails(xenvram_map_region(conn, 7, count_run, &nonsense[i]), EPROTO);
		fake_daemon_disconnect(&peer, conn);
	}
}

#define PAGE_SIZE_REGIONS 3u

static void script_lists(struct fake_daemon *daemon, void *data)
{
	const Xenvram__V1__Request *request;
	(void)data;

	/* Regions 1 to 8 in pages of three. */
	while ((request = fake_daemon_next(daemon))) {
		Xenvram__V1__RegionInfo infos[PAGE_SIZE_REGIONS];
		Xenvram__V1__RegionInfo *regions[PAGE_SIZE_REGIONS];
		Xenvram__V1__ListRegionsReply list = XENVRAM__V1__LIST_REGIONS_REPLY__INIT;
		Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
		uint64_t cookie = request->list_regions->after_cookie;
		for (; list.n_regions < PAGE_SIZE_REGIONS && cookie < 8; list.n_regions++) {
			xenvram__v1__region_info__init(&infos[list.n_regions]);
			infos[list.n_regions].cookie = ++cookie;
			infos[list.n_regions].domid = request->list_regions->domid;
			regions[list.n_regions] = &infos[list.n_regions];
		}
		list.regions = regions;
		list.more = cookie < 8;
		reply.result_case = XENVRAM__V1__REPLY__RESULT_LIST_REGIONS;
		reply.list_regions = &list;
		fake_daemon_reply(daemon, &reply, NULL, 0);
	}
}

static int each_region(const struct xenvram_region *region, void *data)
{
	uint64_t *sum = data;
	assert_int_equal(region->domid, 9);
	*sum += region->cookie;
	return 0;
}

static int stop_at_five(const struct xenvram_region *region, void *data)
{
	(void)data;
	return region->cookie == 5 ? 55 : 0;
}

static void lists_are_paged(void **state)
{
	const uint32_t domid = 9;
	uint64_t sum = 0;
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_lists, NULL);
	assert_int_equal(xenvram_list_regions(conn, &domid, each_region, &sum), 0);
	assert_int_equal(sum, 36);
	assert_int_equal(xenvram_list_regions(conn, NULL, stop_at_five, NULL), 55);
	fake_daemon_disconnect(&peer, conn);
}

static void script_snapshots(struct fake_daemon *daemon, void *data)
{
	uint8_t bytes[] = {0x01, 0x80, 0xff}; /* of 17 pages: 0, 15, 16, and what is none */
	const Xenvram__V1__Request *request;
	(void)data;

	while ((request = fake_daemon_next(daemon))) {
		Xenvram__V1__SnapshotReply snapshot = XENVRAM__V1__SNAPSHOT_REPLY__INIT;
		Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
		snapshot.generation = request->snapshot->since + (request->snapshot->sync ? 10 : 1);
		snapshot.nr_pages = 17;
		if (request->snapshot->since != 5)
			snapshot.bitmap = (ProtobufCBinaryData){sizeof(bytes), bytes};
		reply.result_case = XENVRAM__V1__REPLY__RESULT_SNAPSHOT;
		reply.snapshot = &snapshot;
		fake_daemon_reply(daemon, &reply, NULL, 0);
	}
}

static void snapshots_are_taken(void **state)
{
	struct xenvram_snapshot snapshot;
	uint64_t bitmap[2] = {~0ull, ~0ull};
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_snapshots, NULL);
	assert_int_equal(xenvram_snapshot(conn, 1, 4, XENVRAM_SNAPSHOT_SYNC, bitmap, 128, &snapshot), 0);
	assert_int_equal(snapshot.generation, 14);
	assert_int_equal(snapshot.nr_pages, 17);
	assert_int_equal(snapshot.dirty_pages, 3);
	assert_int_equal(bitmap[0], 0x18001);
	assert_int_equal(bitmap[1], 0);
	assert_int_equal(xenvram_snapshot(conn, 1, 5, 0, bitmap, 17, &snapshot), 0);
	assert_int_equal(snapshot.generation, 6);
	assert_int_equal(snapshot.dirty_pages, 0);
	assert_int_equal(bitmap[0], 0);
	assert_fails(xenvram_snapshot(conn, 1, 0, 0, bitmap, 16, &snapshot), ERANGE);
	assert_fails(xenvram_snapshot(conn, 1, 0, 2, bitmap, 17, &snapshot), EINVAL);
	assert_int_equal(snapshot.generation, 6);
	fake_daemon_disconnect(&peer, conn);
}

/* ---- views ---- */

struct watched {
	struct fake_log log;
	int pipe_fds[2];
	uint64_t unsubscribed;
};

static void script_view(struct fake_daemon *daemon, void *data)
{
	struct watched *watched = data;
	Xenvram__V1__SubscribeReply subscribed = XENVRAM__V1__SUBSCRIBE_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	const int fds[] = {watched->log.fd, watched->pipe_fds[0]};
	const Xenvram__V1__Request *request = fake_daemon_next(daemon);

	subscribed.subscription = 77;
	subscribed.nr_pages = NR_PAGES;
	subscribed.has_wake = request->subscribe->want_wake;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SUBSCRIBE;
	reply.subscribe = &subscribed;
	fake_daemon_reply(daemon, &reply, fds, 2);
	watched->unsubscribed = fake_daemon_next(daemon)->unsubscribe->subscription;
	fake_daemon_ok(daemon);
}

static void a_view_follows_a_region(void **state)
{
	unsigned int n_open = count_open_fds();
	struct watched watched = {0};
	struct xenvram_view *view;
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(NR_PAGES)];
	uint64_t cursor = 1;
	(void)state;
	fake_log_init(&watched.log, 0xabc, NR_PAGES);
	assert_int_equal(pipe2(watched.pipe_fds, O_CLOEXEC), 0);
	struct xenvram *conn = fake_daemon_connect(&peer, script_view, &watched);
	assert_int_equal(xenvram_subscribe(conn, 0xabc, 0, XENVRAM_SUBSCRIBE_WAKE, &view), 0);
	assert_true(fcntl(xenvram_view_wake_fd(view), F_GETFD) & FD_CLOEXEC);

	fake_log_mark(&watched.log, 5);
	fake_log_publish(&watched.log);
	assert_int_equal(write(watched.pipe_fds[1], "", 1), 1);
	struct pollfd wake = {.fd = xenvram_view_wake_fd(view), .events = POLLIN};
	assert_int_equal(poll(&wake, 1, 0), 1);
	assert_int_equal(xenvram_view_drain(view), 1);
	assert_int_equal(xenvram_view_read(view, &cursor, 0, NR_PAGES, bitmap), 1);
	assert_int_equal(bitmap[0], 1 << 5);

	assert_int_equal(xenvram_unsubscribe(conn, view), 0);
	fake_daemon_disconnect(&peer, conn);
	assert_int_equal(watched.unsubscribed, 77);
	close(watched.pipe_fds[0]);
	close(watched.pipe_fds[1]);
	fake_log_deinit(&watched.log);
	assert_int_equal(count_open_fds(), n_open);
}

static void script_view_only(struct fake_daemon *daemon, void *data)
{
	struct watched *watched = data;
	Xenvram__V1__SubscribeReply subscribed = XENVRAM__V1__SUBSCRIBE_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	fake_daemon_next(daemon);
	subscribed.subscription = 77;
	subscribed.nr_pages = NR_PAGES;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SUBSCRIBE;
	reply.subscribe = &subscribed;
	fake_daemon_reply(daemon, &reply, &watched->log.fd, 1);
}

static void a_view_outlives_its_connection(void **state)
{
	struct watched watched = {0};
	struct xenvram_view *view;
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(NR_PAGES)];
	uint64_t cursor = 0;
	(void)state;
	fake_log_init(&watched.log, 0xabc, NR_PAGES);
	struct xenvram *conn = fake_daemon_connect(&peer, script_view_only, &watched);
	assert_int_equal(xenvram_subscribe(conn, 0xabc, 0, 0, &view), 0);
	fake_daemon_disconnect(&peer, conn);
	assert_int_equal(xenvram_view_read(view, &cursor, 0, NR_PAGES, bitmap), NR_PAGES);
	assert_int_equal(xenvram_unsubscribe(NULL, view), 0);
	assert_int_equal(xenvram_unsubscribe(NULL, NULL), 0);
	fake_log_deinit(&watched.log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_made_once),
		cmocka_unit_test(nothing_can_be_done_unconnected),
		cmocka_unit_test(a_connection_is_handed_over),
		cmocka_unit_test(what_is_no_connection_stays_its_owners),
		cmocka_unit_test(regions_are_created_and_destroyed),
		cmocka_unit_test(regions_are_moved_and_destroyed_in_part),
		cmocka_unit_test(pages_are_mapped),
		cmocka_unit_test(lists_are_paged),
		cmocka_unit_test(snapshots_are_taken),
		cmocka_unit_test(a_view_follows_a_region),
		cmocka_unit_test(a_view_outlives_its_connection),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
