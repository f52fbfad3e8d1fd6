/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pins that clients have set by themselves, in the journal. */
#ifndef XENVRAM_BROKER_PIN_JOURNAL_H
#define XENVRAM_BROKER_PIN_JOURNAL_H

#include "daemon/broker/journal.h"
#include "daemon/broker/pins.h"

extern const struct journal_kind pin_journal;

void pin_journal_encode(const struct pin_record *record, uint8_t ret_slot[JOURNAL_SLOT_BYTES]);
/* As region_journal_decode(). */
int pin_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct pin_record *ret_record);
/* As journal_write(). */
int pin_journal_write(int fd, unsigned int slot, const struct pin_record *record);

#endif
