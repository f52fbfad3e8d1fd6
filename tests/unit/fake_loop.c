/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fake_loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/unit.h"

#define NEVER     UINT64_MAX
#define MAX_TURNS 1000000u

/* The test has one timer at a time. */
struct event {
	event_callback_fn callback;
	void *data;
	uint64_t due_ns;
};

static struct event *timer;
static uint64_t now_ns;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){.tv_sec = now_ns / 1000000000, .tv_nsec = now_ns % 1000000000};
	return 0;
}

struct event *event_new(
	struct event_base *base, evutil_socket_t fd, short what, event_callback_fn callback, void *data)
{
	(void)base;
	(void)fd;
	(void)what;
	timer = malloc(sizeof(*timer));
	*timer = (struct event){.callback = callback, .data = data, .due_ns = NEVER};
	return timer;
}

void event_free(struct event *event)
{
	free(event);
	timer = NULL;
}

int event_add(struct event *event, const struct timeval *wait)
{
	event->due_ns = now_ns + wait->tv_sec * 1000000000ull + wait->tv_usec * 1000ull;
	return 0;
}

int event_del(struct event *event)
{
	event->due_ns = NEVER;
	return 0;
}

void event_active(struct event *event, int what, short n_calls)
{
	(void)what;
	(void)n_calls;
	event->due_ns = now_ns;
}

void fake_loop_reset(void)
{
	now_ns = 3600ull * 1000000000;
}

void fake_loop_run_us(uint64_t us)
{
	uint64_t end_ns = now_ns + us * 1000;
	unsigned int n_turns = 0;

	while (timer && timer->due_ns <= end_ns) {
		if (++n_turns > MAX_TURNS)
			fail_msg("the timer spins");
		now_ns = timer->due_ns > now_ns ? timer->due_ns : now_ns;
		timer->due_ns = NEVER;
		timer->callback(-1, EV_TIMEOUT, timer->data);
	}
	now_ns = end_ns > now_ns ? end_ns : now_ns;
}

void fake_loop_pass_us(uint64_t us)
{
	now_ns += us * 1000;
}

uint64_t fake_loop_now_us(void)
{
	return now_ns / 1000;
}

bool fake_loop_has_timer(void)
{
	return timer && timer->due_ns != NEVER;
}
