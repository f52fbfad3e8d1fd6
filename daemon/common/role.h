/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What main() tells a role. */
#ifndef XENVRAM_COMMON_ROLE_H
#define XENVRAM_COMMON_ROLE_H

#include <stdint.h>

/* The channel to the supervisor that a broker or worker is started with. */
#define ROLE_CHANNEL_FD 3
/* The lock of the runtime directory, which lasts as long as any role. */
#define ROLE_LOCK_FD 4

/* Exit status of a role that could not run and would not the next time either. */
#define ROLE_CANNOT_RUN 3

struct role_options {
	const char *socket_dir;  /* supervisor: where to listen, or NULL for systemd's sockets */
	const char *config_path; /* supervisor: the configuration file, or NULL for the default one */
	const char *broker_user; /* supervisor and broker; used when started as root */
	const char *worker_user; /* supervisor and worker; likewise */
	uint32_t domid;          /* worker */
};

/* Each runs until its work is done and returns the process's exit status. */
int supervisor_main(const struct role_options *options);
int broker_main(const struct role_options *options);
int worker_main(const struct role_options *options);

#endif
