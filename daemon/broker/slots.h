/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which slots of a part of the journal are in use. */
#ifndef XENVRAM_BROKER_SLOTS_H
#define XENVRAM_BROKER_SLOTS_H

#include <stdbool.h>

/* Takes the slot, or a free one when it is n_slots. -1 with errno: ENOSPC, none is free; EEXIST, it is in use. */
int slots_take(bool *slots, unsigned int n_slots, unsigned int *slot);

#endif
