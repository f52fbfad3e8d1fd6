/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"

struct reader *reader_new(uint64_t subscription, struct extent pages, uint32_t period_us, int wake_fd)
{
	struct reader *reader = malloc(sizeof(*reader));
	if (!reader) {
		fd_close(wake_fd);
		return NULL;
	}
	/* It may have looked before a poll that did not know of its pipe. */
	*reader = (struct reader){.subscription = subscription,
		.pages = pages,
		.period_ns = period_us * 1000ull,
		.wake_fd = wake_fd,
		.stale = true};
	return reader;
}

struct reader *reader_free(struct reader *reader)
{
	if (reader)
		fd_close(reader->wake_fd);
	free(reader);
	return NULL;
}

uint64_t reader_due(const struct reader *reader)
{
	return reader->stale && reader->wake_fd >= 0 ? reader->next_wake_ns : UINT64_MAX;
}

bool reader_is_due(const struct reader *reader, uint64_t now_ns)
{
	return reader->stale && reader->wake_fd >= 0 &&
	       reader->next_wake_ns <= now_ns + reader->period_ns / 8;
}

/* A full pipe (EAGAIN) is a wake-up that the reader has not taken yet; EPIPE, a reader that went away. */
void reader_wake(struct reader *reader, uint64_t now_ns)
{
	reader->stale = false;
	/* Early wake-ups do not add up. */
	if (reader->next_wake_ns < now_ns)
		reader->next_wake_ns = now_ns;
	reader->next_wake_ns += reader->period_ns;
	if (reader->wake_fd < 0 || write(reader->wake_fd, "", 1) == 1 || errno == EAGAIN)
		return;
	if (errno != EPIPE)
		log_warning("subscription %" PRIu64 " cannot be woken: %s", reader->subscription,
			strerror(errno));
	fd_close(reader->wake_fd);
	reader->wake_fd = -1;
}
