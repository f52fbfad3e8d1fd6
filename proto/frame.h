/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One packet of a SOCK_SEQPACKET socket: a protobuf message and the file descriptors beside it.
 */
#ifndef XENVRAM_PROTO_FRAME_H
#define XENVRAM_PROTO_FRAME_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

struct frame {
	uint8_t bytes[MAX_MESSAGE_BYTES];
	size_t n_bytes;
	int fds[MAX_MESSAGE_FDS]; /* owned by the frame; -1 where taken */
	unsigned int n_fds;
	bool fds_lost; /* some came for which this process had no room: it has none of them */
	/* Who sent it, by the kernel's word; only on sockets that ask for it (SO_PASSCRED). */
	bool has_sender;
	uint32_t sender_uid;
	uint32_t sender_gid;
	uint32_t sender_pid;
};

/*
 * Reads one packet. 1: here it is; 0: the peer closed the socket (or sent an empty packet, which no
 * message is); -1 with errno: EAGAIN nothing there; EMSGSIZE the packet was longer than
 * MAX_MESSAGE_BYTES; EBADMSG it had more than MAX_MESSAGE_FDS descriptors; EMFILE this process has no room for
 * those that it had, and the packet is here without any; else what recvmsg said.
 * Unless it returns 1 every received descriptor is closed. Descriptors arrive close-on-exec.
 */
int frame_recv(int socket, struct frame *frame);

/*
 * Reads one packet, whose descriptors and sender are left out, and waits for it as long as the socket's own mode
 * and timeout say. As frame_recv, without EBADMSG and EMFILE, but -1 also with EINTR.
 */
int frame_recv_wait(int socket, struct frame *frame);

/* Takes descriptor i out of the frame, which the caller then owns; -1 if there is none. */
int frame_take_fd(struct frame *frame, unsigned int i);

/* Closes what was not taken. */
void frame_close_fds(struct frame *frame);

/*
 * Sends one packet, without waiting; fds stay the caller's. 0, or -1 with errno as sendmsg has it: EAGAIN
 * means that the socket's buffer is full, EPIPE that the peer is gone (no signal is raised).
 */
int frame_send(int socket, const void *bytes, size_t n_bytes, const int *fds, unsigned int n_fds);

/* The bytes of a message. -1 with EMSGSIZE when there are more than MAX_MESSAGE_BYTES. */
int frame_pack(const ProtobufCMessage *message, uint8_t bytes[MAX_MESSAGE_BYTES], size_t *ret_n_bytes);

/* Packs and sends. -1 with EMSGSIZE when it is larger than MAX_MESSAGE_BYTES. */
int frame_send_message(int socket, const ProtobufCMessage *message, const int *fds, unsigned int n_fds);

/*
 * Unpacks, asking for no more than MAX_UNPACKED_BYTES in all, so that a hostile packet cannot make the process
 * grow. NULL with errno: EPROTO when it is no such message, ENOMEM when it would take more than that.
 * Free with frame_free_message.
 */
ProtobufCMessage *frame_unpack(const struct frame *frame, const ProtobufCMessageDescriptor *descriptor);
void frame_free_message(ProtobufCMessage *message);

#endif
