/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What it costs a reader to look at a region: through the library, in the log that the service writes. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "direct.h"
#include "proto/region_log.h"
#include "service.h"

struct reader {
	const struct xenvram_view *view;
	uint64_t cursor;
	uint64_t nr_pages;
	uint64_t *bitmap;
	uint64_t dirty_pages; /* what every look must find */
};

static void check(void *data, uint32_t n)
{
	const struct reader *reader = data;
	uint32_t changed = 0;
	for (uint32_t i = 0; i < n; i++)
		changed += xenvram_view_changed(reader->view, reader->cursor);
	if (changed)
		errx(1, "a region changed that nobody writes to");
}

static void look(void *data, uint32_t n)
{
	const struct reader *reader = data;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t cursor = reader->cursor;
		uint64_t found =
			xenvram_view_read(reader->view, &cursor, 0, reader->nr_pages, reader->bitmap);
		if (found != reader->dirty_pages)
			errx(1, "%llu dirty pages instead of %llu", (unsigned long long)found,
				(unsigned long long)reader->dirty_pages);
	}
}

static void system_call(void *data, uint32_t n)
{
	(void)data;
	for (uint32_t i = 0; i < n; i++)
		syscall(SYS_getppid);
}

struct copy {
	const void *from;
	void *to;
	size_t bytes;
};

static void copy(void *data, uint32_t n)
{
	const struct copy *copy = data;
	for (uint32_t i = 0; i < n; i++) {
		memcpy(copy->to, copy->from, copy->bytes);
		__asm__ volatile("" : : "r"(copy->to) : "memory");
	}
}

/* The generations of the pages, which is what a scan of everything has to look at. */
static struct copy copy_of_pages(const struct xenvram_view *view, uint64_t nr_pages)
{
	const char *header = (const char *)view->generation - offsetof(struct region_log_header, generation);
	struct copy copy = {
		.from = header + region_log_page_offset(nr_pages),
		.bytes = nr_pages * sizeof(uint64_t),
	};
	copy.to = malloc(copy.bytes);
	if (!copy.to)
		err(1, "malloc");
	return copy;
}

/* Every hundredth page. */
static uint64_t mark_one_percent(struct xenvram *conn, uint64_t cookie, uint64_t nr_pages)
{
	struct xenvram_run runs[1024];
	uint64_t n = 0;

	for (uint64_t page = 0; page < nr_pages; page += 100)
		runs[n++] = (struct xenvram_run){.first = page, .nr_pages = 1};
	if (xenvram_mark_dirty(conn, cookie, runs, n) < 0)
		service_fail(conn, "mark_dirty");
	return n;
}

static void report(const struct bench_options *options, const char *what, unsigned int mib,
	const struct bench_subject *subject, const struct bench_subject *anchor, struct bench_goal goal)
{
	char name[64];
	snprintf(name, sizeof(name), "reader, %s, %u MiB", what, mib);
	bench_report_pair(options, name, "ns", 1, subject, anchor, goal);
}

/* On Xen the direct call is the anchor: what a look costs without the service. */
static void measure(const struct bench_options *options, struct xenvram *conn, unsigned int mib)
{
	uint64_t nr_pages = mib * PAGES_PER_MIB;
	uint64_t cookie = service_create(conn, options->domid, 0, BACKING_GFN, nr_pages);
	struct xenvram_view *view = service_subscribe(conn, cookie, LONGEST_PERIOD_US, 0);
	uint64_t *bitmap = calloc(XENVRAM_BITMAP_WORDS(nr_pages), sizeof(*bitmap));
	struct copy pages = copy_of_pages(view, nr_pages);
	struct direct direct;

	if (!bitmap)
		err(1, "calloc");
	direct_init(&direct, options->domid, VRAM_GFN, nr_pages);

	/* Which pages a reader finds is a matter of its cursor, so all of them can look at the same log: all
	   pages at `before`, one in a hundred at `all_seen`, and nothing after. */
	uint64_t before = service_settle(conn, cookie);
	if (xenvram_refresh(conn, cookie) < 0)
		service_fail(conn, "refresh");
	uint64_t all_seen = service_settle(conn, cookie);
	uint64_t n_marked = mark_one_percent(conn, cookie, nr_pages);
	uint64_t now = service_settle(conn, cookie);

	struct reader none = {.view = view, .cursor = now};
	struct reader few = {view, all_seen, nr_pages, bitmap, n_marked};
	struct reader all = {view, before, nr_pages, bitmap, nr_pages};
	struct bench_subject unchanged = {.name = "reader", .run = check, .data = &none};
	struct bench_subject one_percent = {.name = "reader", .run = look, .data = &few};
	struct bench_subject everything = {.name = "reader", .run = look, .data = &all};
	struct bench_subject call = {.name = "empty system call", .run = system_call};
	struct bench_subject memory = {
		.name = "memcpy of the pages' generations", .run = copy, .data = &pages};
	struct bench_subject track = {.name = "direct hypercall", .run = direct_track, .data = &direct};
	struct bench_subject *subjects[] = {&unchanged, &call, &one_percent, &memory, &everything, &track};

	bench_interleave(options, subjects, options->on_xen ? 6 : 5);
	if (options->on_xen) {
		report(options, "nothing changed", mib, &unchanged, &track,
			(struct bench_goal){RATIO_BELOW, 0.001});
		report(options, "1 % dirty", mib, &one_percent, &track, (struct bench_goal){0});
		report(options, "all dirty", mib, &everything, &track, (struct bench_goal){0});
		report(options, "direct hypercall", mib, &track, &call, (struct bench_goal){0});
	} else {
		struct bench_goal all_goal = {VALUE_AT_MOST, 3000};
		report(options, "nothing changed", mib, &unchanged, &call,
			(struct bench_goal){VALUE_AT_MOST, 10});
		report(options, "1 % dirty", mib, &one_percent, &memory, (struct bench_goal){0});
		report(options, "all dirty", mib, &everything, &memory,
			mib == 16 ? all_goal : (struct bench_goal){0});
	}

	direct_deinit(&direct);
	free(pages.to);
	free(bitmap);
	service_unsubscribe(conn, view);
	service_destroy(conn, cookie);
}

int main(int argc, char **argv)
{
	struct bench_options options;
	bench_parse(&options, argc, argv);
	struct xenvram *conn = service_connect(&options);
	measure(&options, conn, 16);
	measure(&options, conn, 128);
	xenvram_free(conn);
	return 0;
}
