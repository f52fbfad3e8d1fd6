/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every benchmark needs: its options, the clock, measuring several things in turns, and reporting
 * figures.
 *
 * Nothing is measured by itself. A figure stands beside an anchor that is measured in the same run, in turns
 * with it, so that what disturbs the machine disturbs both; the ratio is the median of the turns' ratios.
 */
#ifndef XENVRAM_TESTS_BENCH_H
#define XENVRAM_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_MAX_ROUNDS 1000u

struct bench_options {
	const char *socket; /* of the service */
	pid_t daemon;       /* its supervisor */
	uint32_t domid;     /* of a domain whose guest does nothing */
	bool on_xen;        /* a real one, under emulation: absolute times mean nothing there */
	uint32_t rounds;
	uint32_t batch_us; /* how long one thing is measured in one round */
	uint32_t seconds;  /* for what is counted rather than timed */
	uint32_t domains;  /* the largest number of them */
};

void bench_parse(struct bench_options *options, int argc, char **argv);

uint64_t bench_now_ns(void);
void bench_sleep_until(uint64_t at_ns);

/* One of the things that are measured in turns. */
struct bench_subject {
	const char *name;
	void (*run)(void *data, uint32_t n); /* does it n times */
	void *data;
	uint32_t n;                     /* in a batch; 0: as many as a batch's time allows */
	double value[BENCH_MAX_ROUNDS]; /* of each round; nanoseconds for one, if bench_interleave() measured
					   it */
};

void bench_interleave(const struct bench_options *options, struct bench_subject *const *subjects, size_t n);

/* Sorts the values. p is 0.5 for the median. */
double bench_quantile(double *values, size_t n, double p);
double bench_median(const struct bench_options *options, const struct bench_subject *subject);

struct bench_goal {
	enum { NO_GOAL, VALUE_AT_LEAST, VALUE_AT_MOST, RATIO_AT_MOST, RATIO_BELOW } kind;
	double limit;
};

struct bench_figure {
	const char *name;
	double value;
	const char *unit;
	const char *anchor;
	double anchor_value; /* in the same unit */
	double ratio;
	struct bench_goal goal;
};

/* A line of JSON on stdout. A ratio that is no number is null. */
void bench_report(const struct bench_figure *figure);

/* The subject's median against the anchor's, in units of `scale`. */
void bench_report_pair(const struct bench_options *options, const char *name, const char *unit, double scale,
	const struct bench_subject *subject, const struct bench_subject *anchor, struct bench_goal goal);

#endif
