/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/heartbeat.h"

#include <errno.h>
#include <signal.h>

#include "daemon/common/log.h"
#include "daemon/supervisor/supervisor.h"

/* A broker that was killed ends within one beat, or not at all. */
#define MAX_MISSED_BY_THE_DEAD (MAX_MISSED_HEARTBEATS + 2u)

static void miss(struct supervisor *supervisor)
{
	struct heartbeat *heartbeat = &supervisor->heartbeat;
	pid_t pid = supervisor->broker.pid;

	heartbeat->n_missed++;
	if (heartbeat->n_missed < MAX_MISSED_HEARTBEATS) {
		/* Ends a sleep in the kernel, as of a close that waits for somebody's peer. */
		kill(pid, SIGURG);
	} else if (heartbeat->n_missed == MAX_MISSED_HEARTBEATS) {
		log_error("the broker (pid %d) has not answered for %u ms and is killed", pid,
			MAX_MISSED_HEARTBEATS * HEARTBEAT_MS);
		kill(pid, SIGKILL);
	} else if (heartbeat->n_missed == MAX_MISSED_BY_THE_DEAD) {
		log_error("the broker (pid %d) was killed and does not end", pid);
	}
}

/* Beats are counted, not time: while all of us stood still nobody was silent. */
static void on_beat(evutil_socket_t fd, short what, void *data)
{
	struct supervisor *supervisor = data;
	struct heartbeat *heartbeat = &supervisor->heartbeat;

	(void)fd;
	(void)what;
	if (heartbeat->asked) {
		miss(supervisor);
		return;
	}
	heartbeat->asked = true;
	heartbeat->again = false;
	broker_ask(supervisor);
}

static void on_connecting(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	heartbeat_expect(data);
}

int heartbeat_init(struct supervisor *supervisor)
{
	struct heartbeat *heartbeat = &supervisor->heartbeat;

	heartbeat->beat = event_new(supervisor->base, -1, EV_PERSIST, on_beat, supervisor);
	if (!heartbeat->beat)
		return -1;
	for (unsigned int i = 0; i < supervisor->listener.n_fds; i++) {
		struct event *event = event_new(
			supervisor->base, supervisor->listener.fds[i], EV_READ, on_connecting, supervisor);
		if (!event)
			return -1;
		heartbeat->connecting[heartbeat->n_connecting++] = event;
	}
	return 0;
}

void heartbeat_deinit(struct supervisor *supervisor)
{
	struct heartbeat *heartbeat = &supervisor->heartbeat;

	for (unsigned int i = 0; i < heartbeat->n_connecting; i++)
		event_free(heartbeat->connecting[i]);
	if (heartbeat->beat)
		event_free(heartbeat->beat);
	*heartbeat = (struct heartbeat){0};
}

static void stop_watching(struct heartbeat *heartbeat)
{
	for (unsigned int i = 0; i < heartbeat->n_connecting; i++)
		event_del(heartbeat->connecting[i]);
}

void heartbeat_expect(struct supervisor *supervisor)
{
	static const struct timeval period = {
		.tv_sec = HEARTBEAT_MS / 1000, .tv_usec = HEARTBEAT_MS % 1000 * 1000};
	struct heartbeat *heartbeat = &supervisor->heartbeat;

	if (heartbeat->asked) {
		heartbeat->again = true;
		return;
	}
	if (evtimer_pending(heartbeat->beat, NULL))
		return;
	stop_watching(heartbeat);
	event_add(heartbeat->beat, &period);
}

void heartbeat_answered(struct supervisor *supervisor)
{
	struct heartbeat *heartbeat = &supervisor->heartbeat;

	heartbeat->n_missed = 0;
	heartbeat->asked = false;
	if (heartbeat->again)
		return;
	event_del(heartbeat->beat);
	for (unsigned int i = 0; i < heartbeat->n_connecting; i++)
		event_add(heartbeat->connecting[i], NULL);
}

void heartbeat_stop(struct supervisor *supervisor)
{
	struct heartbeat *heartbeat = &supervisor->heartbeat;

	event_del(heartbeat->beat);
	stop_watching(heartbeat);
	heartbeat->n_missed = 0;
	heartbeat->asked = false;
}

bool heartbeat_is_well(const struct supervisor *supervisor)
{
	return supervisor->heartbeat.n_missed < MAX_MISSED_BY_THE_DEAD;
}
