/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why something was not done, in the protocol's terms. Passed up from where it was found to whoever
 * answers the client.
 */
#ifndef XENVRAM_PROTO_FAILURE_H
#define XENVRAM_PROTO_FAILURE_H

#include "proto/xenvram.pb-c.h"

#define FAILURE_TEXT_BYTES 320

struct failure {
	Xenvram__V1__Status status;
	int os_error;
	char text[FAILURE_TEXT_BYTES];
};

/* Fills it and returns -1, for `return failure_set(...)`. The text says what was wrong, found, allowed. */
int failure_set(struct failure *failure, Xenvram__V1__Status status, int os_error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
