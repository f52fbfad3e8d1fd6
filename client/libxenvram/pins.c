/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/call.h"

int xenvram_pin_cacheattr(struct xenvram *conn, uint32_t domid, uint64_t first_gfn, uint64_t nr_pages,
	enum xenvram_cache_attr cache_attr)
{
	Xenvram__V1__PinCacheattr pin = XENVRAM__V1__PIN_CACHEATTR__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	pin.domid = domid;
	pin.first_gfn = first_gfn;
	pin.nr_pages = nr_pages;
	pin.cache_attr = (Xenvram__V1__CacheAttr)cache_attr;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_PIN_CACHEATTR;
	request.pin_cacheattr = &pin;
	return call_without_result(conn, &request);
}

int xenvram_unpin_cacheattr(struct xenvram *conn, uint32_t domid, uint64_t first_gfn, uint64_t nr_pages)
{
	Xenvram__V1__UnpinCacheattr unpin = XENVRAM__V1__UNPIN_CACHEATTR__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	unpin.domid = domid;
	unpin.first_gfn = first_gfn;
	unpin.nr_pages = nr_pages;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_UNPIN_CACHEATTR;
	request.unpin_cacheattr = &unpin;
	return call_without_result(conn, &request);
}

int xenvram_list_pins(struct xenvram *conn, uint32_t domid,
	int (*each)(const struct xenvram_pin *pin, void *data), void *data)
{
	Xenvram__V1__ListPins list_pins = XENVRAM__V1__LIST_PINS__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	list_pins.domid = domid;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_LIST_PINS;
	request.list_pins = &list_pins;
	_call_free_ Xenvram__V1__Packet *packet = call(conn, &request, XENVRAM__V1__REPLY__RESULT_LIST_PINS);
	if (!packet)
		return -1;
	const Xenvram__V1__ListPinsReply *list = packet->reply->list_pins;
	for (size_t i = 0; i < list->n_pins; i++) {
		const Xenvram__V1__PinInfo *info = list->pins[i];
		struct xenvram_pin pin = {
			.first_gfn = info->first_gfn,
			.nr_pages = info->nr_pages,
			.cache_attr = (enum xenvram_cache_attr)info->cache_attr,
			.cookie = info->cookie,
			.owner_uid = info->owner_uid,
			.settled = info->settled,
		};
		int result = each(&pin, data);
		if (result != 0)
			return result;
	}
	return 0;
}
