/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets that no honest peer sends: too long, empty, with too many descriptors. */
#ifndef XENVRAM_TESTS_RAW_PACKET_H
#define XENVRAM_TESTS_RAW_PACKET_H

#include <stddef.h>

#define RAW_PACKET_MAX_FDS 8u

/* Sends n_bytes zeros with n_fds copies of the socket itself. */
void raw_packet_send(int socket, size_t n_bytes, unsigned int n_fds);

#endif
