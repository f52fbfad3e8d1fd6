/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steps of a role: what it does that others see. Before and after each it can be stopped, for a test to
 * kill whom it likes, or killed on the spot. A write to the journal can be made to fail, or all from one on.
 */
#ifndef XENVRAM_FAULTS_STEPS_H
#define XENVRAM_FAULTS_STEPS_H

#include <stdatomic.h>
#include <stdint.h>

#define STEPS_ENV "XENVRAM_STEPS" /* names the file that holds struct steps, mapped by everybody */

enum step_role {
	STEP_SUPERVISOR,
	STEP_BROKER,
	STEP_WORKER,
	N_STEP_ROLES,
};

enum step_moment {
	STEP_BEFORE,
	STEP_AFTER,
};

enum step_action {
	STEP_GO_ON,
	STEP_HOLD, /* until `release` is as large as `held` */
	STEP_KILL,
	STEP_FAIL, /* a write to the journal, before it: of the others none does, or counts */
};

/* All are 32-bit words, in this order: the test's side is not written in C. */
struct steps {
	_Atomic uint32_t action; /* enum step_action: once, and written last */
	_Atomic uint32_t role;
	_Atomic uint32_t moment;
	_Atomic uint32_t countdown; /* of steps of the role: at the one that makes it 0 */
	_Atomic uint32_t held;      /* how many were held so far */
	_Atomic uint32_t held_pid;
	_Atomic uint32_t release;
	_Atomic uint32_t pids[N_STEP_ROLES];   /* who began last */
	_Atomic uint32_t counts[N_STEP_ROLES]; /* of steps */
	/* Apart from the action: the write to the journal that makes it 1 fails, and so do all that follow. 0: none. */
	_Atomic uint32_t unwritable_from;
	_Atomic uint32_t unwritten_at; /* the count of steps at the first of these; 0: none has failed */
};

#endif
