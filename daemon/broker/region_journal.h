/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regions in the journal. */
#ifndef XENVRAM_BROKER_REGION_JOURNAL_H
#define XENVRAM_BROKER_REGION_JOURNAL_H

#include "daemon/broker/journal.h"
#include "daemon/broker/region_record.h"

extern const struct journal_kind region_journal;

void region_journal_encode(const struct region_record *record, uint8_t ret_slot[JOURNAL_SLOT_BYTES]);

/*
 * 1 with *ret_record; 0: the slot is free; -1 with errno: as journal_unpack(), or EBADMSG: a record that
 * cannot be true. *ret_record is untouched then.
 */
int region_journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct region_record *ret_record);

/* As journal_write(). */
int region_journal_write(int fd, unsigned int slot, const struct region_record *record);

#endif
