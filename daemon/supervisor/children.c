/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "daemon/common/clock.h"
#include "daemon/common/fd.h"
#include "daemon/common/log.h"

#define FIRST_DELAY_MS 5u
#define MAX_DELAY_MS   5000u
/* Alive for this long, a child counts as healthy again. */
#define HEALTHY_NS 10000000000ull

extern char **environ;

int child_init(struct child *child, struct event_base *base,
	void (*on_respawn)(evutil_socket_t, short, void *), void *owner)
{
	*child = (struct child){.respawn = evtimer_new(base, on_respawn, owner)};
	return child->respawn ? 0 : -1;
}

void child_deinit(struct child *child)
{
	if (child->pid) {
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
	}
	child->channel = channel_free(child->channel);
	if (child->respawn)
		event_free(child->respawn);
	*child = (struct child){0};
}

/* What systemd said to the supervisor is not for the others. */
static bool is_private(const char *variable)
{
	static const char *const names[] = {"NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "LISTEN_"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static char **make_environment(void)
{
	size_t n = 0;
	while (environ[n])
		n++;
	char **environment = calloc(n + 1, sizeof(*environment));
	if (!environment)
		return NULL;
	n = 0;
	for (char **variable = environ; *variable; variable++) {
		if (!is_private(*variable))
			environment[n++] = *variable;
	}
	return environment;
}

static int spawn(struct child *child, const char *role, const struct role_options *options, int channel_fd,
	int lock_fd)
{
	char role_argument[32], domid_argument[32];
	snprintf(role_argument, sizeof(role_argument), "--role=%s", role);
	snprintf(domid_argument, sizeof(domid_argument), "--domid=%u", options->domid);
	const char *const arguments[] = {"xenvramd", role_argument, domid_argument, "--broker-user",
		options->broker_user, "--worker-user", options->worker_user, NULL};

	_cleanup_free_ char **environment = make_environment();
	if (!environment)
		return -1;
	/* Everything else is close-on-exec. Copies above both targets, so that none overwrites the other. */
	_cleanup_close_ int channel_copy = fcntl(channel_fd, F_DUPFD_CLOEXEC, ROLE_LOCK_FD + 1);
	_cleanup_close_ int lock_copy = fcntl(lock_fd, F_DUPFD_CLOEXEC, ROLE_LOCK_FD + 1);
	if (channel_copy < 0 || lock_copy < 0)
		return -1;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, channel_copy, ROLE_CHANNEL_FD);
	posix_spawn_file_actions_adddup2(&actions, lock_copy, ROLE_LOCK_FD);
	int error = posix_spawn(
		&child->pid, "/proc/self/exe", &actions, NULL, (char *const *)arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	if (error) {
		child->pid = 0;
		errno = error;
		return -1;
	}
	return 0;
}

int child_start(struct child *child, struct event_base *base, const char *role,
	const struct role_options *options, int lock_fd, const struct channel_ops *ops, void *owner)
{
	int pair[2];
	child->started_ns = clock_now_ns();
	child->explained = false;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		log_error("cannot make a channel to a %s: %s", role, strerror(errno));
		return -1;
	}
	_cleanup_close_ int theirs = pair[1];
	struct channel *channel = channel_new(base, pair[0], CHANNEL_ROLE, ops, owner);
	if (!channel || spawn(child, role, options, theirs, lock_fd) < 0) {
		log_error("cannot start a %s: %s", role, strerror(errno));
		channel_free(channel); /* keeps errno */
		return -1;
	}
	child->channel = channel;
	return 0;
}

void child_reaped(struct child *child, const char *what, int status)
{
	/* While it still counts as running: what it says may be that it is about to end. */
	struct channel *channel = child->channel;
	child->channel = NULL;
	channel_finish(channel);
	if (WIFSIGNALED(status))
		log_warning("%s (pid %d) was killed by signal %d", what, child->pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) > (child->explained ? 1 : 0))
		log_warning("%s (pid %d) exited with status %d", what, child->pid, WEXITSTATUS(status));
	child->pid = 0;
}

void child_respawn_later(struct child *child)
{
	if (clock_now_ns() - child->started_ns > HEALTHY_NS)
		child->failures = 0;
	unsigned int delay_ms = FIRST_DELAY_MS << (child->failures < 10 ? child->failures : 10);
	if (delay_ms > MAX_DELAY_MS)
		delay_ms = MAX_DELAY_MS;
	child->failures++;
	struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
	event_add(child->respawn, &delay);
}
