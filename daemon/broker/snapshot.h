/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A region's dirty pages as a message. */
#ifndef XENVRAM_BROKER_SNAPSHOT_H
#define XENVRAM_BROKER_SNAPSHOT_H

#include "daemon/broker/broker.h"

/* Answers from the log as it is: every one of these pages dirtied after generation `since`. */
void snapshot_answer(struct broker *broker, const struct region *region, const struct asker *asker,
	struct extent pages, uint64_t since);

#endif
