/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A message bus of our own: dbus-daemon, as it is between the clients of system services and these. */
#ifndef XENVRAM_TESTS_BENCH_BUS_H
#define XENVRAM_TESTS_BENCH_BUS_H

#include <sys/types.h>
#include <systemd/sd-bus.h>

struct bus {
	pid_t pid;
	char directory[32]; /* its configuration and its socket */
};

/* Each ends the program if it cannot. The bus ends with the caller. */
void bus_start(struct bus *bus);
void bus_stop(struct bus *bus);

/* A connection to it, which has said Hello. */
sd_bus *bus_connect(const struct bus *bus);

/* Waits until somebody has this name. */
void bus_await_name(sd_bus *connection, const char *name);

#endif
