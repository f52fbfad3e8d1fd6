/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

struct slot_requester {
	uint32_t is_known;
	uint32_t uid;
	uint32_t pid;
	uint32_t zero;
} __attribute__((packed));

_Static_assert(
	JOURNAL_RECORD_BYTES + sizeof(struct slot_requester) == JOURNAL_SLOT_BYTES, "it ends the slot");

static void pack_requester(const struct requester *requester, uint8_t *ret_slot)
{
	struct slot_requester packed = {0};

	if (requester->known)
		packed = (struct slot_requester){
			htole32(1), htole32(requester->uid), htole32(requester->pid), 0};
	memcpy(ret_slot + JOURNAL_RECORD_BYTES, &packed, sizeof(packed));
}

static int unpack_requester(const uint8_t *slot, struct requester *ret_requester)
{
	struct slot_requester packed;

	memcpy(&packed, slot + JOURNAL_RECORD_BYTES, sizeof(packed));
	uint32_t is_known = le32toh(packed.is_known);
	if (is_known > 1 || packed.zero != 0 || (is_known == 0 && (packed.uid != 0 || packed.pid != 0))) {
		errno = EBADMSG;
		return -1;
	}
	*ret_requester = (struct requester){le32toh(packed.uid), le32toh(packed.pid), is_known == 1};
	return 0;
}

static size_t own_length(const struct journal_kind *kind)
{
	return kind->length[kind->version - 1];
}

void journal_pack(const struct journal_kind *kind, const void *record, const struct requester *requester,
	uint8_t ret_slot[JOURNAL_SLOT_BYTES])
{
	struct journal_head head = {
		.magic = htole32(kind->magic),
		.version = htole16(kind->version),
		.length = htole16(own_length(kind)),
	};

	memset(ret_slot, 0, JOURNAL_SLOT_BYTES);
	memcpy(ret_slot, record, own_length(kind));
	memcpy(ret_slot, &head, sizeof(head));
	pack_requester(requester, ret_slot);
}

int journal_unpack(const struct journal_kind *kind, const uint8_t slot[JOURNAL_SLOT_BYTES], void *ret_record,
	struct requester *ret_requester)
{
	struct journal_head head;

	memcpy(&head, slot, sizeof(head));
	if (le32toh(head.magic) != kind->magic)
		return 0;
	unsigned int version = le16toh(head.version);
	if (version == 0 || version > kind->version) {
		errno = ENOTSUP;
		return -1;
	}
	if (le16toh(head.length) != kind->length[version - 1]) {
		errno = EBADMSG;
		return -1;
	}
	if (unpack_requester(slot, ret_requester) < 0)
		return -1;
	memcpy(ret_record, slot, own_length(kind));
	return version;
}

static off_t offset_of(const struct journal_kind *kind, unsigned int slot)
{
	return (off_t)(kind->first_slot + slot) * JOURNAL_SLOT_BYTES;
}

int journal_write(
	const struct journal_kind *kind, int fd, unsigned int slot, const uint8_t bytes[JOURNAL_SLOT_BYTES])
{
	ssize_t n = pwrite(fd, bytes, JOURNAL_SLOT_BYTES, offset_of(kind, slot));
	if (n >= 0 && n != JOURNAL_SLOT_BYTES)
		errno = EIO;
	return n == JOURNAL_SLOT_BYTES ? 0 : -1;
}

int journal_erase(const struct journal_kind *kind, int fd, unsigned int slot)
{
	static const uint8_t free_slot[JOURNAL_SLOT_BYTES];
	return journal_write(kind, fd, slot, free_slot);
}

int journal_read(
	const struct journal_kind *kind, int fd, unsigned int slot, uint8_t ret_bytes[JOURNAL_SLOT_BYTES])
{
	uint8_t bytes[JOURNAL_SLOT_BYTES];
	ssize_t n = pread(fd, bytes, sizeof(bytes), offset_of(kind, slot));

	if (n <= 0)
		return n;
	if (n != JOURNAL_SLOT_BYTES) {
		errno = EBADMSG;
		return -1;
	}
	memcpy(ret_bytes, bytes, sizeof(bytes));
	return 1;
}
