/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many domains, each with a framebuffer of 16 MiB and four readers at 30 Hz that are woken at every change,
 * of guests that draw all the time: what the daemon takes, all its processes together.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "process.h"
#include "proto/limits.h"
#include "proto/region_log.h"
#include "service.h"
#include "sim.h"

#define NR_PAGES      (16u * PAGES_PER_MIB)
#define RAM_PAGES     (BACKING_GFN + NR_PAGES)
#define N_READERS     4u
#define PERIOD_US     33333u
#define FIRST_DOMID   100u
#define MAX_DOMAINS   1000u
#define MAX_ROLES     (MAX_DOMAINS + 8)
#define MAX_VIEWS     (MAX_DOMAINS * N_READERS)
#define N_CONNECTIONS ((MAX_VIEWS + MAX_SUBSCRIPTIONS_PER_CONNECTION - 1) / MAX_SUBSCRIPTIONS_PER_CONNECTION)
#define SETTLING_S    4u

struct crowd {
	unsigned int n_domains;
	double cpu;           /* of one processor */
	double private_bytes; /* a domain */
	double polls;         /* a second, of each domain */
	double wakes;         /* a second, of each reader */
};

struct stage {
	const struct bench_options *options;
	struct host host;
	struct xenvram *conn[N_CONNECTIONS];
	unsigned int n_domains;
	uint64_t cookies[MAX_DOMAINS];
	struct xenvram_view *views[MAX_VIEWS];
	struct pollfd wakes[MAX_VIEWS];
	uint64_t n_wakes;
};

static struct stage stage;

static void add_domain(void)
{
	unsigned int i = stage.n_domains;
	uint16_t domid = FIRST_DOMID + i;

	sim_create_domain(&stage.host, domid, RAM_PAGES);
	stage.cookies[i] = service_create(stage.conn[0], domid, 0, BACKING_GFN, NR_PAGES);
	for (unsigned int k = i * N_READERS; k < (i + 1) * N_READERS; k++) {
		struct xenvram *conn = stage.conn[k / MAX_SUBSCRIPTIONS_PER_CONNECTION];
		stage.views[k] = service_subscribe(conn, stage.cookies[i], PERIOD_US, XENVRAM_SUBSCRIBE_WAKE);
		stage.wakes[k] =
			(struct pollfd){.fd = xenvram_view_wake_fd(stage.views[k]), .events = POLLIN};
	}
	stage.n_domains++;
}

/* Every guest draws on one page in a period, and readers take their wake-ups. */
static void draw(unsigned int seconds)
{
	uint64_t end_ns = bench_now_ns() + seconds * 1000000000ull;
	unsigned int n_views = stage.n_domains * N_READERS;

	for (uint64_t at_ns = bench_now_ns(); at_ns < end_ns; at_ns += PERIOD_US * 1000ull) {
		bench_sleep_until(at_ns);
		for (unsigned int i = 0; i < stage.n_domains; i++)
			sim_write(&stage.host, FIRST_DOMID + i, VRAM_GFN + random() % NR_PAGES, 1, 1);
		if (poll(stage.wakes, n_views, 0) < 0)
			err(1, "poll");
		for (unsigned int k = 0; k < n_views; k++) {
			if (stage.wakes[k].revents & POLLIN)
				stage.n_wakes += xenvram_view_drain(stage.views[k]) > 0;
		}
	}
}

static uint64_t count_polls(void)
{
	uint64_t polls = 0;
	for (unsigned int i = 0; i < stage.n_domains; i++) {
		struct xenvram_view_info info;
		xenvram_view_info(stage.views[i * N_READERS], &info);
		polls += info.polls;
	}
	return polls;
}

static uint64_t sum(const pid_t *pids, size_t n, uint64_t (*of)(pid_t pid))
{
	uint64_t total = 0;
	for (size_t i = 0; i < n; i++)
		total += of(pids[i]);
	return total;
}

