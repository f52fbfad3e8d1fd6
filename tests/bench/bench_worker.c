/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker adds to the hypercall: the processor time that it uses for a poll, all in all, against the
 * same hypercall made at the same pace by a loop that does nothing else.
 */
#include <err.h>
#include <unistd.h>

#include "direct.h"
#include "process.h"
#include "service.h"

#define NR_PAGES  (16u * PAGES_PER_MIB)
#define PERIOD_US 2000u
/* Where a hypercall takes longer than that. */
#define XEN_PERIOD_US 20000u

static uint32_t period_us(const struct bench_options *options)
{
	return options->on_xen ? XEN_PERIOD_US : PERIOD_US;
}

static uint64_t polls(const struct xenvram_view *view)
{
	struct xenvram_view_info info;
	xenvram_view_info(view, &info);
	return info.polls;
}

/* Nanoseconds a poll. */
static double measure_worker(
	const struct bench_options *options, struct xenvram *conn, uint64_t cookie, pid_t worker)
{
	struct xenvram_view *view = service_subscribe(conn, cookie, period_us(options), 0);
	service_settle(conn, cookie);

	uint64_t polls_before = polls(view);
	uint64_t cpu_before_ns = process_cpu_ns(worker);
	usleep(options->batch_us);
	uint64_t cpu_ns = process_cpu_ns(worker) - cpu_before_ns;
	uint64_t n_polls = polls(view) - polls_before;

	service_unsubscribe(conn, view);
	if (n_polls == 0)
		errx(1, "the worker did not poll within %u us", options->batch_us);
	return (double)cpu_ns / n_polls;
}

/* The same for a loop of sleeping and, unless direct is NULL, asking. */
static double measure_loop(const struct bench_options *options, struct direct *direct)
{
	uint32_t n = options->batch_us / period_us(options) + 1;
	uint64_t at_ns = bench_now_ns();
	uint64_t cpu_before_ns = process_cpu_ns(getpid());

	for (uint32_t i = 0; i < n; i++) {
		at_ns += period_us(options) * 1000;
		bench_sleep_until(at_ns);
		if (direct)
			direct_track(direct, 1);
	}
	return (double)(process_cpu_ns(getpid()) - cpu_before_ns) / n;
}

int main(int argc, char **argv)
{
	static struct bench_subject worker = {.name = "worker"};
	static struct bench_subject call = {.name = "bare hypercall"};
	static struct bench_subject loop = {.name = "loop of sleep and hypercall"};
	struct bench_options options;
	struct direct direct;

	bench_parse(&options, argc, argv);
	struct xenvram *conn = service_connect(&options);
	uint64_t cookie = service_create(conn, options.domid, 0, BACKING_GFN, NR_PAGES);
	pid_t worker_pid = service_worker(&options);
	direct_init(&direct, options.domid, VRAM_GFN, NR_PAGES);

	for (uint32_t round = 0; round < options.rounds; round++) {
		worker.value[round] = measure_worker(&options, conn, cookie, worker_pid);
		loop.value[round] = measure_loop(&options, &direct);
		call.value[round] = loop.value[round] - measure_loop(&options, NULL);
	}
	struct bench_goal goal = {RATIO_AT_MOST, 1.03};
	bench_report_pair(&options, "worker, processor time a poll of 16 MiB, against the hypercall", "us",
		1000, &worker, &call, options.on_xen ? goal : (struct bench_goal){0});
	bench_report_pair(&options, "worker, processor time a poll of 16 MiB, against a bare loop", "us",
		1000, &worker, &loop, (struct bench_goal){0});

	direct_deinit(&direct);
	service_destroy(conn, cookie);
	xenvram_free(conn);
	return 0;
}
