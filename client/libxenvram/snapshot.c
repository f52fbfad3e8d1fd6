/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client/libxenvram/call.h"
#include "client/libxenvram/snapshot.h"

static uint64_t get_word(const uint8_t *bytes, size_t n_bytes)
{
	uint64_t word = 0;
	memcpy(&word, bytes, n_bytes);
	return le64toh(word);
}

/*
 * Page i is bit i % 8 of byte i / 8 on the wire, so 64 pages are a little-endian word. Bits beyond the pages
 * are not to be trusted. Returns the number of dirty pages.
 */
static uint64_t copy_bitmap(uint64_t *bitmap, const uint8_t *bytes, uint64_t nr_pages)
{
	uint64_t n_words = nr_pages / 64;
	uint64_t rest = nr_pages % 64;
	uint64_t dirty_pages = 0;

	for (uint64_t i = 0; i < n_words; i++) {
		bitmap[i] = get_word(bytes + i * sizeof(*bitmap), sizeof(*bitmap));
		/* Most are not, and counting is a call where the processor need not have an instruction for it. */
		if (bitmap[i] != 0)
			dirty_pages += __builtin_popcountll(bitmap[i]);
	}
	if (rest > 0) {
		uint64_t word = get_word(bytes + n_words * sizeof(*bitmap), (rest + 7) / 8);
		bitmap[n_words] = word & ((1ull << rest) - 1);
		dirty_pages += __builtin_popcountll(bitmap[n_words]);
	}
	return dirty_pages;
}

int snapshot_take(struct xenvram *conn, const Xenvram__V1__SnapshotReply *reply, uint64_t asked,
	uint64_t *bitmap, uint64_t bitmap_pages, struct xenvram_snapshot *ret_snapshot)
{
	uint64_t nr_pages = reply->nr_pages;

	if (nr_pages == 0 || nr_pages > MAX_REGION_PAGES || (asked != 0 && nr_pages != asked) ||
		(reply->bitmap.len != 0 && reply->bitmap.len != (nr_pages + 7) / 8))
		return connection_break(conn, EPROTO,
			"xenvramd sent a bitmap of %zu bytes for %" PRIu64 " pages", reply->bitmap.len,
			nr_pages);
	if (nr_pages > bitmap_pages)
		return connection_fail(conn, ERANGE,
			"there are %" PRIu64 " pages, the bitmap has room for %" PRIu64, nr_pages,
			bitmap_pages);

	memset(bitmap, 0, XENVRAM_BITMAP_WORDS(bitmap_pages) * sizeof(*bitmap));
	ret_snapshot->generation = reply->generation;
	ret_snapshot->nr_pages = nr_pages;
	ret_snapshot->dirty_pages =
		reply->bitmap.len != 0 ? copy_bitmap(bitmap, reply->bitmap.data, nr_pages) : 0;
	return 0;
}

int xenvram_snapshot_pages(struct xenvram *conn, uint64_t cookie, uint64_t first, uint64_t nr_pages,
	uint64_t since, uint32_t flags, uint64_t *bitmap, uint64_t bitmap_pages,
	struct xenvram_snapshot *ret_snapshot)
{
	Xenvram__V1__Snapshot snapshot = XENVRAM__V1__SNAPSHOT__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	connection_begin(conn);
	if (flags & ~XENVRAM_SNAPSHOT_SYNC)
		return connection_fail(conn, EINVAL, "snapshot flags 0x%x are not known", flags);
	snapshot.cookie = cookie;
	snapshot.first = first;
	snapshot.nr_pages = nr_pages;
	snapshot.since = since;
	snapshot.sync = flags & XENVRAM_SNAPSHOT_SYNC;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT;
	request.snapshot = &snapshot;

	_call_free_ Xenvram__V1__Packet *packet = call(conn, &request, XENVRAM__V1__REPLY__RESULT_SNAPSHOT);
	if (!packet)
		return -1;
	return snapshot_take(conn, packet->reply->snapshot, nr_pages, bitmap, bitmap_pages, ret_snapshot);
}

int xenvram_snapshot(struct xenvram *conn, uint64_t cookie, uint64_t since, uint32_t flags, uint64_t *bitmap,
	uint64_t bitmap_pages, struct xenvram_snapshot *ret_snapshot)
{
	return xenvram_snapshot_pages(conn, cookie, 0, 0, since, flags, bitmap, bitmap_pages, ret_snapshot);
}
