/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ownership of file descriptors, by scope. */
#ifndef XENVRAM_CLIENT_OWN_H
#define XENVRAM_CLIENT_OWN_H

#include <errno.h>
#include <unistd.h>

/* Closes what is open; errno stays as it was. */
static inline void own_close(int *fd)
{
	int saved_errno = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved_errno;
}

/* Hands the descriptor on. */
static inline int own_steal(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

#define _own_fd_ __attribute__((cleanup(own_close)))

#endif
