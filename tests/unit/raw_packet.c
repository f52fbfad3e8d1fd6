/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/raw_packet.h"

#include <string.h>
#include <sys/socket.h>

#include "proto/limits.h"
#include "tests/unit/unit.h"

void raw_packet_send(int socket, size_t n_bytes, unsigned int n_fds)
{
	static char bytes[MAX_MESSAGE_BYTES + 1];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(RAW_PACKET_MAX_FDS * sizeof(int))];
	} control = {0};
	struct iovec iov = {bytes, n_bytes};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

	assert_true(n_bytes <= sizeof(bytes) && n_fds <= RAW_PACKET_MAX_FDS);
	if (n_fds > 0) {
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (unsigned int i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &socket, sizeof(int));
	}
	assert_int_equal(sendmsg(socket, &header, MSG_NOSIGNAL), n_bytes);
}
