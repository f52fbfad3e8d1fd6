/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/failure.h"

#include <stdarg.h>
#include <stdio.h>

int failure_set(struct failure *failure, Xenvram__V1__Status status, int os_error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	failure->status = status;
	failure->os_error = os_error;
	vsnprintf(failure->text, sizeof(failure->text), format, args);
	va_end(args);
	return -1;
}
