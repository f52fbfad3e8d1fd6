/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is a request right in itself, whatever the state of the service? No I/O, no state.
 */
#ifndef XENVRAM_PROTO_CHECK_H
#define XENVRAM_PROTO_CHECK_H

#include "proto/failure.h"
#include "proto/xenvram.pb-c.h"

/*
 * 0, or -1 with the failure filled in: the field, the value found, and what is allowed. Knows every
 * operation; an absent or unknown one is INVALID.
 */
int check_request(const Xenvram__V1__Request *request, struct failure *failure);

/* 0 with the version to speak, or -1 with status VERSION when there is none in common. */
int check_hello(const Xenvram__V1__Hello *hello, uint32_t *ret_version, struct failure *failure);

#endif
