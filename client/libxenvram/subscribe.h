/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XENVRAM_CLIENT_SUBSCRIBE_H
#define XENVRAM_CLIENT_SUBSCRIBE_H

#include "client/libxenvram/connection.h"

/*
 * Ends a subscription that no view stands for, without waiting for the answer. When this cannot be sent, it
 * lasts as long as the connection.
 */
void subscribe_abandon(struct xenvram *conn, uint64_t subscription);

#endif
