/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/backlog.h"

#include <errno.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/listening.h"

static void look_again(struct broker *broker)
{
	static const struct timeval pause = {.tv_usec = 10000};
	broker->behind = event_add(broker->backlog, &pause) == 0;
}

static void on_time(evutil_socket_t fd, short what, void *data)
{
	struct broker *broker = data;

	(void)fd;
	(void)what;
	if (channel_is_backed_up(broker->supervisor)) {
		look_again(broker);
		return;
	}
	broker->behind = false;
	connections_update_reading(broker);
	listening_start(broker);
}

bool backlog_is_there(const struct broker *broker)
{
	return broker->behind;
}

bool backlog_check(struct broker *broker)
{
	if (!channel_is_backed_up(broker->supervisor))
		return false;
	if (!backlog_is_there(broker)) {
		look_again(broker);
		connections_update_reading(broker);
		listening_stop(broker);
	}
	return true;
}

int backlog_init(struct broker *broker)
{
	broker->backlog = evtimer_new(broker->base, on_time, broker);
	if (broker->backlog)
		return 0;
	errno = ENOMEM;
	return -1;
}

void backlog_deinit(struct broker *broker)
{
	if (broker->backlog)
		event_free(broker->backlog);
	broker->backlog = NULL;
}
