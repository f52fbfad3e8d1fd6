/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every unit test includes: cmocka with the headers that it wants before itself. */
#ifndef XENVRAM_TESTS_UNIT_H
#define XENVRAM_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

/* The call returns -1 and sets this errno. */
#define assert_fails(call, expected)                                                                         \
	do {                                                                                                 \
		errno = 0;                                                                                   \
		assert_int_equal(call, -1);                                                                  \
		assert_int_equal(errno, expected);                                                           \
	} while (0)

/* The call returns NULL and sets this errno. */
#define assert_null_with(call, expected)                                                                     \
	do {                                                                                                 \
		errno = 0;                                                                                   \
		assert_null(call);                                                                           \
		assert_int_equal(errno, expected);                                                           \
	} while (0)

static inline bool fd_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* To be compared before and after: did a descriptor leak? */
static inline unsigned int count_open_fds(void)
{
	unsigned int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fd_is_open(fd);
	return n;
}

/* A small generator, the same numbers in every run. */
static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
