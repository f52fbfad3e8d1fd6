/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenvram-exactness DOMID SOCKET SUPERVISOR_PID SEED SECONDS [COMMAND]: what readers are told, page by page,
 * on simulated and on real Xen alike. In each round the guest writes random pages of several heads while 8
 * readers read, each in its own way, at its own pace, its own pages; some pause, some stop and come back. At
 * the round's end each must have seen every page that was written. It must have seen no other, unless
 * something happened in the round after which nobody can know: a worker was killed, or a head came or went
 * and with it the range that the hypervisor tracks. A killed broker is no excuse.
 * Every other worker, if there is a COMMAND, dies not at any time but as that has it die: in its next poll,
 * for one, with bits that it has read and not told.
 *
 * It goes on until there were rounds of every kind, and exits with 0 only if all of this was so.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/exactness/reader.h"
#include "tests/exactness/victim.h"
#include "tests/xen/guest_driver.h"

#define MAX_BATCHES        30u
#define MAX_BATCH_PAGES    48u
#define MAX_BATCH_PAUSE_US 15000u
/* Readers that ask by message only keep their pages tracked for 5 s after each question. */
#define MAX_EXACT_ROUND_NS 4000000000ull
/* Longer than the range must stay as it is after a change. */
#define RANGE_PAUSE_US 250000u
#define PATIENCE_NS    60000000000ull
/* A part that is killed again and again is started ever later. */
#define MAX_KILLS 7u

struct head {
	uint32_t vram_gfn;
	uint32_t backing_gfn;
	uint32_t nr_pages;
	uint64_t cookie;
	struct page_set written; /* in this round */
};

/* The last one comes and goes. It lies at the edge, so that the tracked range becomes another one with it. */
enum { LOW, MIDDLE, HIGH, EDGE, N_HEADS };
static struct head heads[N_HEADS] = {
	[EDGE] = {.vram_gfn = 0xf1000, .backing_gfn = 0x1c00, .nr_pages = 64},
	[LOW] = {.vram_gfn = 0xf1100, .backing_gfn = 0x1000, .nr_pages = MAX_HEAD_PAGES},
	[MIDDLE] = {.vram_gfn = 0xf1600, .backing_gfn = 0x1a00, .nr_pages = 150},
	[HIGH] = {.vram_gfn = 0xf1800, .backing_gfn = 0x1800, .nr_pages = 300},
};

/* The two steady ones hold the range's ends: whatever the others do, it stays the same. */
static const struct reader_plan plans[] = {
	{"all, mapped", LOW, 0, MAX_HEAD_PAGES, BY_MAPPING, 5000, STEADY},
	{"all, woken", LOW, 0, MAX_HEAD_PAGES, BY_WAKE, 10000, PAUSES | STOPS},
	{"part, woken", LOW, 100, 300, BY_WAKE, 3000, PAUSES},
	{"moving part", LOW, 300, 400, BY_MAPPING, 50000, STOPS | MOVES},
	{"all, asking", LOW, 0, MAX_HEAD_PAGES, BY_SNAPSHOT, 30000, PAUSES},
	{"upper part", HIGH, 100, 200, BY_MAPPING, 20000, STEADY},
	{"lower part", HIGH, 50, 100, BY_WAKE, 7000, STOPS},
	{"asking only", MIDDLE, 10, 140, BY_SNAPSHOT, 15000, PAUSES},
};
#define N_READERS (sizeof(plans) / sizeof(plans[0]))

enum round_kind { UNDISTURBED, BROKER_KILLED, WORKER_KILLED, RANGE_CHANGED, N_ROUND_KINDS };
static const char *const kind_names[N_ROUND_KINDS] = {
	"undisturbed", "broker killed", "worker killed", "range changed"};

