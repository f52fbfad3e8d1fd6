/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/kept.h"

#include <string.h>

#include "daemon/common/fd.h"

static struct kept *find(struct kept_list *list, const Xenvram__Internal__Kept *message)
{
	struct kept *kept;
	TAILQ_FOREACH(kept, list, link) {
		if (kept->kind == message->kind && kept->id == message->id)
			return kept;
	}
	return NULL;
}

static void kept_free(struct kept_list *list, struct kept *kept)
{
	TAILQ_REMOVE(list, kept, link);
	fd_close(kept->fd);
	free(kept->bytes);
	free(kept);
}

const struct kept *kept_put(struct kept_list *list, const Xenvram__Internal__Kept *message, int fd)
{
	size_t n_bytes = message->state.len;
	uint8_t *bytes = malloc(n_bytes + 1);
	struct kept *kept = find(list, message);
	struct kept *added = kept ? NULL : calloc(1, sizeof(*kept));

	if (!bytes || (!kept && !added)) {
		fd_close(fd);
		free(bytes);
		free(added);
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
