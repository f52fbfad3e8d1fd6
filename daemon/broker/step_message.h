/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A step of a task as the command that the worker gets. */
#ifndef XENVRAM_BROKER_STEP_MESSAGE_H
#define XENVRAM_BROKER_STEP_MESSAGE_H

#include "daemon/broker/task.h"
#include "proto/internal.pb-c.h"

/* The command, and all that it points to; not to be copied. */
struct step_message {
	Xenvram__Internal__Command command;
	Xenvram__Internal__Check check;
	Xenvram__Internal__Arrange arrange;
	Xenvram__Internal__Shift shift;
	Xenvram__Internal__Placement placement;
	Xenvram__Internal__Expectation expected[2 * MAX_REGION_EXTENTS];
	Xenvram__Internal__Expectation *expected_pointers[2 * MAX_REGION_EXTENTS];
	/* Of expectations, or of what is unpinned and then pinned. */
	Xenvram__Internal__Range range[4 * MAX_REGION_EXTENTS];
	Xenvram__Internal__Range *range_pointers[4 * MAX_REGION_EXTENTS];
	Xenvram__V1__Run run[MAX_REGION_EXTENTS];
	Xenvram__V1__Run *run_pointers[MAX_REGION_EXTENTS];
	uint64_t from_gfn[2];
};

void step_message_fill(
	struct step_message *message, const struct region_record *record, const struct task_step *step);

/* That the region is in place already, for a new worker. */
void step_message_attach(struct step_message *message, const struct region_record *record);

#endif
