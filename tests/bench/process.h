/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes, looked at from outside. Each function ends the program when there is no such process. */
#ifndef XENVRAM_TESTS_BENCH_PROCESS_H
#define XENVRAM_TESTS_BENCH_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The processor time that it has used. */
uint64_t process_cpu_ns(pid_t pid);

/* How often it has gone to sleep or was preempted: no process wakes up without that. */
uint64_t process_switches(pid_t pid);

/* Its own memory: what no other process has mapped, region logs and the simulated host's memory aside. */
uint64_t process_private_bytes(pid_t pid);

/* Stores the pids of children that are called `name`; NULL: all. Returns their number, at most `max`. */
size_t process_children(pid_t parent, const char *name, pid_t *pids, size_t max);

/* Runs `run` in a child, which ends with the caller. */
pid_t process_fork(void (*run)(void *data), void *data);
void process_kill(pid_t pid);

/* Both run on the first processor from now on, and what is started by the caller: two processes that take
   turns then take the same time wherever the scheduler would have put them. */
void process_share_cpu(pid_t pid);

#endif
