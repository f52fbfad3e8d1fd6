/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/listening.h"

#include <errno.h>
#include <string.h>

#include "daemon/broker/backlog.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/fd.h"
#include "daemon/common/log.h"

static void on_accept_again(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	listening_start(data);
}

void listening_stop(struct broker *broker)
{
	for (unsigned int i = 0; i < broker->n_listening; i++)
		event_del(broker->listening[i]);
}

static void pause_listening(struct broker *broker)
{
	static const struct timeval pause = {.tv_sec = 1};
	listening_stop(broker);
	event_add(broker->accept_again, &pause);
}

static void on_listening(evutil_socket_t fd, short what, void *data)
{
	struct broker *broker = data;

	(void)what;
	if (backlog_check(broker))
		return;
	supervisor_active(broker);
	if (connection_accept(broker, fd) == 0)
		return;
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		log_error("no client can be accepted for a second: %s", strerror(errno));
		pause_listening(broker);
		break;
	default:
		break; /* the client went away meanwhile */
	}
}

void listening_add(struct broker *broker, int fd)
{
	if (!broker->accept_again)
		broker->accept_again = evtimer_new(broker->base, on_accept_again, broker);
	struct event *event = NULL;
	/* systemd hands them over in blocking mode. */
	if (broker->n_listening < MAX_LISTENERS && broker->accept_again &&
		evutil_make_socket_nonblocking(fd) == 0)
		event = event_new(broker->base, fd, EV_READ | EV_PERSIST, on_listening, broker);
	if (!event) {
		log_error("a listening socket cannot be used");
		fd_close(fd);
		return;
	}
	broker->listening[broker->n_listening++] = event;
}

void listening_start(struct broker *broker)
{
	for (unsigned int i = 0; i < broker->n_listening; i++)
		event_add(broker->listening[i], NULL);
}

void listening_free(struct broker *broker)
{
	for (unsigned int i = 0; i < broker->n_listening; i++) {
		fd_close(event_get_fd(broker->listening[i]));
		event_free(broker->listening[i]);
	}
	broker->n_listening = 0;
	if (broker->accept_again)
		event_free(broker->accept_again);
	broker->accept_again = NULL;
}
