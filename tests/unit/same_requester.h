/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the journals' tests. */
#ifndef XENVRAM_TESTS_UNIT_SAME_REQUESTER_H
#define XENVRAM_TESTS_UNIT_SAME_REQUESTER_H

#include "daemon/broker/asker.h"
#include "tests/unit/unit.h"

static inline void assert_same_requester(const struct requester *a, const struct requester *b)
{
	assert_int_equal(a->known, b->known);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->pid, b->pid);
}

#endif
