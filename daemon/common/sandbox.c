/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "daemon/common/log.h"

static const int common_calls[] = {
	/* event loop */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(restart_syscall),
	/* sockets and pipes that are there */
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(shutdown),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(fcntl),
	/* files that are open; newfstatat is how libc does fstat */
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lseek),
	/* memory, region logs among it */
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(mprotect),
	/* libc's own */
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static const int broker_calls[] = {
	SCMP_SYS(accept4),
	SCMP_SYS(getsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(pipe2),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
};

static const int worker_calls[] = {
	SCMP_SYS(ioctl), /* privcmd */
	SCMP_SYS(timerfd_settime),
};

static int allow(scmp_filter_ctx filter, const int *calls, size_t n_calls)
{
	for (size_t i = 0; i < n_calls; i++) {
		int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
		if (error < 0)
			return error;
	}
	return 0;
}

/* Signals go to this process alone: abort() raises one. */
static int allow_own_signals(scmp_filter_ctx filter)
{
	static const int calls[] = {SCMP_SYS(kill), SCMP_SYS(tgkill)};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int error = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, calls[i], 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
		if (error < 0)
			return error;
	}
	return 0;
}

static int load(enum sandbox_role role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return -ENOMEM;
	int error = allow(filter, common_calls, sizeof(common_calls) / sizeof(common_calls[0]));
	if (error == 0)
		error = allow_own_signals(filter);
	if (error == 0 && role == SANDBOX_BROKER)
		error = allow(filter, broker_calls, sizeof(broker_calls) / sizeof(broker_calls[0]));
	if (error == 0 && role == SANDBOX_WORKER)
		error = allow(filter, worker_calls, sizeof(worker_calls) / sizeof(worker_calls[0]));
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

int sandbox_enter(enum sandbox_role role)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)role;
	(void)load;
	return 0;
#else
	int error = load(role);
	if (error < 0) {
		errno = -error;
		log_error("cannot restrict this role's system calls: %s", strerror(errno));
		return -1;
	}
	return 0;
#endif
}
