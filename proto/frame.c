/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/frame.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/snapshot_wire.h"

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)
#define ASAN_UNPOISON_MEMORY_REGION(address, size)
#endif

int frame_take_fd(struct frame *frame, unsigned int i)
{
	if (i >= frame->n_fds)
		return -1;
	int fd = frame->fds[i];
	frame->fds[i] = -1;
	return fd;
}

void frame_close_fds(struct frame *frame)
{
	for (unsigned int i = 0; i < frame->n_fds; i++) {
		if (frame->fds[i] >= 0)
			close(frame->fds[i]);
	}
	frame->n_fds = 0;
}

static void take_sender(struct frame *frame, const struct cmsghdr *c)
{
	struct ucred sender;
	if (c->cmsg_len < CMSG_LEN(sizeof(sender)))
		return;
	memcpy(&sender, CMSG_DATA(c), sizeof(sender));
	frame->has_sender = true;
	frame->sender_uid = sender.uid;
	frame->sender_gid = sender.gid;
	frame->sender_pid = sender.pid;
}

static void collect_control(struct frame *frame, struct msghdr *header)
{
	frame->n_fds = 0;
	frame->fds_lost = false;
	frame->has_sender = false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
			take_sender(frame, c);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			/* The buffer has room for more, where no credentials come. */
			if (frame->n_fds < MAX_MESSAGE_FDS) {
				frame->fds[frame->n_fds++] = fd;
			} else {
				close(fd);
				header->msg_flags |= MSG_CTRUNC;
			}
		}
	}
}

static int receive(int socket, struct frame *frame)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(MAX_MESSAGE_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {frame->bytes, sizeof(frame->bytes)};
	struct msghdr header = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	frame->n_fds = 0;
	n = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -1;

	collect_control(frame, &header);
	frame->n_bytes = n;
	if (n > 0 && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 1;
	/* The buffer has room for as many as are allowed: where fewer came, the process's table had not. */
	frame->fds_lost = header.msg_flags & MSG_CTRUNC && frame->n_fds < MAX_MESSAGE_FDS;
	frame_close_fds(frame);
	if (n == 0)
		return 0;
	errno = header.msg_flags & MSG_TRUNC ? EMSGSIZE : frame->fds_lost ? EMFILE : EBADMSG;
	return -1;
}

int frame_recv(int socket, struct frame *frame)
{
	int result;
	do {
		result = receive(socket, frame);
	} while (result < 0 && errno == EINTR);
	return result;
}

int frame_recv_wait(int socket, struct frame *frame)
{
	frame->n_fds = 0;
	frame->fds_lost = false;
	frame->has_sender = false;
	ssize_t n = recv(socket, frame->bytes, sizeof(frame->bytes), MSG_TRUNC);
	if (n < 0)
		return -1;
	if ((size_t)n > sizeof(frame->bytes)) {
		errno = EMSGSIZE;
		return -1;
	}
	frame->n_bytes = n;
	return n > 0;
}

static ssize_t send_packet(int socket, const void *bytes, size_t n_bytes, const int *fds, unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(MAX_MESSAGE_FDS * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)bytes, n_bytes};
	struct msghdr header = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n_fds * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&header);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	return sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int frame_send(int socket, const void *bytes, size_t n_bytes, const int *fds, unsigned int n_fds)
{
	ssize_t n;

	if (n_fds > MAX_MESSAGE_FDS || n_bytes > MAX_MESSAGE_BYTES) {
		errno = EMSGSIZE;
		return -1;
	}
	do {
		n = n_fds > 0 ? send_packet(socket, bytes, n_bytes, fds, n_fds)
			      : send(socket, bytes, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

int frame_pack(const ProtobufCMessage *message, uint8_t bytes[MAX_MESSAGE_BYTES], size_t *ret_n_bytes)
{
	size_t n_bytes = snapshot_wire_pack(message, bytes, MAX_MESSAGE_BYTES);

	if (n_bytes == 0) {
		if (protobuf_c_message_get_packed_size(message) > MAX_MESSAGE_BYTES) {
			errno = EMSGSIZE;
			return -1;
		}
		n_bytes = protobuf_c_message_pack(message, bytes);
	}
	*ret_n_bytes = n_bytes;
	return 0;
}

int frame_send_message(int socket, const ProtobufCMessage *message, const int *fds, unsigned int n_fds)
{
	uint8_t bytes[MAX_MESSAGE_BYTES];
	size_t n_bytes;

	if (frame_pack(message, bytes, &n_bytes) < 0)
		return -1;
	return frame_send(socket, bytes, n_bytes, fds, n_fds);
}

/* ---- unpacked messages ---- */

/* Room for what is unpacked, in the order in which it is; most messages need one. malloc has such at hand. */
struct chunk {
	struct chunk *next;
	_Alignas(max_align_t) uint8_t bytes[];
};

#define CHUNK_BYTES (1024 - sizeof(struct chunk))

struct arena {
	struct chunk *first;
	struct chunk *last;
	uint8_t *room; /* of the last */
	size_t room_bytes;
	size_t left_bytes; /* of the budget */
	bool exceeded;
};

static bool add_chunk(struct arena *arena, size_t min_bytes)
{
	size_t n_bytes = min_bytes > CHUNK_BYTES ? min_bytes : CHUNK_BYTES;
	struct chunk *chunk = malloc(sizeof(*chunk) + n_bytes);

	if (!chunk)
		return false;
	ASAN_POISON_MEMORY_REGION(chunk->bytes, n_bytes);
	chunk->next = NULL;
	if (arena->last)
		arena->last->next = chunk;
	else
		arena->first = chunk;
	arena->last = chunk;
	arena->room = chunk->bytes;
	arena->room_bytes = n_bytes;
	return true;
}

static void *arena_alloc(void *data, size_t size)
{
	struct arena *arena = data;

	if (size > arena->left_bytes) {
		arena->exceeded = true;
		return NULL;
	}
	size_t aligned = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (aligned > arena->room_bytes && !add_chunk(arena, aligned)) {
		arena->exceeded = true;
		return NULL;
	}
	void *memory = arena->room;
	arena->room += aligned;
	arena->room_bytes -= aligned;
	arena->left_bytes -= size;
	ASAN_UNPOISON_MEMORY_REGION(memory, size);
	return memory;
}

/* All goes together. What is freed while unpacking is not given back to the budget: a bound on the work as well. */
static void arena_free(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

static void chunks_free(struct chunk *chunk)
{
	while (chunk) {
		struct chunk *next = chunk->next;
		free(chunk);
		chunk = next;
	}
}

ProtobufCMessage *frame_unpack(const struct frame *frame, const ProtobufCMessageDescriptor *descriptor)
{
	struct arena arena = {.left_bytes = MAX_UNPACKED_BYTES};
	ProtobufCAllocator allocator = {arena_alloc, arena_free, &arena};
	ProtobufCMessage *message =
		snapshot_wire_unpack(descriptor, &allocator, frame->bytes, frame->n_bytes);

	if (!message && !arena.exceeded)
		message = protobuf_c_message_unpack(descriptor, &allocator, frame->n_bytes, frame->bytes);
	if (!message) {
		chunks_free(arena.first);
		errno = arena.exceeded ? ENOMEM : EPROTO;
	}
	return message;
}

/* The message itself is what is allocated first. */
void frame_free_message(ProtobufCMessage *message)
{
	if (message)
		chunks_free((struct chunk *)((uint8_t *)message - offsetof(struct chunk, bytes)));
}
