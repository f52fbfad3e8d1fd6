/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The next step of a move as the command that the worker gets. */
#ifndef XENVRAM_BROKER_MOVE_MESSAGE_H
#define XENVRAM_BROKER_MOVE_MESSAGE_H

#include "daemon/broker/moves.h"
#include "proto/internal.pb-c.h"

/* The command, and all that it points to; not to be copied. */
struct move_message {
	Xenvram__Internal__Command command;
	Xenvram__Internal__Check check;
	Xenvram__Internal__Arrange arrange;
	Xenvram__Internal__Shift shift;
	Xenvram__Internal__Map map;
	Xenvram__Internal__Expectation expected[2]; /* of the source, and of the destination */
	Xenvram__Internal__Expectation *expected_pointers[2];
	Xenvram__Internal__Range range[2];
	Xenvram__V1__Run run;
	Xenvram__V1__Run *run_pointer;
	uint64_t from_gfn;
};

/* The move has not ended (MOVE_END). */
void move_message_fill(struct move_message *message, const struct move *move);

#endif
