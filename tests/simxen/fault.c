/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/simxen/host.h"

const char *const call_names[N_CALL_KINDS] = {
	[CALL_TRACK] = "track",
	[CALL_RELOCATE] = "relocate",
	[CALL_PIN] = "pin",
	[CALL_MODIFIED] = "modified",
	[CALL_MAP] = "map",
};

static bool fault_hits(struct fault *fault, uint32_t action, enum call_kind kind, uint32_t domid)
{
	if (action == FAULT_NONE || fault->kind != (uint32_t)kind || fault->domid != domid)
		return false;
	if (fault->every_call)
		return true;
	uint32_t left = atomic_load(&fault->countdown);
	while (left > 0 && !atomic_compare_exchange_weak(&fault->countdown, &left, left - 1))
		;
	return left == 1 || (left == 0 && fault->lasting);
}

int call_begin(struct host *host, enum call_kind kind, uint32_t domid, struct call *ret_call)
{
	*ret_call = (struct call){.max_pages = FAULT_ALL_PAGES};
	atomic_fetch_add_explicit(&host->file->calls[kind], 1, memory_order_relaxed);

	for (unsigned int i = 0; i < MAX_FAULTS; i++) {
		struct fault *fault = &host->file->faults[i];
		uint32_t action = atomic_load_explicit(&fault->action, memory_order_acquire);
		if (!fault_hits(fault, action, kind, domid))
			continue;
		if (action == FAULT_DELAY) {
			atomic_store(&fault->struck, true);
			usleep(fault->delay_us);
			continue;
		}
		if (action == FAULT_PAGE) {
			ret_call->page_fault = fault;
			continue;
		}
		ret_call->kill = action == FAULT_KILL;
		ret_call->error = action == FAULT_FAIL ? -fault->error : 0;
		ret_call->max_pages = fault->pages;
		ret_call->fault = fault;
	}
	return ret_call->max_pages == 0 ? call_strike(ret_call) : 0;
}

int call_strike(const struct call *call)
{
	atomic_store(&call->fault->struck, true);
	if (call->kill) {
		kill(getpid(), SIGKILL);
		/* Not reached, unless a sandbox forbids the signal. */
		abort();
	}
	return call->error;
}

void call_strike_page(const struct call *call, int *errors, size_t n_pages)
{
	if (!call->page_fault || call->page_fault->pages >= n_pages)
		return;
	errors[call->page_fault->pages] = -call->page_fault->error;
	atomic_store(&call->page_fault->struck, true);
}

int call_end(const struct call *call, int result)
{
	return call->kill || call->error ? call_strike(call) : result;
}

int fault_arm(struct host *host, const struct fault *fault)
{
	int result = -ENOSPC;

	host_lock(host);
	for (unsigned int i = 0; i < MAX_FAULTS; i++) {
		struct fault *entry = &host->file->faults[i];
		bool spent = !entry->every_call && !entry->lasting && atomic_load(&entry->countdown) == 0;
		if (atomic_load(&entry->action) != FAULT_NONE && !spent)
			continue;
		atomic_store(&entry->action, FAULT_NONE);
		entry->kind = fault->kind;
		entry->domid = fault->domid;
		entry->every_call = fault->every_call;
		entry->lasting = fault->lasting;
		entry->error = fault->error;
		entry->pages = fault->pages;
		entry->delay_us = fault->delay_us;
		atomic_store(&entry->struck, false);
		atomic_store(&entry->countdown, atomic_load(&fault->countdown));
		atomic_store_explicit(&entry->action, atomic_load(&fault->action), memory_order_release);
		result = (int)i;
		break;
	}
	host_unlock(host);
	return result;
}

bool fault_has_struck(struct host *host, unsigned int number)
{
	return number < MAX_FAULTS && atomic_load(&host->file->faults[number].struck);
}

void fault_clear_all(struct host *host)
{
	for (unsigned int i = 0; i < MAX_FAULTS; i++)
		atomic_store(&host->file->faults[i].action, FAULT_NONE);
}
