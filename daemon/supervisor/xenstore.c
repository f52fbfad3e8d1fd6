/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/xenstore.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xenstore.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"

struct xenstore {
	struct xs_handle *handle;
	struct event *readable;
	void (*on_release)(void *owner);
	void *owner;
};

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct xenstore *xenstore = data;
	char **event;
	int n_events = 0;

	(void)fd;
	(void)what;
	while ((event = xs_check_watch(xenstore->handle))) {
		free(event);
		n_events++;
	}
	/* Readable without an event: xenstored has ended, and every read would say so again at once. */
	if (n_events == 0 && errno != EAGAIN) {
		log_error("the connection to xenstored is lost (%s); the end of a domain is noticed only by "
			  "its "
			  "next hypercall",
			strerror(errno));
		event_del(xenstore->readable);
		return;
	}
	xenstore->on_release(xenstore->owner);
}

struct xenstore *xenstore_new(struct event_base *base, void (*on_release)(void *owner), void *owner)
{
	struct xenstore *xenstore = calloc(1, sizeof(*xenstore));
	if (!xenstore)
		return NULL;
	xenstore->on_release = on_release;
	xenstore->owner = owner;
	xenstore->handle = xs_open(0);
	if (!xenstore->handle || !xs_watch(xenstore->handle, "@releaseDomain", "release"))
		return xenstore_free(xenstore);
	xenstore->readable =
		event_new(base, xs_fileno(xenstore->handle), EV_READ | EV_PERSIST, on_readable, xenstore);
	if (!xenstore->readable || event_add(xenstore->readable, NULL) < 0)
		return xenstore_free(xenstore);
	return xenstore;
}

struct xenstore *xenstore_free(struct xenstore *xenstore)
{
	if (!xenstore)
		return NULL;
	int saved_errno = errno;
	if (xenstore->readable)
		event_free(xenstore->readable);
	if (xenstore->handle)
		xs_close(xenstore->handle);
	free(xenstore);
	errno = saved_errno;
	return NULL;
}

int xenstore_domain_uuid(struct xenstore *xenstore, uint32_t domid, char *ret_uuid)
{
	static const char prefix[] = "/vm/";
	char path[48];
	unsigned int n_bytes;

	errno = 0;
	if (!xs_is_domain_introduced(xenstore->handle, domid)) {
		if (errno == 0 || errno == ENOENT || errno == EINVAL)
			errno = ESRCH;
		return -1;
	}
	snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
	_cleanup_free_ char *vm = xs_read(xenstore->handle, XBT_NULL, path, &n_bytes);
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
