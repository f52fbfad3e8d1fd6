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
#include <sys/resource.h>
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

/* Lets the process have n more descriptors and no others; what held before is returned. */
static inline struct rlimit leave_room_for_fds(unsigned int n)
{
	struct rlimit before, limit;
	int fd = 0;

	for (; fd_is_open(fd) || n > 0; fd++)
		n -= !fd_is_open(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){fd, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static inline void restore_fd_limit(const struct rlimit *before)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, before), 0);
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
