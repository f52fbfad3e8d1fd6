/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service.h"

#include <err.h>
#include <errno.h>
#include <string.h>

#include "process.h"

#define MAX_SETTLING_POLLS 100u

void service_fail(struct xenvram *conn, const char *what)
{
	errx(1, "%s: %s (%s)", what, xenvram_error(conn), strerror(errno));
}

struct xenvram *service_connect(const struct bench_options *options)
{
	struct xenvram *conn = xenvram_new("bench");
	if (!conn)
		err(1, "xenvram_new");
	if (xenvram_connect(conn, options->socket) < 0)
		service_fail(conn, "connect");
	return conn;
}

uint64_t service_create(
	struct xenvram *conn, uint32_t domid, unsigned int place, uint64_t backing_gfn, uint64_t nr_pages)
{
	const struct xenvram_create create = {
		.domid = domid,
		.vram_gfn = VRAM_GFN + place * VRAM_SPACING,
		.backing_gfn = backing_gfn,
		.nr_pages = nr_pages,
	};
	uint64_t cookie;

	if (xenvram_create_region(conn, &create, &cookie) < 0)
		service_fail(conn, "create");
	return cookie;
}

void service_destroy(struct xenvram *conn, uint64_t cookie)
{
	if (xenvram_destroy_region(conn, cookie) < 0)
		service_fail(conn, "destroy");
}

struct xenvram_view *service_subscribe(
	struct xenvram *conn, uint64_t cookie, uint32_t period_us, uint32_t flags)
{
	struct xenvram_view *view;
	if (xenvram_subscribe(conn, cookie, period_us, flags, &view) < 0)
		service_fail(conn, "subscribe");
	return view;
}

void service_unsubscribe(struct xenvram *conn, struct xenvram_view *view)
{
	if (xenvram_unsubscribe(conn, view) < 0)
		service_fail(conn, "unsubscribe");
}

uint64_t service_settle(struct xenvram *conn, uint64_t cookie)
{
	static uint64_t bitmap[XENVRAM_BITMAP_WORDS(XENVRAM_MAX_REGION_PAGES)];
	struct xenvram_snapshot snapshot = {0};

	for (unsigned int i = 0; i < MAX_SETTLING_POLLS; i++) {
		if (xenvram_snapshot(conn, cookie, snapshot.generation, XENVRAM_SNAPSHOT_SYNC, bitmap,
			    XENVRAM_MAX_REGION_PAGES, &snapshot) < 0)
			service_fail(conn, "snapshot");
		if (i > 0 && snapshot.dirty_pages == 0)
			return snapshot.generation;
	}
	errx(1, "region 0x%llx does not come to rest", (unsigned long long)cookie);
}

static pid_t role(const struct bench_options *options, const char *name)
{
	pid_t pids[2];
	size_t n = process_children(options->daemon, name, pids, 2);
	if (n != 1)
		errx(1, "process %d has %s%zu children called %s, not one", options->daemon,
			n == 2 ? "at least " : "", n, name);
	return pids[0];
}

pid_t service_broker(const struct bench_options *options)
{
	return role(options, "xenvram-broker");
}

pid_t service_worker(const struct bench_options *options)
{
	return role(options, "xenvram-worker");
}
