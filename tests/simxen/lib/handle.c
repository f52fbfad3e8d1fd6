/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/lib/handle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNCONFINED (-1)

static int on_restrict(Xentoolcore__Active_Handle *active, domid_t domid)
{
	return handle_confine((struct handle *)active, domid);
}

int handle_open(struct handle *handle, const char *library)
{
	*handle = (struct handle){.active.restrict_callback = on_restrict, .confined_to = UNCONFINED};
	int result = host_open(&handle->host);
	if (result < 0) {
		fprintf(stderr, "%s: simulated: cannot open the host named by " HOST_ENV ": %s\n", library,
			strerror(-result));
		return handle_result(result);
	}
	xentoolcore__register_active_handle(&handle->active);
	return 0;
}

void handle_close(struct handle *handle)
{
	xentoolcore__deregister_active_handle(&handle->active);
	host_close(&handle->host);
}

int handle_confine(struct handle *handle, domid_t domid)
{
	int32_t current = UNCONFINED;
	if (atomic_compare_exchange_strong(&handle->confined_to, &current, domid) || current == domid)
		return 0;
	return handle_result(-EINVAL);
}

int handle_check(const struct handle *handle, uint32_t domid)
{
	int32_t current = atomic_load(&handle->confined_to);
	return current == UNCONFINED || (uint32_t)current == domid ? 0 : -EPERM;
}

int handle_result(int result)
{
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}
