/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who waits for an answer. The connection may be gone by then. */
#ifndef XENVRAM_BROKER_ASKER_H
#define XENVRAM_BROKER_ASKER_H

#include <stdbool.h>
#include <stdint.h>

/* Who sent a request, as the kernel says of its message. */
struct requester {
	uint32_t uid;
	uint32_t pid;
	bool known;
};

struct asker {
	uint64_t connection; /* 0: nobody */
	uint64_t serial;     /* the client's own, which it may use twice */
	uint64_t request;    /* of all that this broker was asked */
	struct requester requester;
};

#endif
