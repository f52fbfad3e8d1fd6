/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/common/list.h"
#include "daemon/common/log.h"
#include "daemon/supervisor/config_file.h"
#include "daemon/supervisor/file_limit.h"
#include "proto/region_log.h"

/* How long the other roles may take to end once they were asked to. */
#define STOP_SECONDS 5

static void on_release(void *owner)
{
	workers_check_domains(owner);
}

static void end_if_all_reaped(struct supervisor *supervisor)
{
	if (supervisor->stopping && !supervisor->broker.pid && LIST_EMPTY(&supervisor->workers))
		event_base_loopbreak(supervisor->base);
}

static void on_child(evutil_socket_t signal, short what, void *data)
{
	struct supervisor *supervisor = data;
	int status;
	pid_t pid;

	(void)signal;
	(void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == supervisor->broker.pid)
			broker_reaped(supervisor, status);
		else if (!workers_reaped(supervisor, pid, status))
			log_warning("process %d, which is none of ours, ended", pid);
	}
	end_if_all_reaped(supervisor);
}

static void on_stop_timeout(evutil_socket_t fd, short what, void *data)
{
	struct supervisor *supervisor = data;
	(void)fd;
	(void)what;
	log_warning("not every role has ended after %d s; the rest is killed", STOP_SECONDS);
	event_base_loopbreak(supervisor->base);
}

/* Closing its channel asks a role to end. */
static void on_stop(evutil_socket_t signal, short what, void *data)
{
	static const struct timeval timeout = {.tv_sec = STOP_SECONDS};
	struct supervisor *supervisor = data;

	(void)what;
	if (supervisor->stopping)
		return;
	log_info("stopping on signal %d", (int)signal);
	sd_notify(0, "STOPPING=1");
	supervisor->stopping = true;
	supervisor->broker.channel = channel_free(supervisor->broker.channel);
	event_del(supervisor->broker.respawn);
	heartbeat_stop(supervisor);
	workers_stop(supervisor);
	event_base_once(supervisor->base, -1, EV_TIMEOUT, on_stop_timeout, supervisor, &timeout);
	end_if_all_reaped(supervisor);
}

/* 0, or -1: a file with any fault changes nothing. */
static int read_settings(struct supervisor *supervisor)
{
	if (config_file_read(supervisor->options->config_path, &supervisor->settings) < 0)
		return -1;
	uint64_t needed = file_limit_needed(&supervisor->settings);
	if (supervisor->file_limit < needed)
		log_warning("%" PRIu64 " files can be open at a time (LimitNOFILE= of the unit), and %" PRIu64
			    " are needed if clients use all that [limits] in %s allows: regions are refused "
			    "then, and connections and subscriptions may end with the broker",
			supervisor->file_limit, needed, supervisor->settings.file);
	return 0;
}

static void on_reload(evutil_socket_t signal, short what, void *data)
{
	struct supervisor *supervisor = data;
	struct timespec now;

	(void)signal;
	(void)what;
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		now.tv_sec * UINT64_C(1000000) + now.tv_nsec / 1000);
	if (read_settings(supervisor) < 0) {
		log_error("the configuration was not read anew: what held before the file was changed still "
			  "holds");
		sd_notify(0,
			"READY=1\nSTATUS=Serving; the configuration file has faults and was not read anew");
		return;
	}
	broker_tell_settings(supervisor);
	log_info("the configuration was read anew");
	sd_notify(0, "READY=1\nSTATUS=Serving");
}

/* What systemd then ends is all of us, with what cannot be ended alone. */
static void on_watchdog(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	if (heartbeat_is_well(data))
		sd_notify(0, "WATCHDOG=1");
}

/* Until there is a handler it would end the process; one that comes meanwhile is handled then. */
static void block_reload(int how)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigprocmask(how, &signals, NULL);
}

static int run(struct supervisor *supervisor)
{
	struct event *child = evsignal_new(supervisor->base, SIGCHLD, on_child, supervisor);
	struct event *term = evsignal_new(supervisor->base, SIGTERM, on_stop, supervisor);
	struct event *interrupt = evsignal_new(supervisor->base, SIGINT, on_stop, supervisor);
	struct event *hangup = evsignal_new(supervisor->base, SIGHUP, on_reload, supervisor);
	struct event *watchdog = event_new(supervisor->base, -1, EV_PERSIST, on_watchdog, supervisor);
	uint64_t watchdog_us = 0;
	int rc = -1;

	if (!child || !term || !interrupt || !hangup || !watchdog || event_add(child, NULL) < 0 ||
		event_add(term, NULL) < 0 || event_add(interrupt, NULL) < 0 || event_add(hangup, NULL) < 0) {
		log_error("cannot watch for signals: %s", strerror(errno));
		goto out;
	}
	block_reload(SIG_UNBLOCK);
	if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
		struct timeval period = {
			.tv_sec = watchdog_us / 2 / 1000000, .tv_usec = watchdog_us / 2 % 1000000};
		event_add(watchdog, &period);
	}
	if (heartbeat_init(supervisor) < 0) {
		log_error("cannot watch the broker: out of memory");
		goto out;
	}
	if (broker_start(supervisor) < 0)
		goto out;
	event_base_dispatch(supervisor->base);
	rc = supervisor->failed ? -1 : 0;
out:
	child_deinit(&supervisor->broker);
	workers_free(supervisor);
	heartbeat_deinit(supervisor);
	if (watchdog)
		event_free(watchdog);
	if (hangup)
		event_free(hangup);
	if (interrupt)
		event_free(interrupt);
	if (term)
		event_free(term);
	if (child)
		event_free(child);
	return rc;
}

static void free_logs(struct supervisor *supervisor)
{
	struct log_file *log, *next;
	LIST_FOREACH_SAFE(log, &supervisor->logs, link, next) {
		LIST_REMOVE(log, link);
		log_file_free(log, REGION_LOG_IDLE); /* the regions stay */
	}
}

int supervisor_main(const struct role_options *options)
{
	struct supervisor supervisor = {
		.options = options, .base = event_base_new(), .listener = LISTENER_NONE};
	int rc = -1;

	block_reload(SIG_BLOCK);
	signal(SIGPIPE, SIG_IGN);
	TAILQ_INIT(&supervisor.kept);
	LIST_INIT(&supervisor.logs);
	LIST_INIT(&supervisor.workers);
	supervisor.file_limit = file_limit_raise();
	if (read_settings(&supervisor) < 0) {
		log_error("not started: the configuration file has faults");
		goto out;
	}
	if (listener_open(&supervisor.listener, options->socket_dir) < 0)
		goto out;
	if (!supervisor.base) {
		log_error("cannot make an event loop");
		goto out;
	}
	supervisor.xenstore = xenstore_new(supervisor.base, on_release, &supervisor);
	if (!supervisor.xenstore) {
		log_error("cannot watch xenstore (%s); is this a Xen host, and xenstored running?",
			strerror(errno));
		goto out;
	}
	rc = run(&supervisor);
out:
	kept_leave_all(&supervisor.kept);
	free_logs(&supervisor);
	xenstore_free(supervisor.xenstore);
	listener_close(&supervisor.listener);
	if (supervisor.base)
		event_base_free(supervisor.base);
	return rc < 0 ? 1 : 0;
}
