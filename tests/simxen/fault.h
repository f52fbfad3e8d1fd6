/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every hypercall passes through: it is counted, and it may be made to fail, to take its time, or to
 * be the last thing that its process does.
 */
#ifndef XENVRAM_SIMXEN_FAULT_H
#define XENVRAM_SIMXEN_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;

enum call_kind {
	CALL_TRACK,
	CALL_RELOCATE,
	CALL_PIN,
	CALL_MODIFIED,
	CALL_MAP,
	N_CALL_KINDS,
};

extern const char *const call_names[N_CALL_KINDS];

enum fault_action {
	FAULT_NONE, /* the entry is free */
	FAULT_FAIL, /* with `error`, having done `pages` pages */
	FAULT_KILL, /* SIGKILL, having done `pages` pages */
	FAULT_DELAY,
	FAULT_PAGE, /* of a map call: it goes well, but for page number `pages`, which has `error` */
};

#define MAX_FAULTS      16u
#define FAULT_ALL_PAGES UINT32_MAX

struct fault {
	_Atomic uint32_t action; /* enum fault_action, written last */
	uint32_t kind;
	uint32_t domid;
	_Atomic uint32_t countdown; /* it strikes when this becomes 0; if set to 0: at every call */
	bool every_call;
	bool lasting; /* strikes at every later call, too */
	int32_t error;
	uint32_t pages;
	uint32_t delay_us;
	_Atomic bool struck; /* at least once */
};

/* A hypercall under way. */
struct call {
	int error; /* negative, to be returned by an armed fault */
	bool kill;
	uint32_t max_pages;       /* done before that happens */
	struct fault *fault;      /* whose doing it is */
	struct fault *page_fault; /* of a single page; NULL: none */
};

/* Counts the call and looks for its fault. 0, or the negative errno to fail with before anything is done. */
int call_begin(struct host *host, enum call_kind kind, uint32_t domid, struct call *ret_call);

/* The fault strikes: does not return, or returns the negative errno. */
int call_strike(const struct call *call);

/* The fault of a single page strikes, if the call has that page. */
void call_strike_page(const struct call *call, int *errors, size_t n_pages);

/* What the finished call returns: its own result, or that of its fault. */
int call_end(const struct call *call, int result);

/* Arms a copy of the fault in the host. Its number, or -ENOSPC. */
int fault_arm(struct host *host, const struct fault *fault);
/* Whether it has struck; known also after it was cleared, until another one is armed. */
bool fault_has_struck(struct host *host, unsigned int number);
void fault_clear_all(struct host *host);

#endif
