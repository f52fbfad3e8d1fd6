/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/poll_pace.h"

#include "proto/limits.h"

#define PPM 1000000u

void poll_pace_init(struct poll_pace *pace, uint32_t share_ppm)
{
	*pace = (struct poll_pace){.share_ppm = share_ppm, .idle_factor = 1};
}

static void stretch(struct poll_period *period, uint64_t ns, enum region_log_stretch why)
{
	if (ns > period->ns)
		*period = (struct poll_period){ns, why};
}

/* What is due to others after each poll. */
static void stretch_for_others(struct poll_period *period, const struct poll_pace *pace)
{
	stretch(period, pace->cost_ns * PPM / pace->share_ppm, REGION_LOG_STRETCHED_BUDGET);
	/* The guest runs at least as long as it was paused. */
	stretch(period, 2 * pace->pause_ns, REGION_LOG_STRETCHED_GUEST);
}

struct poll_period poll_pace_period(const struct poll_pace *pace, uint64_t wanted_ns)
{
	struct poll_period period = {wanted_ns, REGION_LOG_AS_WANTED};
	uint64_t idle_ns = wanted_ns * pace->idle_factor;
	if (idle_ns > MAX_IDLE_PERIOD_US * 1000ull)
		idle_ns = MAX_IDLE_PERIOD_US * 1000ull;
	stretch(&period, idle_ns, REGION_LOG_STRETCHED_IDLE);
	stretch_for_others(&period, pace);
	return period;
}

uint64_t poll_pace_due(const struct poll_pace *pace, uint64_t wanted_ns, bool asked)
{
	struct poll_period period = {UINT64_MAX, REGION_LOG_AS_WANTED};
	if (wanted_ns > 0)
		period = poll_pace_period(pace, wanted_ns);
	if (asked && period.ns > MIN_PERIOD_US * 1000ull) {
		period.ns = MIN_PERIOD_US * 1000ull;
		stretch_for_others(&period, pace);
	}
	return period.ns < UINT64_MAX ? pace->begun_ns + period.ns : UINT64_MAX;
}

void poll_pace_polled(
	struct poll_pace *pace, uint64_t begun_ns, uint64_t answered_ns, uint64_t ended_ns, bool changed)
{
	pace->begun_ns = begun_ns;
	pace->pause_ns = answered_ns - begun_ns;
	pace->cost_ns = ended_ns - begun_ns;
	if (changed)
		poll_pace_stir(pace, ended_ns);
	else if (begun_ns >= pace->changed_ns + IDLE_AFTER_US * 1000ull &&
		 pace->idle_factor < MAX_IDLE_FACTOR)
		pace->idle_factor *= 2;
}

void poll_pace_stir(struct poll_pace *pace, uint64_t now_ns)
{
	pace->changed_ns = now_ns;
	pace->idle_factor = 1;
}
