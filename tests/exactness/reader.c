/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/exactness/reader.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HABIT_ODDS       40u /* one step in so many is a pause, or a stop */
#define MAX_PAUSE_US     300000u
#define MAX_STOP_US      200000u
#define SYNC_ODDS        4u /* one snapshot in so many asks the hypervisor now */
#define LOOK_UP_MS       20u
#define WAKE_PATIENCE_MS 30000
#define RETRY_US         10000u

static void fail_call(const struct reader *reader, const char *what)
{
	errx(1, "reader %s: %s: %s (%s)", reader->plan.name, what, xenvram_error(reader->conn),
		strerror(errno));
}

static void sleep_up_to(struct reader *reader, uint32_t us)
{
	usleep(random_below(&reader->random, us + 1));
}

/* A part of the service was killed: it is asked again until somebody answers. */
static bool is_worth_another_try(void)
{
	if (errno != EAGAIN)
		return false;
	usleep(RETRY_US);
	return true;
}

static void subscribe(struct reader *reader)
{
	const struct reader_plan *plan = &reader->plan;
	uint32_t flags = plan->way == BY_WAKE ? XENVRAM_SUBSCRIBE_WAKE : 0;

	while (xenvram_subscribe_pages(reader->conn, reader->cookie, plan->first, plan->nr_pages,
		       plan->period_us, flags, &reader->view) < 0) {
		if (!is_worth_another_try())
			fail_call(reader, "subscribe");
	}
}

static void unsubscribe(struct reader *reader)
{
	if (xenvram_unsubscribe(reader->conn, reader->view) < 0 && errno != EAGAIN)
		fail_call(reader, "unsubscribe");
	reader->view = NULL;
}

/* ---- reading ---- */

static void add_seen(struct reader *reader, const uint64_t *bitmap)
{
	struct xenvram_run run = {0};
	while (xenvram_bitmap_next_run(bitmap, reader->plan.nr_pages, run.first + run.nr_pages, &run)) {
		for (uint64_t i = 0; i < run.nr_pages; i++)
			page_set_add(&reader->seen, reader->plan.first + run.first + i);
	}
}

static uint64_t read_view(struct reader *reader)
{
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(MAX_HEAD_PAGES)];

	if (!xenvram_view_changed(reader->view, reader->cursor))
		return 0;
	int n = xenvram_view_read(
		reader->view, &reader->cursor, reader->plan.first, reader->plan.nr_pages, bitmap);
	if (n < 0)
		err(1, "reader %s: view_read", reader->plan.name);
	add_seen(reader, bitmap);
	reader->totals.reads++;
	return n;
}

static void ask(struct reader *reader, uint32_t flags, uint64_t *bitmap, struct xenvram_snapshot *snapshot)
{
	const struct reader_plan *plan = &reader->plan;
	while (xenvram_snapshot_pages(reader->conn, reader->cookie, plan->first, plan->nr_pages,
		       reader->cursor, flags, bitmap, MAX_HEAD_PAGES, snapshot) < 0) {
		if (!is_worth_another_try())
			fail_call(reader, "snapshot");
	}
}

static uint64_t read_snapshot(struct reader *reader, uint32_t flags)
{
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(MAX_HEAD_PAGES)];
	struct xenvram_snapshot snapshot;

	ask(reader, flags, bitmap, &snapshot);
	reader->cursor = snapshot.generation;
	add_seen(reader, bitmap);
	reader->totals.reads++;
	return snapshot.dirty_pages;
}

/* Empties the pipe first: what is published after that wakes it again. */
static bool is_woken(struct reader *reader, int patience_ms)
{
	struct pollfd wake = {.fd = xenvram_view_wake_fd(reader->view), .events = POLLIN};
	if (poll(&wake, 1, patience_ms) <= 0)
		return false;
	if (xenvram_view_drain(reader->view) < 0)
		err(1, "reader %s: the wake pipe has ended", reader->plan.name);
	return true;
}

/* Is there anything that it has not read? */
static bool is_behind(const struct reader *reader)
{
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(MAX_HEAD_PAGES)], cursor = reader->cursor;
	return xenvram_view_read(reader->view, &cursor, reader->plan.first, reader->plan.nr_pages, bitmap) >
	       0;
}

