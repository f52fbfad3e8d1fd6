/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The library's calls against a daemon that restarts, hangs, or goes away. */
#include "tests/unit/unit.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "client/libxenvram/xenvram.h"
#include "tests/unit/fake_daemon.h"
#include "tests/unit/fake_log.h"

#define NR_PAGES 200u

static struct fake_daemon peer;

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	return poll(&poll_fd, 1, timeout_ms) == 1;
}

struct seen {
	unsigned int n_changed;
	unsigned int n_restarted;
	uint64_t cookie;
	enum xenvram_region_state state;
};

static void on_region_changed(
	uint64_t cookie, enum xenvram_region_state state, const char *reason, void *data)
{
	struct seen *seen = data;
	assert_string_equal(reason, "because");
	seen->n_changed++;
	seen->cookie = cookie;
	seen->state = state;
}

static void on_restarted(void *data)
{
	struct seen *seen = data;
	seen->n_restarted++;
}

static const struct xenvram_handlers handlers = {on_region_changed, on_restarted};

/* ---- events ---- */

static void script_events(struct fake_daemon *daemon, void *data)
{
	(void)data;
	fake_daemon_next(daemon);
	fake_daemon_region_changed(daemon, 8, XENVRAM__V1__REGION_STATE__ACTIVE);
	fake_daemon_region_changed(daemon, 8, XENVRAM__V1__REGION_STATE__GONE);
	fake_daemon_ok(daemon);
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
	fake_daemon_region_changed(daemon, 9, XENVRAM__V1__REGION_STATE__REGION_STUCK);
	fake_daemon_next(daemon);
}

static void events_during_a_call_wait_for_dispatch(void **state)
{
	struct seen seen = {0};
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_events, NULL);
	xenvram_set_handlers(conn, &handlers, &seen);
	assert_false(is_readable(xenvram_fd(conn), 0));
	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	assert_int_equal(seen.n_changed, 0);
	assert_true(is_readable(xenvram_fd(conn), 0));
	assert_int_equal(xenvram_dispatch(conn), 1);
	assert_int_equal(seen.cookie, 8);
	assert_int_equal(seen.state, XENVRAM_REGION_GONE);
	assert_false(is_readable(xenvram_fd(conn), 0));
	assert_int_equal(xenvram_dispatch(conn), 0);

	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	assert_true(is_readable(xenvram_fd(conn), 5000));
	assert_int_equal(xenvram_dispatch(conn), 1);
	assert_int_equal(seen.cookie, 9);
	assert_int_equal(seen.state, XENVRAM_REGION_STUCK);
	fake_daemon_disconnect(&peer, conn);
}

static void script_restart(struct fake_daemon *daemon, void *data)
{
	const int *log_fd = data;
	Xenvram__V1__SubscribeReply subscribed = XENVRAM__V1__SUBSCRIBE_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	uint64_t late_serial = fake_daemon_next(daemon)->serial;

	fake_daemon_restarted(daemon);

	/* The late reply comes before the next call's; it must be dropped, and its subscription ended. */
	fake_daemon_next(daemon);
	reply.serial = late_serial;
	subscribed.subscription = 66;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SUBSCRIBE;
	reply.subscribe = &subscribed;
	fake_daemon_reply(daemon, &reply, log_fd, 1);
	fake_daemon_ok(daemon);
	if (fake_daemon_next(daemon)->unsubscribe->subscription != 66)
		abort();

	/* A restart that came before the request does not end it. */
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
	fake_daemon_restarted(daemon);
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
}

static void answer_snapshot(struct fake_daemon *daemon, uint64_t serial, uint64_t generation)
{
	Xenvram__V1__SnapshotReply snapshot = XENVRAM__V1__SNAPSHOT_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	snapshot.generation = generation;
	snapshot.nr_pages = NR_PAGES;
	reply.serial = serial;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SNAPSHOT;
	reply.snapshot = &snapshot;
	fake_daemon_reply(daemon, &reply, NULL, 0);
}

/* Restarts before a request, after it, and after it was sent again; the first reply comes yet. */
static void script_restarts_at_snapshots(struct fake_daemon *daemon, void *data)
{
	(void)data;
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
	fake_daemon_restarted(daemon);

	uint64_t serial = fake_daemon_next(daemon)->serial;
	fake_daemon_restarted(daemon);
	for (unsigned int i = 0; i < 2; i++) {
		const Xenvram__V1__Request *request = fake_daemon_next(daemon);
		if (request->snapshot->cookie != 7 || request->snapshot->since != 5 ||
			request->serial <= serial)
			abort();
	}
	answer_snapshot(daemon, serial, 8);
	answer_snapshot(daemon, daemon->request->serial, 9);
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
}

