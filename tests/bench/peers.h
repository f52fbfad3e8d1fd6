/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a call of the service is compared with: another process that answers in the cheapest way there is, and
 * one that answers the same call as a D-Bus method. Both end with the caller.
 */
#ifndef XENVRAM_TESTS_BENCH_PEERS_H
#define XENVRAM_TESTS_BENCH_PEERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "bus.h"

/* Answers a packet with a packet, each of a given size and of no meaning. */
struct echo {
	pid_t pid;
	int socket;
	size_t request_bytes;
	size_t reply_bytes;
};

void echo_init(struct echo *echo, size_t request_bytes, size_t reply_bytes);
void echo_deinit(struct echo *echo);

/* n round trips; a bench subject. */
void echo_call(void *data, uint32_t n);

/* Answers Snapshot with a bitmap of a given size. */
struct method {
	pid_t pid;
	sd_bus *bus;
	const char *destination; /* NULL: there is nobody else */
	size_t bitmap_bytes;

	/* What the answering process is reached by. */
	int server_socket;
	const struct bus *between;
};

/* From peer to peer, without a bus, unauthenticated; or by a bus, as clients of a system service do. */
void method_init_direct(struct method *method, size_t bitmap_bytes);
void method_init_by_bus(struct method *method, size_t bitmap_bytes, const struct bus *between);
void method_deinit(struct method *method);
void method_call(void *data, uint32_t n);

#endif
