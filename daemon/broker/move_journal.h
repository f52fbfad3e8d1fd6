/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves under way in the journal. One that is found there was interrupted. */
#ifndef XENVRAM_BROKER_MOVE_JOURNAL_H
#define XENVRAM_BROKER_MOVE_JOURNAL_H

#include "daemon/broker/journal.h"
#include "daemon/broker/moves.h"

extern const struct journal_kind move_journal;

void move_journal_encode(const struct move_record *record, uint8_t ret_slot[JOURNAL_SLOT_BYTES]);
/* As region_journal_decode(). */
int move_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct move_record *ret_record);
/* As journal_write(). */
int move_journal_write(int fd, unsigned int slot, const struct move_record *record);

#endif
