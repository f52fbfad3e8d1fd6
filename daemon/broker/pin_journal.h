/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pins in the journal: records of a kind of their own, told by another magic, in the slots behind those of
 * regions. Everything else is as journal.h has it.
 */
#ifndef XENVRAM_BROKER_PIN_JOURNAL_H
#define XENVRAM_BROKER_PIN_JOURNAL_H

#include "daemon/broker/journal.h"
#include "daemon/broker/pins.h"

#define PIN_JOURNAL_MAGIC   0x4a505658u /* "XVPJ" */
#define PIN_JOURNAL_VERSION 1u
/* Slot 0 of pins, counted in those of the journal. */
#define PIN_JOURNAL_FIRST_SLOT MAX_REGIONS

void pin_journal_encode(const struct pin_record *record, uint8_t slot[JOURNAL_SLOT_BYTES]);
/* As journal_decode. */
int pin_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct pin_record *ret_record);

int pin_journal_write(int fd, unsigned int slot, const struct pin_record *record);
int pin_journal_erase(int fd, unsigned int slot);
int pin_journal_read(int fd, unsigned int slot, struct pin_record *ret_record);

#endif
