/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ownership of file descriptors and heap memory by scope. */
#ifndef XENVRAM_COMMON_FD_H
#define XENVRAM_COMMON_FD_H

#include <stdlib.h>
#include <unistd.h>

/* Closes if open; returns -1, for `x->fd = fd_close(x->fd)`. */
static inline int fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
	return -1;
}

static inline void fd_closep(int *fd)
{
	*fd = fd_close(*fd);
}

/* Hands the descriptor on: the variable no longer owns it. */
static inline int fd_steal(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

static inline void freep(void *pointer)
{
	free(*(void **)pointer);
}

#define _cleanup_close_ __attribute__((cleanup(fd_closep)))
#define _cleanup_free_  __attribute__((cleanup(freep)))

#endif
