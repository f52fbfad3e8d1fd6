/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stand-in for libxentoolcore: which handles this process has open, and confining them all. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include <xentoolcore.h>

#include "tests/simxen/lib/active_handle.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, Xentoolcore__Active_Handle) handles = LIST_HEAD_INITIALIZER(handles);

void xentoolcore__register_active_handle(Xentoolcore__Active_Handle *handle)
{
	pthread_mutex_lock(&lock);
	LIST_INSERT_HEAD(&handles, handle, entry);
	pthread_mutex_unlock(&lock);
}

void xentoolcore__deregister_active_handle(Xentoolcore__Active_Handle *handle)
{
	pthread_mutex_lock(&lock);
	LIST_REMOVE(handle, entry);
	pthread_mutex_unlock(&lock);
}

int xentoolcore__restrict_by_dup2_null(int fd)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return -1;
	int result = dup2(null_fd, fd) < 0 ? -1 : 0;
	int saved = errno;
	close(null_fd);
	errno = saved;
	return result;
}

int xentoolcore_restrict_all(domid_t domid)
{
	Xentoolcore__Active_Handle *handle;
	int result = 0;

	pthread_mutex_lock(&lock);
	for (handle = LIST_FIRST(&handles); handle && result == 0; handle = LIST_NEXT(handle, entry))
		result = handle->restrict_callback(handle, domid);
	pthread_mutex_unlock(&lock);
	return result;
}
