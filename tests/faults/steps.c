/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into xenvramd: takes over the calls by which a role acts on the world, which are messages, writes
 * to the journal, and hypercalls, and counts them.
 */
#include "tests/faults/steps.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#define EXPORTED   __attribute__((visibility("default")))
#define SHORT_US   20u
#define LINE_BYTES 4096

static struct steps *steps; /* NULL: nobody asks */
static enum step_role own_role;

static enum step_role find_role(void)
{
	char line[LINE_BYTES];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line));

	if (fd >= 0)
		close(fd);
	if (n > 0 && memmem(line, n, "--role=broker", strlen("--role=broker")))
		return STEP_BROKER;
	if (n > 0 && memmem(line, n, "--role=worker", strlen("--role=worker")))
		return STEP_WORKER;
	return STEP_SUPERVISOR;
}

/* Before main(): later the role may open nothing any more. */
__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv(STEPS_ENV);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *map = mmap(NULL, sizeof(*steps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	steps = map;
	own_role = find_role();
	atomic_store(&steps->pids[own_role], getpid());
}

/* Must the step fail instead? */
static bool strike(enum step_action action)
{
	int saved_errno = errno;

	if (action == STEP_FAIL)
		return true;
	if (action == STEP_KILL) {
		kill(getpid(), SIGKILL);
		abort();
	}
	uint32_t number = atomic_load(&steps->held) + 1;
	atomic_store(&steps->held_pid, getpid());
	atomic_store(&steps->held, number);
	while (atomic_load(&steps->release) < number)
		usleep(SHORT_US);
	errno = saved_errno;
	return false;
}

static bool pass(enum step_moment moment, bool can_fail)
{
	if (!steps)
		return false;
	if (moment == STEP_BEFORE)
		atomic_fetch_add(&steps->counts[own_role], 1);
	uint32_t action = atomic_load(&steps->action);
	if (action == STEP_GO_ON || atomic_load(&steps->role) != own_role ||
		atomic_load(&steps->moment) != moment || (action == STEP_FAIL && !can_fail) ||
		atomic_fetch_sub(&steps->countdown, 1) != 1)
		return false;
	atomic_store(&steps->action, STEP_GO_ON);
	return strike(action);
}

/* One role writes, so that nobody counts in between. */
static bool is_unwritable(void)
{
	uint32_t from = steps ? atomic_load(&steps->unwritable_from) : 0;

	if (from > 1)
		atomic_store(&steps->unwritable_from, from - 1);
	if (from == 1 && atomic_load(&steps->unwritten_at) == 0)
		atomic_store(&steps->unwritten_at, atomic_load(&steps->counts[own_role]));
	return from == 1;
}

static void *next(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);
	if (!function)
		abort();
	return function;
}

/* name(arguments), with what it is called with, as one step. */
#define STEP(type, name, parameters, arguments)                                                              \
	EXPORTED type name parameters                                                                        \
	{                                                                                                    \
		static type(*real) parameters;                                                               \
		if (!real)                                                                                   \
			*(void **)&real = next(#name);                                                       \
		pass(STEP_BEFORE, false);                                                                    \
		type result = real arguments;                                                                \
		pass(STEP_AFTER, false);                                                                     \
		return result;                                                                               \
	}

/* The one that can fail here: the others fail by the simulated host, or not at all. */
EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (!real)
		*(void **)&real = next("pwrite");
	bool must_fail = pass(STEP_BEFORE, true);
	if (is_unwritable() || must_fail) {
		errno = EIO;
		return -1;
	}
	ssize_t result = real(fd, bytes, n, offset);
	pass(STEP_AFTER, false);
	return result;
}

STEP(ssize_t, send, (int fd, const void *bytes, size_t n, int flags), (fd, bytes, n, flags))
STEP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
STEP(int, xendevicemodel_track_dirty_vram,
	(xendevicemodel_handle * handle, domid_t domid, uint64_t first, uint32_t n, unsigned long *bitmap),
	(handle, domid, first, n, bitmap))
STEP(int, xendevicemodel_relocate_memory,
	(xendevicemodel_handle * handle, domid_t domid, uint32_t n, uint64_t source, uint64_t destination),
	(handle, domid, n, source, destination))
STEP(int, xendevicemodel_pin_memory_cacheattr,
	(xendevicemodel_handle * handle, domid_t domid, uint64_t first, uint64_t last, uint32_t type),
	(handle, domid, first, last, type))
STEP(int, xendevicemodel_modified_memory,
	(xendevicemodel_handle * handle, domid_t domid, uint64_t first, uint32_t n),
	(handle, domid, first, n))
STEP(void *, xenforeignmemory_map,
	(xenforeignmemory_handle * handle, uint32_t domid, int prot, size_t n, const xen_pfn_t gfns[],
		int errors[]),
	(handle, domid, prot, n, gfns, errors))
