/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/subscribe.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client/libxenvram/call.h"
#include "client/libxenvram/own.h"
#include "client/libxenvram/view.h"

void subscribe_abandon(struct xenvram *conn, uint64_t subscription)
{
	Xenvram__V1__Unsubscribe unsubscribe = XENVRAM__V1__UNSUBSCRIBE__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	unsubscribe.subscription = subscription;
	request.serial = ++conn->last_serial;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_UNSUBSCRIBE;
	request.unsubscribe = &unsubscribe;
	frame_send_message(conn->socket, &request.base, NULL, 0);
}

static int end_subscription(struct xenvram *conn, uint64_t subscription)
{
	Xenvram__V1__Unsubscribe unsubscribe = XENVRAM__V1__UNSUBSCRIBE__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	unsubscribe.subscription = subscription;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_UNSUBSCRIBE;
	request.unsubscribe = &unsubscribe;
	return call_without_result(conn, &request);
}

static struct view *take_view(
	struct xenvram *conn, const Xenvram__V1__SubscribeReply *reply, const Xenvram__V1__Subscribe *request)
{
	_own_fd_ int log_fd = frame_take_fd(&conn->frame, 0);
	_own_fd_ int wake_fd = frame_take_fd(&conn->frame, 1);
	bool has_wake = wake_fd >= 0;
	bool surplus = conn->frame.n_fds > 2;

	frame_close_fds(&conn->frame);
	if (log_fd < 0 || has_wake != reply->has_wake || surplus) {
		connection_break(conn, EPROTO, "xenvramd answered a subscription with the wrong descriptors");
		return NULL;
	}
	struct view *view = view_new(reply->subscription, log_fd, own_steal(&wake_fd));
	if (!view && errno != EPROTO) {
		int os_error = errno;
		subscribe_abandon(conn, reply->subscription);
		connection_fail(conn, os_error, "cannot map the region log: %s", strerror(os_error));
		return NULL;
	}
	if (!view || view->log.nr_pages != reply->nr_pages || view->log.header->cookie != request->cookie ||
		request->first >= reply->nr_pages || request->nr_pages > reply->nr_pages - request->first) {
		view_free(view);
		connection_break(conn, EPROTO, "what xenvramd sent is not the log of region 0x%" PRIx64,
			request->cookie);
		return NULL;
	}
	view->first = request->first;
	view->nr_pages = request->nr_pages > 0 ? request->nr_pages : reply->nr_pages - request->first;
	return view;
}

int xenvram_subscribe_pages(struct xenvram *conn, uint64_t cookie, uint64_t first, uint64_t nr_pages,
	uint32_t period_us, uint32_t flags, struct xenvram_view **ret_view)
{
	Xenvram__V1__Subscribe subscribe = XENVRAM__V1__SUBSCRIBE__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	connection_begin(conn);
	if (flags & ~XENVRAM_SUBSCRIBE_WAKE)
		return connection_fail(conn, EINVAL, "subscription flags 0x%x are not known", flags);
	subscribe.cookie = cookie;
	subscribe.first = first;
	subscribe.nr_pages = nr_pages;
	subscribe.period_us = period_us;
	subscribe.want_wake = flags & XENVRAM_SUBSCRIBE_WAKE;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_SUBSCRIBE;
	request.subscribe = &subscribe;

	_call_free_ Xenvram__V1__Packet *packet = call(conn, &request, XENVRAM__V1__REPLY__RESULT_SUBSCRIBE);
	if (!packet)
		return -1;
	struct view *view = take_view(conn, packet->reply->subscribe, &subscribe);
	if (!view)
		return -1;
	*ret_view = &view->public;
	return 0;
}

int xenvram_subscribe(struct xenvram *conn, uint64_t cookie, uint32_t period_us, uint32_t flags,
	struct xenvram_view **ret_view)
{
	return xenvram_subscribe_pages(conn, cookie, 0, 0, period_us, flags, ret_view);
}

int xenvram_unsubscribe(struct xenvram *conn, struct xenvram_view *public)
{
	if (!public)
		return 0;
	struct view *view = view_of(public);
	int result = conn ? end_subscription(conn, view->subscription) : 0;
	int saved_errno = errno;
	view_free(view);
	errno = saved_errno;
	return result;
}