uint64_t reader_catch_up(struct reader *reader)
{
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(MAX_HEAD_PAGES)];
	struct xenvram_snapshot snapshot;

	if (reader->plan.way == BY_SNAPSHOT)
		return read_snapshot(reader, XENVRAM_SNAPSHOT_SYNC);
	ask(reader, XENVRAM_SNAPSHOT_SYNC, bitmap, &snapshot); /* what it answers is not what is checked */
	if (reader->plan.way == BY_WAKE && is_behind(reader) && !is_woken(reader, WAKE_PATIENCE_MS)) {
		printf("reader %s is behind and was not woken for %d ms\n", reader->plan.name,
			WAKE_PATIENCE_MS);
		reader->totals.missed_wakes++;
	}
	return read_view(reader);
}

/* ---- its life ---- */

static void stop_and_resume(struct reader *reader)
{
	reader->totals.stops++;
	unsubscribe(reader);
	sleep_up_to(reader, MAX_STOP_US);
	subscribe(reader);
}

static void step(struct reader *reader)
{
	const struct reader_plan *plan = &reader->plan;

	if (plan->habits & PAUSES && random_one_in(&reader->random, HABIT_ODDS))
		sleep_up_to(reader, MAX_PAUSE_US);
	if (plan->habits & STOPS && random_one_in(&reader->random, HABIT_ODDS))
		stop_and_resume(reader);
	switch (plan->way) {
	case BY_WAKE:
		if (is_woken(reader, LOOK_UP_MS))
			read_view(reader);
		break;
	case BY_MAPPING:
		sleep_up_to(reader, 2 * plan->period_us);
		read_view(reader);
		break;
	case BY_SNAPSHOT:
		sleep_up_to(reader, 2 * plan->period_us);
		read_snapshot(reader, random_one_in(&reader->random, SYNC_ODDS) ? XENVRAM_SNAPSHOT_SYNC : 0);
		break;
	}
}

static void *run(void *data)
{
	struct reader *reader = data;
	for (;;) {
		pthread_barrier_wait(&reader->rounds->begin);
		if (reader->rounds->over)
			return NULL;
		while (atomic_load(&reader->rounds->running))
			step(reader);
		reader_catch_up(reader);
		pthread_barrier_wait(&reader->rounds->end);
	}
}

void reader_init(struct reader *reader, const struct reader_plan *plan, struct rounds *rounds,
	const char *socket_path, uint64_t cookie, uint64_t seed)
{
	*reader = (struct reader){.plan = *plan, .rounds = rounds, .cookie = cookie, .random = {seed}};
	reader->conn = xenvram_new("exactness");
	if (!reader->conn)
		err(1, "xenvram_new");
	if (xenvram_connect(reader->conn, socket_path) < 0)
		fail_call(reader, "connect");
	if (plan->way != BY_SNAPSHOT)
		subscribe(reader);
	errno = pthread_create(&reader->thread, NULL, run, reader);
	if (errno)
		err(1, "pthread_create");
}

void reader_deinit(struct reader *reader)
{
	pthread_join(reader->thread, NULL);
	if (reader->view)
		unsubscribe(reader);
	xenvram_free(reader->conn);
}

void reader_move(struct reader *reader, uint32_t first, uint32_t nr_pages)
{
	unsubscribe(reader);
	reader->plan.first = first;
	reader->plan.nr_pages = nr_pages;
	subscribe(reader);
}

/* ---- judging ---- */

static void show_page(const struct reader *reader, const char *what, uint64_t page)
{
	printf("reader %s, page %" PRIu64 ": %s\n", reader->plan.name, page, what);
}

void reader_judge(struct reader *reader, const struct page_set *written, bool may_be_more)
{
	struct reader_totals *totals = &reader->totals;
	uint64_t lost = 0, extra = 0;

	for (uint64_t page = reader->plan.first; page < reader->plan.first + reader->plan.nr_pages; page++) {
		bool was_written = page_set_has(written, page);
		bool was_seen = page_set_has(&reader->seen, page);
		totals->written += was_written;
		totals->reported += was_seen;
		if (was_written && !was_seen && lost++ == 0)
			show_page(reader, "LOST", page);
		if (was_seen && !was_written && extra++ == 0 && !may_be_more)
			show_page(reader, "reported without cause", page);
	}
	totals->lost += lost;
	if (may_be_more)
		totals->explained += extra;
	else
		totals->unexplained += extra;
	reader->seen = (struct page_set){0};
}