static void measure(struct crowd *crowd)
{
	static pid_t roles[MAX_ROLES];

	while (stage.n_domains < crowd->n_domains)
		add_domain();
	draw(SETTLING_S);
	roles[0] = stage.options->daemon;
	size_t n_roles = 1 + process_children(roles[0], NULL, roles + 1, MAX_ROLES - 1);

	uint64_t cpu_ns = sum(roles, n_roles, process_cpu_ns), polls = count_polls(), wakes = stage.n_wakes;
	uint64_t begin_ns = bench_now_ns();
	draw(stage.options->seconds);
	double seconds = (bench_now_ns() - begin_ns) / 1e9;
	crowd->cpu = (sum(roles, n_roles, process_cpu_ns) - cpu_ns) / seconds / 1e9;
	crowd->polls = (count_polls() - polls) / seconds / crowd->n_domains;
	crowd->wakes = (stage.n_wakes - wakes) / seconds / crowd->n_domains / N_READERS;
	crowd->private_bytes = (double)sum(roles, n_roles, process_private_bytes) / crowd->n_domains;
}

static void report(const struct crowd *crowd, const struct crowd *first)
{
	char name[80], anchor[40];
	unsigned int n = crowd->n_domains;
	bool most = n == MAX_DOMAINS;

	snprintf(name, sizeof(name), "%u domains x %u readers at 30 Hz, daemon", n, N_READERS);
	struct bench_figure cpu = {.name = name,
		.value = crowd->cpu * 100,
		.unit = "% of a CPU",
		.anchor = "one CPU",
		.anchor_value = 100,
		.ratio = crowd->cpu,
		.goal = most ? (struct bench_goal){VALUE_AT_MOST, 100} : (struct bench_goal){0}};
	bench_report(&cpu);

	snprintf(name, sizeof(name), "%u domains, CPU of one of them", n);
	snprintf(anchor, sizeof(anchor), "with %u domains", first->n_domains);
	struct bench_figure each = {.name = name,
		.value = crowd->cpu / n * 1e6,
		.unit = "us a second",
		.anchor = anchor,
		.anchor_value = first->cpu / first->n_domains * 1e6,
		.goal = most ? (struct bench_goal){RATIO_AT_MOST, 1.5} : (struct bench_goal){0}};
	each.ratio = each.value / each.anchor_value;
	bench_report(&each);

	snprintf(name, sizeof(name), "%u domains, polls of one of them", n);
	struct bench_figure polls = {.name = name,
		.value = crowd->polls,
		.unit = "a second",
		.anchor = "wanted",
		.anchor_value = 1e6 / PERIOD_US,
		.ratio = crowd->polls * PERIOD_US / 1e6,
		/* Or what is seen to be cheap would be cheap because it is not done. */
		.goal = most ? (struct bench_goal){VALUE_AT_LEAST, 0.95 * 1e6 / PERIOD_US}
			     : (struct bench_goal){0}};
	bench_report(&polls);

	snprintf(name, sizeof(name), "%u domains, wake-ups of one reader", n);
	struct bench_figure wakes = {.name = name,
		.value = crowd->wakes,
		.unit = "a second",
		.anchor = "wanted",
		.anchor_value = 1e6 / PERIOD_US,
		.ratio = crowd->wakes * PERIOD_US / 1e6};
	bench_report(&wakes);

	snprintf(name, sizeof(name), "%u domains, private memory of one beside its log", n);
	struct bench_figure memory = {.name = name,
		.value = crowd->private_bytes / 1024,
		.unit = "KiB",
		.anchor = "its log",
		.anchor_value = region_log_bytes(NR_PAGES) / 1024.0,
		.goal = {VALUE_AT_MOST, 1024}};
	memory.ratio = memory.value / memory.anchor_value;
	bench_report(&memory);
}

static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "setrlimit");
}

int main(int argc, char **argv)
{
	struct crowd crowds[] = {{.n_domains = 10}, {.n_domains = 100}, {.n_domains = MAX_DOMAINS}};
	struct bench_options options;

	bench_parse(&options, argc, argv);
	stage.options = &options;
	raise_file_limit();
	sim_open(&stage.host);
	for (unsigned int i = 0; i < N_CONNECTIONS; i++)
		stage.conn[i] = service_connect(&options);
	for (size_t i = 0; i < sizeof(crowds) / sizeof(crowds[0]) && crowds[i].n_domains <= options.domains;
		i++) {
		measure(&crowds[i]);
		report(&crowds[i], &crowds[0]);
	}
	/* The host and the service end with this benchmark: nothing is taken down one by one. */
	return 0;
}
