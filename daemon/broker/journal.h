/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal: what must be known after a crash. A file of fixed slots, one for each thing that it knows of,
 * each rewritten in place by a single write, so that it never grows and never needs compaction. It has to
 * survive processes, not the machine: what it tells of ends with the host.
 *
 * Each kind of record has slots of its own, one kind behind the other. A slot is JOURNAL_SLOT_BYTES long,
 * little-endian: struct journal_head, the rest of the record, zeros. Later versions append to the record of
 * version 1. The last 16 bytes are of no record: for all kinds alike they say who asked for what is under way,
 * three u32: 1, uid, pid; and a fourth that is 0. Earlier builds left them 0, and do not look at them.
 *
 * A slot with another magic than its kind's is free. One that cannot be read, above all of a version that this
 * build does not know, is left alone: guest pages may be where it alone says.
 */
#ifndef XENVRAM_BROKER_JOURNAL_H
#define XENVRAM_BROKER_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/broker/asker.h"

#define JOURNAL_SLOT_BYTES 256u
/* Every record, with its head, ends before who asked. */
#define JOURNAL_RECORD_BYTES (JOURNAL_SLOT_BYTES - 16u)

/* Every record begins with it. */
struct journal_head {
	uint32_t magic;
	uint16_t version;
	uint16_t length; /* of the record, with this */
} __attribute__((packed));

#define JOURNAL_MAX_VERSIONS 3u

struct journal_kind {
	uint32_t magic;
	unsigned int first_slot; /* in the file, of its slots, which count from 0 */
	unsigned int n_slots;
	uint16_t version;                      /* is written; all from 1 on are read */
	uint16_t length[JOURNAL_MAX_VERSIONS]; /* of records of version 1, 2... */
};

/* Makes the slot of a record of the kind's own version, of which the head is filled in here. */
void journal_pack(const struct journal_kind *kind, const void *record, const struct requester *requester,
	uint8_t ret_slot[JOURNAL_SLOT_BYTES]);

/*
 * The version of the record in the slot, whose bytes, as many as the kind's own version has, are put into
 * *ret_record. 0: the slot is free; -1 with errno: ENOTSUP, a version that is not known; EBADMSG, not as long as
 * its version is, or nobody can have asked for it so. Nothing is stored then.
 */
int journal_unpack(const struct journal_kind *kind, const uint8_t slot[JOURNAL_SLOT_BYTES], void *ret_record,
	struct requester *ret_requester);

/* 0, or -1 with errno as pwrite has it (a short write is EIO). */
int journal_write(
	const struct journal_kind *kind, int fd, unsigned int slot, const uint8_t bytes[JOURNAL_SLOT_BYTES]);
int journal_erase(const struct journal_kind *kind, int fd, unsigned int slot);
/* 1, 0 (past the end of the file), or -1 with errno: what pread said, or EBADMSG: the file ends within it. */
int journal_read(
	const struct journal_kind *kind, int fd, unsigned int slot, uint8_t ret_bytes[JOURNAL_SLOT_BYTES]);

#endif
