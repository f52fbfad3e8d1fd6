/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Killing parts of the service. */
#ifndef XENVRAM_TESTS_EXACTNESS_VICTIM_H
#define XENVRAM_TESTS_EXACTNESS_VICTIM_H

#include <stdbool.h>
#include <sys/types.h>

/* Sends SIGKILL to the supervisor's child of this role ("worker", "broker"). False: there is none now. */
bool victim_kill(pid_t supervisor, const char *role);

#endif
