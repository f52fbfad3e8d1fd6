/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal: what must be known about regions after a crash. A file of fixed slots, one a region,
 * each rewritten in place by a single write, so that it never grows and never needs compaction. It has to
 * survive processes, not the machine: the regions themselves end with the host.
 *
 * A slot is JOURNAL_SLOT_BYTES long, little-endian: magic u32, version u16, length u16, then the
 * record. A slot with another magic is free; one that cannot be read, above all of a version that this build
 * does not know, is left alone.
 * Later versions append to the record of version 1.
 *
 * The last 16 bytes of a slot are of no record: for all kinds alike they say who asked for what is under way,
 * three u32: 1, uid, pid; and a fourth that is 0. Earlier builds left them 0, and do not look at them.
 */
#ifndef XENVRAM_BROKER_JOURNAL_H
#define XENVRAM_BROKER_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/broker/region_record.h"

#define JOURNAL_SLOT_BYTES 256u
#define JOURNAL_MAGIC      0x4a525658u /* "XVRJ" */
#define JOURNAL_VERSION    3u          /* written; 1 and 2 are read as well */

void journal_encode(const struct region_record *record, uint8_t slot[JOURNAL_SLOT_BYTES]);

/*
 * 1 with *ret_record; 0: the slot is free; -1 with errno: ENOTSUP a version that is not known, EBADMSG a
 * record that cannot be true, or is cut off. *ret_record is untouched then.
 */
int journal_decode(const uint8_t slot[JOURNAL_SLOT_BYTES], struct region_record *ret_record);

/* 0, or -1 with errno as pwrite has it (a short write is EIO). */
int journal_write(int fd, unsigned int slot, const struct region_record *record);
int journal_erase(int fd, unsigned int slot);

/*
 * Reads the slot. 1, 0 (free, or past the end), or -1 with errno: as journal_decode, or what pread said.
 */
int journal_read(int fd, unsigned int slot, struct region_record *ret_record);

/* For records of all kinds, which must end before it. */
#define JOURNAL_RECORD_BYTES (JOURNAL_SLOT_BYTES - 16u)
void journal_encode_requester(const struct requester *requester, uint8_t slot[JOURNAL_SLOT_BYTES]);
/* 0, or -1 with EBADMSG: nothing that journal_encode_requester() writes. */
int journal_decode_requester(const uint8_t slot[JOURNAL_SLOT_BYTES], struct requester *ret_requester);

/* For records of other kinds. -1 with errno; reading also 0: the slot is past the end. */
int journal_write_slot(int fd, unsigned int slot, const uint8_t bytes[JOURNAL_SLOT_BYTES]);
int journal_read_slot(int fd, unsigned int slot, uint8_t ret_bytes[JOURNAL_SLOT_BYTES]);

#endif
