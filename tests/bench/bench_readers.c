/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What more readers cost: 1, 10 and 100 of the same region, each woken at every change, of a guest that draws
 * all the time. Hypercalls are counted where they arrive, in the simulated host.
 */
#include <err.h>
#include <stdio.h>

#include "process.h"
#include "proto/limits.h"
#include "service.h"
#include "sim.h"

#define NR_PAGES    (16u * PAGES_PER_MIB)
#define PERIOD_US   10000u
#define MAX_READERS 100u
#define N_CONNECTIONS                                                                                        \
	((MAX_READERS + MAX_SUBSCRIPTIONS_PER_CONNECTION - 1) / MAX_SUBSCRIPTIONS_PER_CONNECTION)
#define STEP        41u /* between the pages that are drawn on */
#define SETTLING_NS (2 * RANGE_CHANGE_US * 1000ull)

struct crowd {
	unsigned int n_readers;
	struct bench_subject calls; /* hypercalls a second */
	struct bench_subject cpu;   /* of the whole daemon, nanoseconds a second */
};

struct stage {
	struct host host;
	struct xenvram *conn[N_CONNECTIONS];
	uint64_t cookie;
	pid_t roles[3];
};

static struct xenvram *conn_of(const struct stage *stage, unsigned int reader)
{
	return stage->conn[reader / MAX_SUBSCRIPTIONS_PER_CONNECTION];
}

static uint64_t daemon_cpu_ns(const struct stage *stage)
{
	uint64_t sum = 0;
	for (unsigned int i = 0; i < 3; i++)
		sum += process_cpu_ns(stage->roles[i]);
	return sum;
}

/* The guest draws twice in a period, and every reader reads what it is woken for. */
static void draw(const struct bench_options *options, struct stage *stage, struct xenvram_view **views,
	unsigned int n, uint64_t duration_ns)
{
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(NR_PAGES)];
	uint64_t cursors[MAX_READERS] = {0};
	uint64_t end_ns = bench_now_ns() + duration_ns;

	for (uint64_t at_ns = bench_now_ns(); at_ns < end_ns; at_ns += PERIOD_US * 500) {
		bench_sleep_until(at_ns);
		sim_write(&stage->host, options->domid, VRAM_GFN, NR_PAGES / STEP, STEP);
		for (unsigned int i = 0; i < n; i++) {
			if (xenvram_view_drain(views[i]) > 0)
				xenvram_view_read(views[i], &cursors[i], 0, NR_PAGES, bitmap);
		}
	}
}

static void measure(
	const struct bench_options *options, struct stage *stage, struct crowd *crowd, uint32_t round)
{
	struct xenvram_view *views[MAX_READERS];

	for (unsigned int i = 0; i < crowd->n_readers; i++)
		views[i] = service_subscribe(
			conn_of(stage, i), stage->cookie, PERIOD_US, XENVRAM_SUBSCRIBE_WAKE);
	draw(options, stage, views, crowd->n_readers, SETTLING_NS);
	uint64_t calls = sim_count_track_calls(&stage->host);
	uint64_t cpu_ns = daemon_cpu_ns(stage);
	uint64_t begin_ns = bench_now_ns();
	draw(options, stage, views, crowd->n_readers, options->batch_us * 1000ull);
	double seconds = (bench_now_ns() - begin_ns) / 1e9;
	crowd->calls.value[round] = (sim_count_track_calls(&stage->host) - calls) / seconds;
	crowd->cpu.value[round] = (daemon_cpu_ns(stage) - cpu_ns) / seconds;
	for (unsigned int i = 0; i < crowd->n_readers; i++)
		service_unsubscribe(conn_of(stage, i), views[i]);
}

static void report(const struct bench_options *options, const struct crowd *crowd, const struct crowd *one)
{
	char name[64];
	struct bench_goal no_more = {RATIO_AT_MOST, 1.01};

	snprintf(name, sizeof(name), "%u readers, hypercalls", crowd->n_readers);
	bench_report_pair(options, name, "a second", 1, &crowd->calls, &one->calls,
		crowd->n_readers == MAX_READERS ? no_more : (struct bench_goal){0});
	snprintf(name, sizeof(name), "%u readers, processor time of the daemon", crowd->n_readers);
	bench_report_pair(options, name, "ms a second", 1e6, &crowd->cpu, &one->cpu, (struct bench_goal){0});
}

int main(int argc, char **argv)
{
	static struct crowd crowds[] = {{.n_readers = 1}, {.n_readers = 10}, {.n_readers = MAX_READERS}};
	const size_t n_crowds = sizeof(crowds) / sizeof(crowds[0]);
	static struct stage stage;
	struct bench_options options;

	bench_parse(&options, argc, argv);
	sim_open(&stage.host);
	for (unsigned int i = 0; i < N_CONNECTIONS; i++)
		stage.conn[i] = service_connect(&options);
	stage.cookie = service_create(stage.conn[0], options.domid, 0, BACKING_GFN, NR_PAGES);
	stage.roles[0] = options.daemon;
	stage.roles[1] = service_broker(&options);
	stage.roles[2] = service_worker(&options);

	for (uint32_t round = 0; round < options.rounds; round++) {
		for (size_t i = 0; i < n_crowds; i++)
			measure(&options, &stage, &crowds[i], round);
	}
	crowds[0].calls.name = "1 reader";
	crowds[0].cpu.name = "1 reader";
	for (size_t i = 1; i < n_crowds; i++)
		report(&options, &crowds[i], &crowds[0]);

	service_destroy(stage.conn[0], stage.cookie);
	for (unsigned int i = 0; i < N_CONNECTIONS; i++)
		xenvram_free(stage.conn[i]);
	host_close(&stage.host);
	return 0;
}
