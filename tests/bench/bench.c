/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S       1000000000ull
#define DEFAULT_ROUNDS 41u

/* ---- options ---- */

static uint32_t parse_number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	if (end == text || *end || value > INT32_MAX)
		errx(2, "\"%s\" is not a number", text);
	return value;
}

void bench_parse(struct bench_options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", required_argument, NULL, 's'},
		{"daemon", required_argument, NULL, 'p'},
		{"domid", required_argument, NULL, 'd'},
		{"rounds", required_argument, NULL, 'r'},
		{"batch-us", required_argument, NULL, 'b'},
		{"seconds", required_argument, NULL, 't'},
		{"domains", required_argument, NULL, 'n'},
		{"xen", no_argument, NULL, 'x'},
		{NULL, 0, NULL, 0},
	};

	*options = (struct bench_options){
		.rounds = DEFAULT_ROUNDS, .batch_us = 2000, .seconds = 10, .domains = 1000};
	for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (option) {
		case 's':
			options->socket = optarg;
			break;
		case 'p':
			options->daemon = parse_number(optarg);
			break;
		case 'd':
			options->domid = parse_number(optarg);
			break;
		case 'r':
			options->rounds = parse_number(optarg);
			break;
		case 'b':
			options->batch_us = parse_number(optarg);
			break;
		case 't':
			options->seconds = parse_number(optarg);
			break;
		case 'n':
			options->domains = parse_number(optarg);
			break;
		case 'x':
			options->on_xen = true;
			break;
		default:
			exit(2);
		}
	}
	if (!options->socket || !options->daemon || !options->domid)
		errx(2, "--socket, --daemon and --domid are needed");
	if (options->rounds == 0 || options->rounds > BENCH_MAX_ROUNDS)
		errx(2, "--rounds is from 1 to %u", BENCH_MAX_ROUNDS);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

/* ---- the clock ---- */

uint64_t bench_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void bench_sleep_until(uint64_t at_ns)
{
	struct timespec at = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* ---- measuring ---- */

static uint64_t time_batch(struct bench_subject *subject)
{
	uint64_t begin = bench_now_ns();
	subject->run(subject->data, subject->n);
	return bench_now_ns() - begin;
}

static bool fills(struct bench_subject *subject, uint32_t batch_us)
{
	return time_batch(subject) >= batch_us * 1000ull;
}

/*
 * Finds how many fill a batch's time, and warms up. One batch may have been held up by something else; what is
 * measured then would be the few calls for which the caches are still cold.
 */
static void calibrate(struct bench_subject *subject, uint32_t batch_us)
{
	if (subject->n)
		return;
	subject->n = 1;
	while (!(fills(subject, batch_us) && fills(subject, batch_us)) && subject->n < UINT32_MAX / 2)
		subject->n *= 2;
}

void bench_interleave(const struct bench_options *options, struct bench_subject *const *subjects, size_t n)
{
	for (size_t i = 0; i < n; i++)
		calibrate(subjects[i], options->batch_us);
	for (uint32_t round = 0; round < options->rounds; round++) {
		for (size_t i = 0; i < n; i++)
			subjects[i]->value[round] = (double)time_batch(subjects[i]) / subjects[i]->n;
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t n, double p)
{
	qsort(values, n, sizeof(*values), compare);
	return values[(size_t)(p * (n - 1) + 0.5)];
}

double bench_median(const struct bench_options *options, const struct bench_subject *subject)
{
	double values[BENCH_MAX_ROUNDS];
	memcpy(values, subject->value, options->rounds * sizeof(*values));
	return bench_quantile(values, options->rounds, 0.5);
}

static double median_ratio(const struct bench_options *options, const struct bench_subject *subject,
	const struct bench_subject *anchor)
{
	double ratios[BENCH_MAX_ROUNDS];
	for (uint32_t round = 0; round < options->rounds; round++)
		ratios[round] = subject->value[round] / anchor->value[round];
	return bench_quantile(ratios, options->rounds, 0.5);
}

/* ---- reporting ---- */

static void print_goal(const struct bench_figure *figure)
{
	double limit = figure->goal.limit;

	switch (figure->goal.kind) {
	case NO_GOAL:
		printf("null, \"met\": null");
		break;
	case VALUE_AT_LEAST:
		printf("\">= %g %s\", \"met\": %s", limit, figure->unit,
			figure->value >= limit ? "true" : "false");
		break;
	case VALUE_AT_MOST:
		printf("\"<= %g %s\", \"met\": %s", limit, figure->unit,
			figure->value <= limit ? "true" : "false");
		break;
	case RATIO_AT_MOST:
		printf("\"<= %g x\", \"met\": %s", limit, figure->ratio <= limit ? "true" : "false");
		break;
	case RATIO_BELOW:
		printf("\"< %g x\", \"met\": %s", limit, figure->ratio < limit ? "true" : "false");
		break;
	}
}

void bench_report(const struct bench_figure *figure)
{
	printf("{\"figure\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"anchor\": \"%s\", ", figure->name,
		figure->value, figure->unit, figure->anchor);
	printf("\"anchor_value\": %.6g, ", figure->anchor_value);
	if (isfinite(figure->ratio))
		printf("\"ratio\": %.6g, ", figure->ratio);
	else
		printf("\"ratio\": null, ");
	printf("\"goal\": ");
	print_goal(figure);
	printf("}\n");
}

void bench_report_pair(const struct bench_options *options, const char *name, const char *unit, double scale,
	const struct bench_subject *subject, const struct bench_subject *anchor, struct bench_goal goal)
{
	struct bench_figure figure = {
		.name = name,
		.value = bench_median(options, subject) / scale,
		.unit = unit,
		.anchor = anchor->name,
		.anchor_value = bench_median(options, anchor) / scale,
		.ratio = median_ratio(options, subject, anchor),
		.goal = goal,
	};
	bench_report(&figure);
}
