/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last door that a broker or worker closes behind itself: which system calls it can still make. */
#ifndef XENVRAM_COMMON_SANDBOX_H
#define XENVRAM_COMMON_SANDBOX_H

enum sandbox_role {
	SANDBOX_BROKER, /* sockets it was given, pipes, its journal, memory: no path, no exec, no new socket
			 */
	SANDBOX_WORKER, /* the same, and ioctl, for the Xen handles that are open already */
};

/*
 * For good, and for all threads to come. Any other call fails with EPERM; the process is not killed for it,
 * so that a library which tries something new and can do without goes on working. Does nothing in sanitized
 * builds, whose runtimes need far more. 0, or -1 with errno and a line in the log; the caller then must not
 * go on.
 */
int sandbox_enter(enum sandbox_role role);

#endif
