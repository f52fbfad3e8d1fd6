/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/events.h"

#include <stdio.h>

static struct event *at(struct events *events, unsigned int i)
{
	return &events->ring[(events->first + i) % MAX_EVENTS];
}

static struct event *find(struct events *events, uint64_t cookie)
{
	for (unsigned int i = 0; i < events->n; i++) {
		if (at(events, i)->cookie == cookie)
			return at(events, i);
	}
	return NULL;
}

static struct event *append(struct events *events)
{
	if (events->n == MAX_EVENTS) {
		events->first = (events->first + 1) % MAX_EVENTS;
		events->n--;
	}
	return at(events, events->n++);
}

void events_put(struct events *events, uint64_t cookie, enum xenvram_region_state state, const char *reason)
{
	struct event *event = find(events, cookie);
	if (!event)
		event = append(events);
	event->cookie = cookie;
	event->state = state;
	snprintf(event->reason, sizeof(event->reason), "%s", reason);
}

bool events_wait(const struct events *events)
{
	return events->n > 0;
}

bool events_take(struct events *events, struct event *ret_event)
{
	if (events->n == 0)
		return false;
	*ret_event = *at(events, 0);
	events->first = (events->first + 1) % MAX_EVENTS;
	events->n--;
	return true;
}