static void a_snapshot_is_asked_for_again_after_a_restart(void **state)
{
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(NR_PAGES)];
	struct xenvram_snapshot snapshot;
	struct seen seen = {0};
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_restarts_at_snapshots, NULL);
	xenvram_set_handlers(conn, &handlers, &seen);
	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	assert_true(is_readable(xenvram_fd(conn), 5000));
	assert_int_equal(xenvram_snapshot(conn, 7, 5, 0, bitmap, NR_PAGES, &snapshot), 0);
	assert_int_equal(snapshot.generation, 9);
	assert_int_equal(xenvram_dispatch(conn), 1);
	assert_int_equal(seen.n_restarted, 1); /* two that nobody looked at between are one */
	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	fake_daemon_disconnect(&peer, conn);
}

static void a_restart_ends_the_call_under_way(void **state)
{
	unsigned int n_open = count_open_fds();
	struct seen seen = {0};
	struct fake_log log;
	struct xenvram_view *view;
	(void)state;
	fake_log_init(&log, 1, NR_PAGES);
	struct xenvram *conn = fake_daemon_connect(&peer, script_restart, &log.fd);
	xenvram_set_handlers(conn, &handlers, &seen);
	assert_fails(xenvram_subscribe(conn, 1, 0, 0, &view), EAGAIN);
	assert_non_null(strstr(xenvram_error(conn), "restarted"));
	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	assert_int_equal(xenvram_dispatch(conn), 1);
	assert_int_equal(seen.n_restarted, 1);

	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	assert_true(is_readable(xenvram_fd(conn), 5000));
	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	fake_daemon_disconnect(&peer, conn);
	fake_log_deinit(&log);
	assert_int_equal(count_open_fds(), n_open);
}

/* ---- silence ---- */

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static void script_silence(struct fake_daemon *daemon, void *data)
{
	(void)data;
	fake_daemon_next(daemon);
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
}

static void silence_times_out(void **state)
{
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_silence, NULL);
	assert_int_equal(xenvram_set_timeout_ms(conn, 50), 0);
	uint64_t begin_ms = now_ms();
	assert_fails(xenvram_destroy_region(conn, 1), ETIMEDOUT);
	assert_in_range(now_ms() - begin_ms, 50, 5000);
	assert_int_equal(xenvram_set_timeout_ms(conn, 10000), 0);
	assert_int_equal(xenvram_destroy_region(conn, 1), 0);
	fake_daemon_disconnect(&peer, conn);
}

#define LONG_MS 3000u

static void script_late_event(struct fake_daemon *daemon, void *data)
{
	(void)data;
	fake_daemon_next(daemon);
	poll(NULL, 0, LONG_MS * 4 / 5);
	fake_daemon_region_changed(daemon, 8, XENVRAM__V1__REGION_STATE__GONE);
	fake_daemon_next(daemon);
}

static void events_do_not_lengthen_a_timeout(void **state)
{
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_late_event, NULL);
	assert_int_equal(xenvram_set_timeout_ms(conn, LONG_MS), 0);
	uint64_t begin_ms = now_ms();
	assert_fails(xenvram_destroy_region(conn, 1), ETIMEDOUT);
	assert_in_range(now_ms() - begin_ms, LONG_MS, LONG_MS * 3 / 2);
	fake_daemon_disconnect(&peer, conn);
}

static void no_hello_times_out(void **state)
{
	unsigned int n_open = count_open_fds();
	struct sockaddr_storage address;
	socklen_t n_bytes = sizeof(address);
	int first;
	(void)state;
	/* Only the first is accepted; the others wait in the backlog. */
	fake_daemon_start(&peer, NULL, NULL);
	assert_int_equal(getsockname(peer.listening, (struct sockaddr *)&address, &n_bytes), 0);
	first = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(first, (struct sockaddr *)&address, n_bytes), 0);
	struct xenvram *conn = xenvram_new("test");
	assert_int_equal(xenvram_set_timeout_ms(conn, 50), 0);
	assert_fails(xenvram_connect(conn, peer.path), ETIMEDOUT);
	assert_fails(xenvram_connect(conn, peer.path), ETIMEDOUT);
	xenvram_free(conn);
	close(first);
	fake_daemon_join(&peer);
	assert_int_equal(count_open_fds(), n_open);
}

/* ---- the end ---- */

static void script_hang_up(struct fake_daemon *daemon, void *data)
{
	(void)data;
	fake_daemon_next(daemon);
	fake_daemon_region_changed(daemon, 8, XENVRAM__V1__REGION_STATE__GONE);
}

static void on_region_changed_asking(
	uint64_t cookie, enum xenvram_region_state state, const char *reason, void *data)
{
	struct xenvram *conn = data;
	(void)cookie;
	(void)state;
	(void)reason;
	assert_int_equal(xenvram_set_timeout_ms(conn, 1000), 0);
	assert_string_equal(xenvram_error(conn), "");
}

