/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the broker has the worker do, carried out on the guest, the tracker and the region logs. */
#ifndef XENVRAM_WORKER_COMMAND_H
#define XENVRAM_WORKER_COMMAND_H

#include "daemon/worker/guest.h"
#include "daemon/worker/log_store.h"
#include "daemon/worker/tracker.h"
#include "proto/frame.h"
#include "proto/internal.pb-c.h"
#include "proto/limits.h"

/* What commands work with; all of it is the worker's. */
struct hands {
	struct guest *guest;
	struct tracker *tracker;
	struct log_store *logs;
};

/* The answer, and what it points to until it is packed. */
struct command_answer {
	Xenvram__Internal__Done done;
	struct failure warning;
	Xenvram__Internal__Shifted shifted;
	Xenvram__V1__MappedRun runs[MAX_MAPPED_RUNS];
	Xenvram__V1__MappedRun *run_pointers[MAX_MAPPED_RUNS];
};

/*
 * 0: done, with *answer; 1: the tracker will tell when it is; -1 with the failure, and *answer for what is
 * known all the same. NO_DOMAIN means that the domain is gone for good. Takes descriptors out of the frame.
 */
int command_carry_out(struct hands *hands, const Xenvram__Internal__Command *command, struct frame *frame,
	struct command_answer *answer, struct failure *failure);

#endif