struct test {
	uint32_t domid;
	struct guest_driver guest;
	struct xenvram *conn;
	pid_t supervisor;
	const char *kill_command; /* NULL: there is none */
	struct random random;
	struct rounds rounds;
	struct reader readers[N_READERS];
	struct xenvram_view *edge_view;
	unsigned int n_rounds[N_ROUND_KINDS];
	unsigned int n_too_long;
	unsigned int n_exact; /* rounds in which no page may be reported that was not written */
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void fail_call(struct test *test, const char *what)
{
	errx(1, "%s: %s (%s)", what, xenvram_error(test->conn), strerror(errno));
}

/* ---- the guest writes ---- */

/* Single pages and runs, of any of the heads that stay. */
static void write_batch(struct test *test)
{
	struct head *head = &heads[random_below(&test->random, EDGE)];
	uint32_t gfns[MAX_BATCH_PAGES];
	uint32_t n = 1 + random_below(&test->random, MAX_BATCH_PAGES);
	bool is_run = random_one_in(&test->random, 3);
	uint32_t page = 0;

	for (uint32_t i = 0; i < n; i++) {
		page = i > 0 && is_run ? (page + 1) % head->nr_pages
				       : random_below(&test->random, head->nr_pages);
		gfns[i] = head->vram_gfn + page;
		page_set_add(&head->written, page);
	}
	int result = guest_driver_write(&test->guest, gfns, n, random_next(&test->random));
	if (result < 0)
		errx(1, "the guest does not write: %s", strerror(-result));
}

/* ---- what happens to the service ---- */

static void add_head(struct test *test, struct head *head)
{
	const struct xenvram_create create = {
		.domid = test->domid,
		.vram_gfn = head->vram_gfn,
		.backing_gfn = head->backing_gfn,
		.nr_pages = head->nr_pages,
	};
	if (xenvram_create_region(test->conn, &create, &head->cookie) < 0)
		fail_call(test, "create");
}

static void toggle_edge(struct test *test)
{
	struct head *edge = &heads[EDGE];

	if (test->edge_view) {
		if (xenvram_unsubscribe(test->conn, test->edge_view) < 0)
			fail_call(test, "unsubscribe");
		test->edge_view = NULL;
		if (xenvram_destroy_region(test->conn, edge->cookie) < 0)
			fail_call(test, "destroy");
		return;
	}
	add_head(test, edge);
	if (xenvram_subscribe(test->conn, edge->cookie, 0, 0, &test->edge_view) < 0)
		fail_call(test, "subscribe");
}

static enum round_kind choose_kind(struct test *test)
{
	static const enum round_kind kinds[] = {
		UNDISTURBED,
		UNDISTURBED,
		UNDISTURBED,
		BROKER_KILLED,
		WORKER_KILLED,
		WORKER_KILLED,
		RANGE_CHANGED,
	};
	enum round_kind kind = kinds[random_below(&test->random, sizeof(kinds) / sizeof(kinds[0]))];
	bool kills = kind == WORKER_KILLED || kind == BROKER_KILLED;
	return kills && test->n_rounds[kind] == MAX_KILLS ? UNDISTURBED : kind;
}

static void kill_role(struct test *test, const char *role)
{
	if (!victim_kill(test->supervisor, role))
		errx(1, "process %d has no %s to be killed", (int)test->supervisor, role);
}

static void kill_worker(struct test *test)
{
	if (!test->kill_command || random_one_in(&test->random, 2))
		kill_role(test, "worker");
	else if (system(test->kill_command) != 0)
		errx(1, "%s: failed", test->kill_command);
}

static void disturb(struct test *test, enum round_kind kind)
{
	switch (kind) {
	case BROKER_KILLED:
		kill_role(test, "broker");
		break;
	case WORKER_KILLED:
		kill_worker(test);
		break;
	case RANGE_CHANGED:
		toggle_edge(test);
		break;
	default:
		break;
	}
}

/* ---- rounds ---- */

/* Until nothing is dirty for anybody: what comes after that was written after that. */
static void settle(struct test *test)
{
	uint64_t deadline_ns = now_ns() + PATIENCE_NS;
	uint64_t n_dirty;

	usleep(RANGE_PAUSE_US);
	do {
		n_dirty = 0;
		for (size_t i = 0; i < N_READERS; i++)
			n_dirty += reader_catch_up(&test->readers[i]);
		if (now_ns() > deadline_ns)
			errx(1, "%" PRIu64 " pages are dirty still, though nobody writes", n_dirty);
	} while (n_dirty > 0);
	for (size_t i = 0; i < N_READERS; i++)
		test->readers[i].seen = (struct page_set){0};
}

static bool move_readers(struct test *test)
{
	bool moved = false;
	for (size_t i = 0; i < N_READERS; i++) {
		struct reader *reader = &test->readers[i];
		uint32_t nr_pages = heads[reader->plan.head].nr_pages;
		if (!(reader->plan.habits & MOVES) || random_one_in(&test->random, 2))
			continue;
		uint32_t first = random_below(&test->random, nr_pages);
		reader_move(reader, first, 1 + random_below(&test->random, nr_pages - first));
		moved = true;
	}
	return moved;
}

static void play_round(struct test *test)
{
	enum round_kind kind = choose_kind(test);
	uint32_t n_batches = 1 + random_below(&test->random, MAX_BATCHES);
	uint32_t disturbed_at = random_below(&test->random, n_batches);
	uint64_t begun_ns = now_ns();

	for (size_t i = 0; i < N_HEADS; i++)
		heads[i].written = (struct page_set){0};
	atomic_store(&test->rounds.running, true);
	pthread_barrier_wait(&test->rounds.begin);
	for (uint32_t i = 0; i < n_batches; i++) {
		write_batch(test);
		if (i == disturbed_at)
			disturb(test, kind);
		usleep(random_below(&test->random, MAX_BATCH_PAUSE_US));
	}
	atomic_store(&test->rounds.running, false);
	pthread_barrier_wait(&test->rounds.end);

	bool too_long = now_ns() - begun_ns > MAX_EXACT_ROUND_NS;
	bool may_be_more = too_long || kind == WORKER_KILLED || kind == RANGE_CHANGED;
	for (size_t i = 0; i < N_READERS; i++)
		reader_judge(&test->readers[i], &heads[test->readers[i].plan.head].written, may_be_more);
	test->n_rounds[kind]++;
	test->n_too_long += too_long;
	test->n_exact += !may_be_more;
	if (move_readers(test) || may_be_more)
		settle(test);
}

static bool had_all_kinds(const struct test *test)
{
	for (unsigned int kind = 0; kind < N_ROUND_KINDS; kind++) {
		if (test->n_rounds[kind] == 0)
			return false;
	}
	return true;
}

/* ---- the result ---- */

static bool is_well(const struct test *test)
{
	bool well = test->n_exact > 0;
	uint64_t n_stops = 0;

	printf("%-12s %6s %6s %8s %9s %10s %12s %6s %12s\n", "reader", "reads", "stops", "written",
		"reported", "explained", "unexplained", "lost", "missed wakes");
	for (size_t i = 0; i < N_READERS; i++) {
		const struct reader_totals *totals = &test->readers[i].totals;
		printf("%-12s %6" PRIu64 " %6" PRIu64 " %8" PRIu64 " %9" PRIu64 " %10" PRIu64 " %12" PRIu64
		       " %6" PRIu64 " %12" PRIu64 "\n",
			test->readers[i].plan.name, totals->reads, totals->stops, totals->written,
			totals->reported, totals->explained, totals->unexplained, totals->lost,
			totals->missed_wakes);
		n_stops += totals->stops;
		well &= totals->written > 0 && totals->unexplained + totals->lost + totals->missed_wakes == 0;
	}
	printf("rounds:");
	for (unsigned int kind = 0; kind < N_ROUND_KINDS; kind++)
		printf(" %u %s,", test->n_rounds[kind], kind_names[kind]);
	printf(" of all %u too long to be exact, %u exact\n", test->n_too_long, test->n_exact);
	return well && n_stops > 0;
}

static void begin(struct test *test, const char *socket_path, uint64_t seed)
{
	test->random.state = seed;
	test->conn = xenvram_new("exactness");
	if (!test->conn)
		err(1, "xenvram_new");
	if (xenvram_connect(test->conn, socket_path) < 0)
		fail_call(test, "connect");
	for (size_t i = 0; i < EDGE; i++)
		add_head(test, &heads[i]);
	pthread_barrier_init(&test->rounds.begin, NULL, N_READERS + 1);
	pthread_barrier_init(&test->rounds.end, NULL, N_READERS + 1);
	for (size_t i = 0; i < N_READERS; i++)
		reader_init(&test->readers[i], &plans[i], &test->rounds, socket_path,
			heads[plans[i].head].cookie, random_next(&test->random));
	settle(test);
}

static void end(struct test *test)
{
	test->rounds.over = true;
	pthread_barrier_wait(&test->rounds.begin);
	for (size_t i = 0; i < N_READERS; i++)
		reader_deinit(&test->readers[i]);
	if (test->edge_view)
		toggle_edge(test);
	for (size_t i = 0; i < EDGE; i++) {
		if (xenvram_destroy_region(test->conn, heads[i].cookie) < 0)
			fail_call(test, "destroy");
	}
	xenvram_free(test->conn);
}

int main(int argc, char **argv)
{
	static struct test test;

	if (argc != 6 && argc != 7)
		errx(2, "usage: xenvram-exactness DOMID SOCKET SUPERVISOR_PID SEED SECONDS [COMMAND]");
	uint32_t domid = strtoul(argv[1], NULL, 10);
	uint64_t seed = strtoull(argv[4], NULL, 0);
	uint64_t till_ns = now_ns() + strtoul(argv[5], NULL, 10) * 1000000000ull;
	test.supervisor = strtol(argv[3], NULL, 10);
	test.kill_command = argv[6];
	setvbuf(stdout, NULL, _IOLBF, 0);

	xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
	if (!memory)
		err(1, "xenforeignmemory_open");
	int result = guest_driver_init(&test.guest, memory, domid);
	if (result < 0)
		errx(1, "the guest does not run: %s", strerror(-result));
	test.domid = domid;
	printf("seed %" PRIu64 "\n", seed);
	begin(&test, argv[2], seed);
	while (now_ns() < till_ns || !had_all_kinds(&test))
		play_round(&test);
	end(&test);
	guest_driver_deinit(&test.guest);
	xenforeignmemory_close(memory);
	return is_well(&test) ? 0 : 1;
}
