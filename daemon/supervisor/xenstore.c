/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/xenstore.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xenstore.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"

struct xenstore {
	struct event_base *base;
	struct xs_handle *handle; /* NULL: lost, and not made again yet */
	struct event *readable;
	void (*on_release)(void *owner);
	void *owner;
};

static void disconnect(struct xenstore *xenstore)
{
	int saved_errno = errno;
	if (xenstore->readable)
		event_free(xenstore->readable);
	if (xenstore->handle)
		xs_close(xenstore->handle);
	xenstore->readable = NULL;
	xenstore->handle = NULL;
	errno = saved_errno;
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct xenstore *xenstore = data;
	char **event;

	(void)fd;
	(void)what;
	while ((event = xs_check_watch(xenstore->handle)))
		free(event);
	if (errno == EAGAIN) {
		xenstore->on_release(xenstore->owner);
		return;
	}
	log_error("the connection to xenstored is lost: %s", strerror(errno));
	disconnect(xenstore); /* and made again by the next question */
}

static int connect_to_xenstored(struct xenstore *xenstore)
{
	xenstore->handle = xs_open(0);
	if (xenstore->handle && xs_watch(xenstore->handle, "@releaseDomain", "release"))
		xenstore->readable = event_new(xenstore->base, xs_fileno(xenstore->handle),
			EV_READ | EV_PERSIST, on_readable, xenstore);
	if (xenstore->readable && event_add(xenstore->readable, NULL) == 0)
		return 0;
	disconnect(xenstore);
	return -1;
}

struct xenstore *xenstore_new(struct event_base *base, void (*on_release)(void *owner), void *owner)
{
	struct xenstore *xenstore = calloc(1, sizeof(*xenstore));
	if (!xenstore)
		return NULL;
	*xenstore = (struct xenstore){.base = base, .on_release = on_release, .owner = owner};
	return connect_to_xenstored(xenstore) < 0 ? xenstore_free(xenstore) : xenstore;
}

struct xenstore *xenstore_free(struct xenstore *xenstore)
{
	if (!xenstore)
		return NULL;
	disconnect(xenstore);
	int saved_errno = errno;
	free(xenstore);
	errno = saved_errno;
	return NULL;
}

static int look_up(struct xs_handle *handle, uint32_t domid, char *ret_uuid)
{
	static const char prefix[] = "/vm/";
	char path[48];
	unsigned int n_bytes;

	errno = 0;
	if (!xs_is_domain_introduced(handle, domid)) {
		if (errno == 0 || errno == ENOENT || errno == EINVAL)
			errno = ESRCH;
		return -1;
	}
	snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
	_cleanup_free_ char *vm = xs_read(handle, XBT_NULL, path, &n_bytes);
	if (!vm)
		return -1;
	if (strncmp(vm, prefix, strlen(prefix)) != 0 || n_bytes - strlen(prefix) >= UUID_BYTES ||
		n_bytes == strlen(prefix)) {
		errno = ENOENT;
		return -1;
	}
	strcpy(ret_uuid, vm + strlen(prefix));
	return 0;
}

/* A handle whose xenstored has ended says so only when it is used, and never works again. */
int xenstore_domain_uuid(struct xenstore *xenstore, uint32_t domid, char *ret_uuid)
{
	if (xenstore->handle) {
		if (look_up(xenstore->handle, domid, ret_uuid) == 0)
			return 0;
		if (errno == ESRCH || errno == ENOENT)
			return -1;
		log_error("xenstored does not answer (%s); connecting to it anew", strerror(errno));
	}
	disconnect(xenstore);
	if (connect_to_xenstored(xenstore) < 0)
		return -1;
	return look_up(xenstore->handle, domid, ret_uuid);
}
