/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/kept.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/common/fd.h"
#include "proto/limits.h"

static struct kept *find(struct kept_list *list, const Xenvram__Internal__Kept *message)
{
	struct kept *kept;
	TAILQ_FOREACH(kept, list, link) {
		if (kept->kind == message->kind && kept->id == message->id)
			return kept;
	}
	return NULL;
}

/* Of more than a broker in order has, one that was taken over could take all memory and descriptors. */
static bool is_full(const struct kept_list *list)
{
	const struct kept *kept;
	unsigned int n = 0;
	TAILQ_FOREACH(kept, list, link)
		n++;
	return n >= MAX_KEPT;
}

static void kept_leave(struct kept_list *list, struct kept *kept)
{
	TAILQ_REMOVE(list, kept, link);
	free(kept->bytes);
	free(kept);
}

static void kept_free(struct kept_list *list, struct kept *kept)
{
	fd_close(kept->fd);
	kept_leave(list, kept);
}

const struct kept *kept_put(struct kept_list *list, const Xenvram__Internal__Kept *message, int fd)
{
	size_t n_bytes = message->state.len;
	struct kept *kept = find(list, message);

	if (n_bytes > MAX_KEPT_BYTES || (!kept && is_full(list))) {
		fd_close(fd);
		errno = n_bytes > MAX_KEPT_BYTES ? EMSGSIZE : ENOSPC;
		return NULL;
	}
	uint8_t *bytes = malloc(n_bytes + 1);
	struct kept *added = kept ? NULL : calloc(1, sizeof(*kept));
	if (!bytes || (!kept && !added)) {
		fd_close(fd);
		free(bytes);
		free(added);
		errno = ENOMEM;
		return NULL;
	}
	if (added) {
		kept = added;
		kept->fd = -1;
		kept->kind = message->kind;
		kept->id = message->id;
		TAILQ_INSERT_TAIL(list, kept, link);
	}
	if (n_bytes)
		memcpy(bytes, message->state.data, n_bytes);
	if (fd >= 0) {
		fd_close(kept->fd);
		kept->fd = fd;
	}
	free(kept->bytes);
	kept->bytes = bytes;
	kept->n_bytes = n_bytes;
	return kept;
}

void kept_drop(struct kept_list *list, const Xenvram__Internal__Kept *message)
{
	struct kept *kept = find(list, message);
	if (kept)
		kept_free(list, kept);
}

void kept_drop_all(struct kept_list *list)
{
	while (!TAILQ_EMPTY(list))
		kept_free(list, TAILQ_FIRST(list));
}

void kept_leave_all(struct kept_list *list)
{
	while (!TAILQ_EMPTY(list))
		kept_leave(list, TAILQ_FIRST(list));
}
