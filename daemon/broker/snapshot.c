/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/snapshot.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/broker/connection.h"

_Static_assert(MAX_REGION_PAGES / 8 < MAX_MESSAGE_BYTES - 1024, "a snapshot of any region fits a message");

void snapshot_answer(struct broker *broker, const struct region *region, const struct asker *asker,
	struct extent pages, uint64_t since)
{
	uint64_t bitmap[MAX_REGION_PAGES / 64];
	Xenvram__V1__SnapshotReply snapshot = XENVRAM__V1__SNAPSHOT_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	char warning[FAILURE_TEXT_BYTES];

	snapshot.nr_pages = pages.nr_pages;
	snapshot.dirty_pages = region_log_scan(
		&region->log, since, pages.first, pages.nr_pages, bitmap, &snapshot.generation);
	if (snapshot.dirty_pages > 0) {
		for (uint64_t i = 0; i < (pages.nr_pages + 63) / 64; i++)
			bitmap[i] = htole64(bitmap[i]);
		snapshot.bitmap = (ProtobufCBinaryData){(pages.nr_pages + 7) / 8, (uint8_t *)bitmap};
	}
	uint64_t untracked_pages = __atomic_load_n(&region->log.header->untracked_pages, __ATOMIC_RELAXED);
	if (untracked_pages > 0) {
		snprintf(warning, sizeof(warning),
			"domain %" PRIu32 ": %" PRIu64 " of the %" PRIu64 " pages from gfn 0x%" PRIx64
			" on are called dirty at every look, for the hypervisor does not track them now: "
			"what is "
			"followed in the domain spans more than one call covers (dm_op_buf_max_size of "
			"xen_privcmd), or has just changed, or tracking fails",
			region->record.domid, untracked_pages, region->record.nr_pages,
			region->record.vram_gfn);
		reply.message = warning;
	}
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SNAPSHOT;
	reply.snapshot = &snapshot;
	asker_reply(broker, asker, &reply, NULL, 0);
}
