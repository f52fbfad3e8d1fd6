/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/common/fd.h"
#include "daemon/common/list.h"

/* Packets handled before other descriptors of the loop get their turn. */
#define MAX_PACKETS_A_TURN 16
/* More than a socket holds. */
#define MAX_PACKETS_OF_THE_DEAD 4096u

struct queued {
	STAILQ_ENTRY(queued) link; /* channel::queue */
	size_t n_bytes;
	int fds[MAX_MESSAGE_FDS];
	unsigned int n_fds;
	uint8_t bytes[];
};

struct channel {
	int fd;
	enum channel_kind kind;
	const struct channel_ops *ops;
	void *owner;
	void (*on_turn)(void *owner);
	struct event *readable;
	struct event *writable;
	struct event *retry; /* the kernel was out of memory for a packet */
	STAILQ_HEAD(, queued) queue;
	size_t queued_bytes;
	size_t max_queued_bytes;
	bool held;
	bool reading; /* `readable` is set */
	bool closing; /* on_close is due with close_error */
	bool deaf;    /* the owner closed it: whatever else comes in is dropped */
	int close_error;
	bool *freed; /* set when the channel is freed during one of its own callbacks */
};

static struct queued *queued_free(struct queued *packet)
{
	for (unsigned int i = 0; i < packet->n_fds; i++)
		fd_close(packet->fds[i]);
	free(packet);
	return NULL;
}

/* ECONNRESET: the peer closed before it had read everything. */
static void schedule_close(struct channel *channel, int error)
{
	if (channel->closing)
		return;
	channel->closing = true;
	channel->close_error = error == EPIPE || error == ECONNRESET ? 0 : error;
	event_active(channel->readable, EV_READ, 0);
}

/*
 * A socket that is closed with packets unread makes the peer's next read fail, so that it would miss why it
 * was refused. Nothing more can come in, what has is dropped: all of it here, since whoever else has the socket
 * is not to be held up by descriptors that are in it.
 */
static void stop_listening(struct channel *channel)
{
	struct frame frame;
	int n;

	shutdown(channel->fd, SHUT_RDWR);
	do {
		n = frame_recv(channel->fd, &frame);
		frame_close_fds(&frame);
		/* An empty packet of a client's has a sender, the end has none. */
	} while (n > 0 || (n == 0 && frame.has_sender) ||
		 (n < 0 && (errno == EMSGSIZE || errno == EBADMSG || errno == EMFILE)));
}

static void update_reading(struct channel *channel)
{
	bool stalled = channel->kind == CHANNEL_CLIENT && !STAILQ_EMPTY(&channel->queue);
	channel->reading = !channel->held && !stalled && !channel->closing;
	if (channel->reading)
		event_add(channel->readable, NULL);
	else
		event_del(channel->readable);
	/* event_del also takes back an activation. */
	if (channel->closing)
		event_active(channel->readable, EV_READ, 0);
}

static void queue_packet(
	struct channel *channel, const uint8_t *bytes, size_t n_bytes, const int *fds, unsigned int n_fds)
{
	if (channel->kind == CHANNEL_CLIENT && channel->queued_bytes + n_bytes > channel->max_queued_bytes) {
		schedule_close(channel, ENOBUFS);
		return;
	}
	struct queued *packet = malloc(sizeof(*packet) + n_bytes);
	if (!packet) {
		schedule_close(channel, ENOMEM);
		return;
	}
	memcpy(packet->bytes, bytes, n_bytes);
	packet->n_bytes = n_bytes;
	packet->n_fds = 0;
	for (unsigned int i = 0; i < n_fds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (fd < 0) {
			schedule_close(channel, errno);
			queued_free(packet);
			return;
		}
		packet->fds[packet->n_fds++] = fd;
	}
	STAILQ_INSERT_TAIL(&channel->queue, packet, link);
	channel->queued_bytes += n_bytes;
	update_reading(channel);
}

/* 0 sent; 1 not now, and it is arranged that the queue is tried again; -1 the channel is closing. */
static int try_send(
	struct channel *channel, const uint8_t *bytes, size_t n_bytes, const int *fds, unsigned int n_fds)
{
	static const struct timeval retry_after = {.tv_usec = 10000};

	if (frame_send(channel->fd, bytes, n_bytes, fds, n_fds) == 0)
		return 0;
	switch (errno) {
	case EAGAIN:
		event_add(channel->writable, NULL);
		return 1;
	case ENOMEM:
	case ENOBUFS:
	case ETOOMANYREFS:
		event_add(channel->retry, &retry_after);
		return 1;
	default:
		schedule_close(channel, errno);
		return -1;
	}
}

static void drain_queue(struct channel *channel)
{
	struct queued *packet;

	while ((packet = STAILQ_FIRST(&channel->queue)) && !channel->closing) {
		if (try_send(channel, packet->bytes, packet->n_bytes, packet->fds, packet->n_fds) != 0)
			break;
		STAILQ_REMOVE_HEAD(&channel->queue, link);
		channel->queued_bytes -= packet->n_bytes;
		queued_free(packet);
	}
	update_reading(channel);
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	drain_queue(data);
}

