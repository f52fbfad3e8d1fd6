/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which domains exist, and word when one goes, from xenstore. */
#ifndef XENVRAM_SUPERVISOR_XENSTORE_H
#define XENVRAM_SUPERVISOR_XENSTORE_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

struct xenstore;

/*
 * Connects, and watches for released domains: on_release is called whenever some domain may have gone.
 * xenstored does not say which, and calls once for nothing at the start. NULL with errno.
 */
struct xenstore *xenstore_new(struct event_base *base, void (*on_release)(void *owner), void *owner);
struct xenstore *xenstore_free(struct xenstore *xenstore);

/*
 * The UUID that tells the domain from a later one with the same domid, into UUID_BYTES. 0, or -1 with errno:
 * ESRCH when there is no such domain or it is being destroyed, ENOENT when the toolstack gave it none, else
 * what xenstored said.
 */
int xenstore_domain_uuid(struct xenstore *xenstore, uint32_t domid, char *ret_uuid);

#endif
