/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a guest's write to the wake-up of a reader that sleeps, with writes at moments that no timer knows. */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "service.h"
#include "sim.h"

#define NR_PAGES    (16u * PAGES_PER_MIB)
#define PERIOD_US   10000u
#define MAX_SAMPLES 100000u
#define TIMEOUT_MS  5000

/* Between one and two periods: the reader has slept again, and the pace is not one of an idle guest. */
static uint64_t random_pause_ns(void)
{
	return PERIOD_US * (1000ull + random() % 1000);
}

static void wait_for_wake(const struct xenvram_view *view)
{
	struct pollfd wake = {.fd = xenvram_view_wake_fd(view), .events = POLLIN};
	int n = poll(&wake, 1, TIMEOUT_MS);
	if (n < 0)
		err(1, "poll");
	if (n == 0)
		errx(1, "nobody was woken within %d ms of a write", TIMEOUT_MS);
	xenvram_view_drain(view);
}

/* How late a sleeper is that wakes at the same moments and does nothing else. */
static double oversleep_ms(uint64_t pause_ns)
{
	uint64_t at_ns = bench_now_ns() + pause_ns;
	bench_sleep_until(at_ns);
	return (bench_now_ns() - at_ns) / 1e6;
}

int main(int argc, char **argv)
{
	static double latency_ms[MAX_SAMPLES], late_ms[MAX_SAMPLES];
	struct bench_options options;
	struct host host;
	size_t n = 0;

	bench_parse(&options, argc, argv);
	sim_open(&host);
	struct xenvram *conn = service_connect(&options);
	uint64_t cookie = service_create(conn, options.domid, 0, BACKING_GFN, NR_PAGES);
	struct xenvram_view *view = service_subscribe(conn, cookie, PERIOD_US, XENVRAM_SUBSCRIBE_WAKE);
	service_settle(conn, cookie);
	xenvram_view_drain(view);

	uint64_t end_ns = bench_now_ns() + options.seconds * 1000000000ull;
	for (; n < MAX_SAMPLES && (n == 0 || bench_now_ns() < end_ns); n++) {
		late_ms[n] = oversleep_ms(random_pause_ns());
		uint64_t begin_ns = bench_now_ns();
		sim_write(&host, options.domid, VRAM_GFN + random() % NR_PAGES, 1, 1);
		wait_for_wake(view);
		latency_ms[n] = (bench_now_ns() - begin_ns) / 1e6;
	}

	const struct {
		const char *name;
		double p;
		struct bench_goal goal;
	} quantiles[] = {
		{"write to wake, period 10 ms, median", 0.5, {0}},
		{"write to wake, period 10 ms, p99", 0.99, {VALUE_AT_MOST, PERIOD_US / 1e3 + 1}},
	};
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		struct bench_figure figure = {
			.name = quantiles[i].name,
			.value = bench_quantile(latency_ms, n, quantiles[i].p),
			.unit = "ms",
			.anchor = "a sleeper's lateness, same quantile",
			.anchor_value = bench_quantile(late_ms, n, quantiles[i].p),
			.goal = quantiles[i].goal,
		};
		figure.ratio = figure.value / figure.anchor_value;
		bench_report(&figure);
	}
	service_unsubscribe(conn, view);
	service_destroy(conn, cookie);
	xenvram_free(conn);
	host_close(&host);
	return 0;
}
