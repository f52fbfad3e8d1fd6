/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a broker takes over at its start: from the supervisor, and from the journal. */
#ifndef XENVRAM_BROKER_INHERIT_H
#define XENVRAM_BROKER_INHERIT_H

#include "daemon/broker/broker.h"

/* The frame has the journal and the listening sockets. */
void inherit_start(struct broker *broker, struct frame *frame);
/* Takes fd over. */
void inherit_kept(struct broker *broker, const Xenvram__Internal__Kept *kept, int fd);
/* All is taken over: clients are served from now on. */
void inherit_finish(struct broker *broker);

#endif
