/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/call.h"

static int mark(struct xenvram *conn, uint64_t cookie, Xenvram__V1__Run **pointers, size_t n_runs)
{
	Xenvram__V1__MarkDirty mark_dirty = XENVRAM__V1__MARK_DIRTY__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	mark_dirty.cookie = cookie;
	mark_dirty.runs = pointers;
	mark_dirty.n_runs = n_runs;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MARK_DIRTY;
	request.mark_dirty = &mark_dirty;
	return call_without_result(conn, &request);
}

int xenvram_mark_dirty(struct xenvram *conn, uint64_t cookie, const struct xenvram_run *runs, size_t n_runs)
{
	Xenvram__V1__Run packed[MAX_MARKED_RUNS], *pointers[MAX_MARKED_RUNS];

	do {
		size_t n = n_runs < MAX_MARKED_RUNS ? n_runs : MAX_MARKED_RUNS;
		for (size_t i = 0; i < n; i++) {
			xenvram__v1__run__init(&packed[i]);
			packed[i].first = runs[i].first;
			packed[i].nr_pages = runs[i].nr_pages;
			pointers[i] = &packed[i];
		}
		if (mark(conn, cookie, pointers, n) < 0)
			return -1;
		runs += n;
		n_runs -= n;
	} while (n_runs > 0);
	return 0;
}

int xenvram_refresh(struct xenvram *conn, uint64_t cookie)
{
	Xenvram__V1__Refresh refresh = XENVRAM__V1__REFRESH__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	refresh.cookie = cookie;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_REFRESH;
	request.refresh = &refresh;
	return call_without_result(conn, &request);
}