/* 1: a packet was handled; 0: there is none; -1: the channel was freed meanwhile. Errors close it. */
static int handle_packet(struct channel *channel)
{
	struct frame frame;
	const bool *freed = channel->freed; /* outlives the channel */
	int n = frame_recv(channel->fd, &frame);

	/* What a role says holds without what came beside it: its owner does without that one thing. */
	if (n > 0 || (n < 0 && errno == EMFILE && channel->kind == CHANNEL_ROLE)) {
		channel->ops->on_packet(channel->owner, &frame);
		frame_close_fds(&frame);
		return *freed ? -1 : 1;
	}
	if (n == 0 || (errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS))
		schedule_close(channel, n == 0 ? 0 : errno);
	return 0;
}

/* What a role said before it ended counts: it may be all that its successor will know. -1: freed. */
static int handle_rest(struct channel *channel)
{
	int n = 1;
	for (unsigned int i = 0; i < MAX_PACKETS_OF_THE_DEAD && n > 0; i++)
		n = handle_packet(channel);
	return n;
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct channel *channel = data;
	bool freed = false;
	int n = 1;

	(void)fd;
	(void)what;
	channel->freed = &freed;
	if (channel->on_turn)
		channel->on_turn(channel->owner);
	for (unsigned int i = 0; i < MAX_PACKETS_A_TURN && n > 0 && !channel->closing; i++) {
		if (!channel->reading)
			break; /* held by what the packet before led to */
		n = handle_packet(channel);
	}
	if (n >= 0 && channel->closing && !channel->deaf && channel->kind == CHANNEL_ROLE)
		n = handle_rest(channel);
	if (n < 0)
		return;
	channel->freed = NULL;
	if (channel->closing) {
		event_del(channel->readable);
		event_del(channel->writable);
		event_del(channel->retry);
		stop_listening(channel);
		channel->ops->on_close(channel->owner, channel->close_error);
	}
}

struct channel *channel_finish(struct channel *channel)
{
	bool freed = false;

	if (!channel)
		return NULL;
	channel->freed = &freed;
	if (handle_rest(channel) < 0)
		return NULL;
	channel->freed = NULL;
	return channel_free(channel);
}

struct channel *channel_new(
	struct event_base *base, int fd, enum channel_kind kind, const struct channel_ops *ops, void *owner)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	if (!channel) {
		fd_close(fd);
		return NULL;
	}
	*channel = (struct channel){
		.fd = fd, .kind = kind, .ops = ops, .owner = owner, .max_queued_bytes = MAX_QUEUED_BYTES};
	STAILQ_INIT(&channel->queue);
	/* Not by MSG_DONTWAIT alone: a socket from outside keeps whatever mode its maker gave it. */
	if (evutil_make_socket_nonblocking(fd) < 0)
		return channel_free(channel);
	channel->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, channel);
	channel->writable = event_new(base, fd, EV_WRITE, on_writable, channel);
	channel->retry = evtimer_new(base, on_writable, channel);
	if (!channel->readable || !channel->writable || !channel->retry ||
		event_add(channel->readable, NULL) < 0) {
		errno = ENOMEM;
		return channel_free(channel);
	}
	channel->reading = true;
	return channel;
}

struct channel *channel_free(struct channel *channel)
{
	if (!channel)
		return NULL;
	int saved_errno = errno;
	if (channel->freed)
		*channel->freed = true;
	if (channel->readable)
		event_free(channel->readable);
	if (channel->writable)
		event_free(channel->writable);
	if (channel->retry)
		event_free(channel->retry);
	while (!STAILQ_EMPTY(&channel->queue)) {
		struct queued *packet = STAILQ_FIRST(&channel->queue);
		STAILQ_REMOVE_HEAD(&channel->queue, link);
		queued_free(packet);
	}
	fd_close(channel->fd);
	free(channel);
	errno = saved_errno;
	return NULL;
}

void channel_set_max_queued(struct channel *channel, size_t max_bytes)
{
	channel->max_queued_bytes = max_bytes;
}

size_t channel_max_queued(const struct channel *channel)
{
	return channel->max_queued_bytes;
}

size_t channel_queued(const struct channel *channel)
{
	return channel->queued_bytes;
}

void channel_announce(struct channel *channel, void (*on_turn)(void *owner))
{
	channel->on_turn = on_turn;
}

int channel_fd(const struct channel *channel)
{
	return channel->fd;
}

void channel_send(
	struct channel *channel, const ProtobufCMessage *message, const int *fds, unsigned int n_fds)
{
	uint8_t bytes[MAX_MESSAGE_BYTES];
	size_t n_bytes;

	if (channel->closing)
		return;
	if (frame_pack(message, bytes, &n_bytes) < 0) {
		schedule_close(channel, errno);
		return;
	}
	if (STAILQ_EMPTY(&channel->queue) && try_send(channel, bytes, n_bytes, fds, n_fds) <= 0)
		return;
	if (!channel->closing)
		queue_packet(channel, bytes, n_bytes, fds, n_fds);
}

void channel_close(struct channel *channel, int error)
{
	channel->deaf = true;
	schedule_close(channel, error);
}

bool channel_is_backed_up(const struct channel *channel)
{
	return !STAILQ_EMPTY(&channel->queue);
}

void channel_hold(struct channel *channel, bool held)
{
	if (channel->held == held)
		return;
	channel->held = held;
	update_reading(channel);
}
