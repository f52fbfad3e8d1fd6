/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/arrangement.h"

#include "daemon/worker/pin.h"

static struct extent extent_of(const Xenvram__Internal__Range *range)
{
	return (struct extent){range->first_gfn, range->nr_pages};
}

int arrangement_apply(struct guest *guest, const Xenvram__Internal__Arrange *arrange, uint32_t *ret_pinned,
	struct failure *ret_warning, struct failure *failure)
{
	struct failure refused, first;
	uint32_t pinned = 0;
	size_t n_refused = 0;

	for (size_t i = 0; i < arrange->n_unpin; i++) {
		/* Nothing may be pinned there, as after a worker died between moving and pinning. */
		if (pin_delete(guest, extent_of(arrange->unpin[i]), failure) < 0)
			return -1;
	}
	for (size_t i = 0; i < arrange->n_pin; i++) {
		if (pin_set(guest, extent_of(arrange->pin[i]), arrange->cache_attr, &refused) == 0) {
			pinned |= 1u << i;
			continue;
		}
		if (arrange->require_pin || refused.status == XENVRAM__V1__STATUS__NO_DOMAIN) {
			*failure = refused;
			return -1;
		}
		if (n_refused++ == 0)
			*ret_warning = first = refused;
		else
			failure_set(ret_warning, first.status, first.os_error,
				"%.250s; so are %zu more of its pins", first.text, n_refused - 1);
	}
	*ret_pinned = pinned;
	return 0;
}
