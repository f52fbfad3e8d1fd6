/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A SOCK_SEQPACKET socket in an event loop: packets come in through a callback, messages go out through
 * a bounded queue. Roles talk to each other through channels, and the broker to its clients.
 */
#ifndef XENVRAM_COMMON_CHANNEL_H
#define XENVRAM_COMMON_CHANNEL_H

#include <event2/event.h>
#include <stdbool.h>

#include "proto/frame.h"

struct channel;

struct channel_ops {
	/*
	 * One packet; descriptors that are not taken out of the frame are closed. Of a role's, those for which
	 * this process had no room are lost (frame::fds_lost). May free the channel.
	 */
	void (*on_packet)(void *owner, struct frame *frame);
	/*
	 * Once, never from within channel_send: the peer closed (error 0), broke the framing (EMSGSIZE,
	 * EBADMSG), sent descriptors for which there was no room (EMFILE, a client), let more queue up than
	 * allowed (ENOBUFS), or the socket failed. The owner frees the channel.
	 */
	void (*on_close)(void *owner, int error);
};

enum channel_kind {
	CHANNEL_ROLE,   /* both ends are ours: the queue is bounded only by memory */
	CHANNEL_CLIENT, /* at most so many bytes are queued, and nothing is read while any are */
};

/* Takes fd over, also when it fails: NULL with errno. */
struct channel *channel_new(
	struct event_base *base, int fd, enum channel_kind kind, const struct channel_ops *ops, void *owner);
struct channel *channel_free(struct channel *channel);

/* Of a client; at first MAX_QUEUED_BYTES. What is queued already stays. */
void channel_set_max_queued(struct channel *channel, size_t max_bytes);
size_t channel_max_queued(const struct channel *channel);
size_t channel_queued(const struct channel *channel);

/* on_turn(owner) is called each time before what has come in is touched. It leaves the channel alone. */
void channel_announce(struct channel *channel, void (*on_turn)(void *owner));

int channel_fd(const struct channel *channel);

/*
 * Sends, or queues with duplicates of the descriptors; fds stay the caller's. What cannot be sent or
 * queued closes the channel soon after (on_close), so there is nothing to check.
 */
void channel_send(
	struct channel *channel, const ProtobufCMessage *message, const int *fds, unsigned int n_fds);

/* The peer has ended: hands out what it had sent, and frees. NULL, as channel_free; NULL is allowed. */
struct channel *channel_finish(struct channel *channel);

/* Nothing more is read or sent; on_close comes soon, with `error`. What the socket took still arrives. */
void channel_close(struct channel *channel, int error);

/* Is anything waiting for the peer to read? */
bool channel_is_backed_up(const struct channel *channel);

/* While held nothing more is read; what is queued still goes out. */
void channel_hold(struct channel *channel, bool held);

#endif
