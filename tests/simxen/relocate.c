/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/relocate.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/host.h"

#define INVALID_GFN  UINT64_MAX
#define END_OF_SPACE (1ull << 36) /* nothing can be placed from here on */

static void move_finish(struct host *host, struct domain *domain)
{
	struct move *move = &domain->move;

	p2m_set(&domain->p2m, move->dst_gfn, move->frame);
	p2m_clear(&domain->p2m, move->src_gfn);
	if (move->old_frame && move->old_frame != move->frame)
		frame_free(host, move->old_frame);
	track_unmark(&domain->tracking, move->src_gfn);
	track_mark(&domain->tracking, move->dst_gfn);
	atomic_signal_fence(memory_order_seq_cst);
	move->under_way = 0;
}

void relocate_recover(struct host *host, struct domain *domain)
{
	if (domain->move.under_way)
		move_finish(host, domain);
}

static int relocate_page(struct host *host, struct domain *domain, uint64_t src_gfn, uint64_t dst_gfn)
{
	struct move *move = &domain->move;

	uint32_t frame = src_gfn < P2M_MAX_GFN ? p2m_get(&domain->p2m, src_gfn) : 0;
	if (!frame)
		return host->file->settings.xen_minor < 20 ? -EINVAL : -EACCES;
	if (dst_gfn == INVALID_GFN)
		return -EINVAL;
	if (src_gfn == dst_gfn)
		return 0;
	if (dst_gfn >= END_OF_SPACE) {
		/* As on real Xen: by the time it finds out, the page has been taken from its place. */
		p2m_clear(&domain->p2m, src_gfn);
		track_unmark(&domain->tracking, src_gfn);
		frame_free(host, frame);
		return -ENOENT;
	}
	if (p2m_reserve(&domain->p2m, dst_gfn) < 0)
		return -ENOMEM;

	move->src_gfn = src_gfn;
	move->dst_gfn = dst_gfn;
	move->frame = frame;
	move->old_frame = p2m_get(&domain->p2m, dst_gfn);
	atomic_signal_fence(memory_order_seq_cst);
	move->under_way = 1;
	atomic_signal_fence(memory_order_seq_cst);
	move_finish(host, domain);
	return 0;
}

int relocate(struct host *host, struct domain *domain, const struct call *call, uint32_t n_pages,
	uint64_t src_gfn, uint64_t dst_gfn)
{
	/* Xen before 4.20 overwrites the tail of a range that moves up by less than its length. */
	bool backwards =
		host->file->settings.xen_minor >= 20 && dst_gfn > src_gfn && dst_gfn - src_gfn < n_pages;

	if (n_pages && (src_gfn + n_pages - 1 < src_gfn || dst_gfn + n_pages - 1 < dst_gfn))
		return -EOVERFLOW;
	for (uint32_t i = 0; i < n_pages; i++) {
		if (i == call->max_pages)
			return call_strike(call);
		uint32_t page = backwards ? n_pages - 1 - i : i;
		int result = relocate_page(host, domain, src_gfn + page, dst_gfn + page);
		if (result < 0)
			return result;
	}
	return 0;
}
