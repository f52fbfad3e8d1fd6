/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the handles of all stand-ins have in common: the open host, and the domid they may be confined to. */
#ifndef XENVRAM_SIMXEN_HANDLE_H
#define XENVRAM_SIMXEN_HANDLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "tests/simxen/host.h"
#include "tests/simxen/lib/active_handle.h"

struct handle {
	Xentoolcore__Active_Handle active; /* first: the callback gets a pointer to it */
	struct host host;
	_Atomic int32_t confined_to; /* a domid, or -1 */
};

/* Opens the host and registers the handle. 0, or -1 with errno and, as the real libraries do, a word on
 * stderr. */
int handle_open(struct handle *handle, const char *library);
void handle_close(struct handle *handle);

/* Once and for all: 0 also for the same domid again, -1 with EINVAL for another. */
int handle_confine(struct handle *handle, domid_t domid);

/* 0, or -EPERM. */
int handle_check(const struct handle *handle, uint32_t domid);

/* From a negative errno to what a C library returns. */
int handle_result(int result);

#endif
