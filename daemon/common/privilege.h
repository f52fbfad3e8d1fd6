/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving up root for good. */
#ifndef XENVRAM_COMMON_PRIVILEGE_H
#define XENVRAM_COMMON_PRIVILEGE_H

/*
 * When root: becomes `user` with that user's primary group and no other, and verifies that root cannot
 * be had back. When not root: nothing. In both cases no exec can gain privileges afterwards. 0, or -1
 * with errno and a line in the log; the caller then must not go on.
 */
int privilege_drop(const char *user);

#endif
