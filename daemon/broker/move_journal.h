/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves under way in the journal: records of a kind of their own, told by another magic, in the slots behind
 * those of pins. One that is found there was interrupted. Everything else is as journal.h has it.
 */
#ifndef XENVRAM_BROKER_MOVE_JOURNAL_H
#define XENVRAM_BROKER_MOVE_JOURNAL_H

#include "daemon/broker/journal.h"
#include "daemon/broker/moves.h"
#include "daemon/broker/pin_journal.h"

#define MOVE_JOURNAL_MAGIC   0x4a4d5658u /* "XVMJ" */
#define MOVE_JOURNAL_VERSION 1u
/* Slot 0 of moves, counted in those of the journal. */
#define MOVE_JOURNAL_FIRST_SLOT (PIN_JOURNAL_FIRST_SLOT + MAX_RAW_PINS)

void move_journal_encode(const struct move_record *record, uint8_t slot[JOURNAL_SLOT_BYTES]);
/* As journal_decode. */
int move_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct move_record *ret_record);

int move_journal_write(int fd, unsigned int slot, const struct move_record *record);
int move_journal_erase(int fd, unsigned int slot);
int move_journal_read(int fd, unsigned int slot, struct move_record *ret_record);

#endif
