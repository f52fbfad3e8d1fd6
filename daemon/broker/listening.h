/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The listening sockets, and patience when descriptors run out. */
#ifndef XENVRAM_BROKER_LISTENING_H
#define XENVRAM_BROKER_LISTENING_H

#include "daemon/broker/broker.h"

/* Takes fd over. */
void listening_add(struct broker *broker, int fd);
void listening_start(struct broker *broker);
void listening_stop(struct broker *broker);
void listening_free(struct broker *broker);

#endif
