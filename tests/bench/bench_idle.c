/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a daemon does that has a region which nobody watches: the context switches of all its processes, and
 * the system calls that strace sees them make. The anchor shows that they are counted: a process that wakes
 * up ten times a second.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "proto/limits.h"
#include "service.h"

#define MAX_ROLES          8u
#define TICK_NS            100000000ull
#define SECONDS_PER_MINUTE 60u
/* Being attached to interrupts a call, which is then made again. */
#define ATTACHING_S 1.0

struct watched {
	pid_t pids[MAX_ROLES];
	size_t n;
};

static void tick(void *data)
{
	(void)data;
	for (uint64_t at_ns = bench_now_ns();; at_ns += TICK_NS)
		bench_sleep_until(at_ns);
}

static uint64_t count_switches(const struct watched *watched)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < watched->n; i++)
		sum += process_switches(watched->pids[i]);
	return sum;
}

/* ---- strace ---- */

struct tracer {
	pid_t pid;
	char path[32];
	double counted_from; /* CLOCK_REALTIME, as strace has it */
};

static double real_time(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void tracer_start(struct tracer *tracer, const struct watched *watched)
{
	char pids[MAX_ROLES][16];
	const char *argv[8 + 2 * MAX_ROLES] = {"strace", "-f", "-qq", "-ttt", "-o", tracer->path};
	size_t n = 6;

	strcpy(tracer->path, "/tmp/xenvram-strace.XXXXXX");
	int fd = mkstemp(tracer->path);
	if (fd < 0)
		err(1, "%s", tracer->path);
	close(fd);
	for (size_t i = 0; i < watched->n; i++) {
		snprintf(pids[i], sizeof(pids[i]), "%d", watched->pids[i]);
		argv[n++] = "-p";
		argv[n++] = pids[i];
	}
	tracer->pid = fork();
	if (tracer->pid < 0)
		err(1, "fork");
	if (tracer->pid == 0) {
		execvp("strace", (char **)argv);
		err(127, "strace");
	}
	tracer->counted_from = real_time() + ATTACHING_S;
}

/* Ends it, and counts the calls that began after it had attached. */
static uint64_t tracer_finish(struct tracer *tracer)
{
	char line[512];
	uint64_t n = 0;
	int status;

	kill(tracer->pid, SIGINT);
	if (waitpid(tracer->pid, &status, 0) < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127))
		errx(1, "strace did not run");
	FILE *file = fopen(tracer->path, "re");
	if (!file)
		err(1, "%s", tracer->path);
	while (fgets(line, sizeof(line), file)) {
		double at;
		if (sscanf(line, "%*d %lf", &at) == 1 && at >= tracer->counted_from &&
			!strstr(line, "detached"))
			n++;
	}
	fclose(file);
	unlink(tracer->path);
	return n;
}

/* ---- */

static void report(const char *name, const char *anchor, double value, double anchor_value)
{
	struct bench_figure figure = {
		.name = name,
		.value = value,
		.unit = "a minute",
		.anchor = anchor,
		.anchor_value = anchor_value,
		.ratio = value / anchor_value,
		.goal = {VALUE_AT_MOST, 0},
	};
	bench_report(&figure);
}

int main(int argc, char **argv)
{
	struct bench_options options;
	struct watched roles, ticking = {.n = 1};
	struct tracer of_roles, of_ticking;

	bench_parse(&options, argc, argv);
	struct xenvram *conn = service_connect(&options);
	uint64_t cookie = service_create(conn, options.domid, 0, BACKING_GFN, 16 * PAGES_PER_MIB);
	service_unsubscribe(conn, service_subscribe(conn, cookie, 0, 0));
	/* Tracking ends a while after the last reader has gone; costs are looked at once more after that. */
	usleep(LINGER_US + 2500000);

	roles.pids[0] = options.daemon;
	roles.n = 1 + process_children(options.daemon, NULL, roles.pids + 1, MAX_ROLES - 1);
	ticking.pids[0] = process_fork(tick, NULL);
	double a_minute = (double)SECONDS_PER_MINUTE / options.seconds;

	uint64_t switches = count_switches(&roles), ticks = count_switches(&ticking);
	sleep(options.seconds);
	report("idle daemon, wake-ups of all its processes", "one that wakes ten times a second",
		(count_switches(&roles) - switches) * a_minute,
		(count_switches(&ticking) - ticks) * a_minute);

	tracer_start(&of_roles, &roles);
	tracer_start(&of_ticking, &ticking);
	usleep(ATTACHING_S * 1e6);
	sleep(options.seconds);
	uint64_t calls = tracer_finish(&of_roles);
	report("idle daemon, system calls of all its processes", "one that wakes ten times a second",
		calls * a_minute, tracer_finish(&of_ticking) * a_minute);

	process_kill(ticking.pids[0]);
	service_destroy(conn, cookie);
	xenvram_free(conn);
	return 0;
}
