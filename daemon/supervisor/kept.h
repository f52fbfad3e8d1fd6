/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the broker wants to find again after it died: descriptors with a few bytes of its own. The
 * supervisor looks at neither.
 */
#ifndef XENVRAM_SUPERVISOR_KEPT_H
#define XENVRAM_SUPERVISOR_KEPT_H

#include <sys/queue.h>

#include "proto/internal.pb-c.h"

struct kept {
	TAILQ_ENTRY(kept) link; /* kept_list, in the order of first keeping */
	Xenvram__Internal__KeptKind kind;
	uint64_t id;
	int fd; /* -1: none */
	size_t n_bytes;
	uint8_t *bytes;
};

TAILQ_HEAD(kept_list, kept);

/*
 * Takes fd over, also on failure: NULL with ENOMEM, ENOSPC when there are MAX_KEPT, or EMSGSIZE. The same kind and id
 * again replaces the bytes, and the descriptor unless there is none.
 */
const struct kept *kept_put(struct kept_list *list, const Xenvram__Internal__Kept *message, int fd);
void kept_drop(struct kept_list *list, const Xenvram__Internal__Kept *message);
void kept_drop_all(struct kept_list *list);
/*
 * At the end of the process, which closes the descriptors: what is in a socket may linger when it is closed, but
 * not when its process ends.
 */
void kept_leave_all(struct kept_list *list);

#endif