/* A handler's calls have reasons of their own. */
static void the_reason_of_a_dispatch_is_its_own(void **state)
{
	static const struct xenvram_handlers asking = {on_region_changed_asking, NULL};
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_hang_up, NULL);
	xenvram_set_handlers(conn, &asking, conn);
	assert_fails(xenvram_destroy_region(conn, 1), ECONNRESET);
	assert_fails(xenvram_dispatch(conn), ENOTCONN);
	assert_string_not_equal(xenvram_error(conn), "");
	fake_daemon_disconnect(&peer, conn);
}

static void the_end_is_told_after_the_last_event(void **state)
{
	struct seen seen = {0};
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_hang_up, NULL);
	xenvram_set_handlers(conn, &handlers, &seen);
	assert_fails(xenvram_destroy_region(conn, 1), ECONNRESET);
	assert_fails(xenvram_destroy_region(conn, 1), ENOTCONN);
	assert_true(is_readable(xenvram_fd(conn), 0));
	assert_fails(xenvram_dispatch(conn), ENOTCONN);
	assert_int_equal(seen.n_changed, 1);
	assert_true(is_readable(xenvram_fd(conn), 0));
	fake_daemon_disconnect(&peer, conn);
}

static void a_refused_hello_leaves_nothing(void **state)
{
	unsigned int n_open = count_open_fds();
	(void)state;
	fake_daemon_start(&peer, NULL, NULL);
	struct xenvram *conn = xenvram_new("test");
	assert_fails(xenvram_connect(conn, peer.path), ECONNRESET);
	assert_fails(xenvram_destroy_region(conn, 1), ENOTCONN);
	fake_daemon_disconnect(&peer, conn);
	assert_int_equal(count_open_fds(), n_open);
}

/* ---- handing over ---- */

static void answer_hello(struct fake_daemon *daemon)
{
	Xenvram__V1__HelloReply hello = XENVRAM__V1__HELLO_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;

	fake_daemon_next(daemon);
	hello.version = 1;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_HELLO;
	reply.hello = &hello;
	fake_daemon_reply(daemon, &reply, NULL, 0);
}

static void script_late(struct fake_daemon *daemon, void *data)
{
	Xenvram__V1__Reply late = XENVRAM__V1__REPLY__INIT;

	(void)data;
	late.serial = fake_daemon_next(daemon)->serial;
	fake_daemon_region_changed(daemon, 8, XENVRAM__V1__REGION_STATE__GONE);
	fake_daemon_next(daemon);
	fake_daemon_ok(daemon);
	answer_hello(daemon);
	fake_daemon_next(daemon);
	fake_daemon_reply(daemon, &late, NULL, 0);
	fake_daemon_fail(daemon, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT, "no such region");
	answer_hello(daemon);
	fake_daemon_next(daemon);
}

/* Neither an answer that its owner gave up on, nor an event that he did not take, is the next one's. */
static void what_was_for_the_owner_before_is_not_for_the_next(void **state)
{
	struct seen seen = {0};
	(void)state;
	struct xenvram *conn = fake_daemon_connect(&peer, script_late, NULL);
	struct xenvram *heir = xenvram_new("heir");
	xenvram_set_handlers(conn, &handlers, &seen);
	assert_int_equal(xenvram_set_timeout_ms(conn, 20), 0);
	assert_fails(xenvram_destroy_region(conn, 1), ETIMEDOUT);
	assert_int_equal(xenvram_set_timeout_ms(conn, 20000), 0);
	assert_int_equal(xenvram_refresh(conn, 1), 0);
	int fd = xenvram_release_fd(conn);
	assert_int_equal(xenvram_connect_fd(heir, fd), 0);
	assert_fails(xenvram_destroy_region(heir, 2), ENOENT);

	assert_int_equal(xenvram_connect_fd(conn, xenvram_release_fd(heir)), 0);
	assert_int_equal(xenvram_dispatch(conn), 0);
	assert_int_equal(seen.n_changed, 0);
	xenvram_free(heir);
	fake_daemon_disconnect(&peer, conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_during_a_call_wait_for_dispatch),
		cmocka_unit_test(a_restart_ends_the_call_under_way),
		cmocka_unit_test(a_snapshot_is_asked_for_again_after_a_restart),
		cmocka_unit_test(silence_times_out),
		cmocka_unit_test(events_do_not_lengthen_a_timeout),
		cmocka_unit_test(no_hello_times_out),
		cmocka_unit_test(the_end_is_told_after_the_last_event),
		cmocka_unit_test(the_reason_of_a_dispatch_is_its_own),
		cmocka_unit_test(a_refused_hello_leaves_nothing),
		cmocka_unit_test(what_was_for_the_owner_before_is_not_for_the_next),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
