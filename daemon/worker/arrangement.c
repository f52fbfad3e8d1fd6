/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/arrangement.h"

#include "daemon/worker/pin.h"

static struct extent extent_of(const Xenvram__Internal__Range *range)
{
	return (struct extent){range->first_gfn, range->nr_pages};
}

/* 0, or -1 with the failure. */
static int unpin(
	struct guest *guest, Xenvram__Internal__Range *const *ranges, size_t n, struct failure *failure)
{
	for (size_t i = 0; i < n; i++) {
		/* Nothing may be pinned there, as after a worker died between moving and pinning. */
		if (pin_delete(guest, extent_of(ranges[i]), failure) < 0)
			return -1;
	}
	return 0;
}

int arrangement_apply(struct guest *guest, const Xenvram__Internal__Arrange *arrange, bool *ret_pinned,
	struct failure *ret_warning, struct failure *failure)
{
	struct failure refused;

	if (unpin(guest, arrange->unpin, arrange->n_unpin, failure) < 0)
		return -1;
	for (size_t i = 0; i < arrange->n_pin; i++) {
		if (pin_set(guest, extent_of(arrange->pin[i]), arrange->cache_attr, &refused) == 0)
			continue;
		if (arrange->require_pin || refused.status == XENVRAM__V1__STATUS__NO_DOMAIN) {
			*failure = refused;
			return -1;
		}
		/* All or none: what is said not to be pinned must not be. */
		if (unpin(guest, arrange->pin, i, failure) < 0)
			return -1;
		*ret_warning = refused;
		*ret_pinned = false;
		return 0;
	}
	*ret_pinned = true;
	return 0;
}
