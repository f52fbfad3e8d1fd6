/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Doubly linked lists: <sys/queue.h>, plus the safe iteration that glibc's copy of it leaves out. */
#ifndef XENVRAM_COMMON_LIST_H
#define XENVRAM_COMMON_LIST_H

#include <sys/queue.h>

/* The body may unlink and free `var`, but not the element after it. */
#define LIST_FOREACH_SAFE(var, head, field, next)                                                            \
	for ((var) = LIST_FIRST(head); (var) && ((next) = LIST_NEXT(var, field), 1); (var) = (next))

#define TAILQ_FOREACH_SAFE(var, head, field, next)                                                           \
	for ((var) = TAILQ_FIRST(head); (var) && ((next) = TAILQ_NEXT(var, field), 1); (var) = (next))

#endif
