/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The simulated Xen host: one file, mapped by everybody who opens it, that holds the settings, the domains
 * with their memory, the xenstore, and the locks.
 *
 * Locks, in the order in which they may be taken: the admin lock (domains come and go), a domain's lock (all
 * that is the domain's), the host's lock (foreign mappings, xenstore, faults). All are robust: what they
 * guard is consistent, or can be made so, after every single store. Frame owners and counters are atomic.
 */
#ifndef XENVRAM_SIMXEN_HOST_H
#define XENVRAM_SIMXEN_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/simxen/fault.h"
#include "tests/simxen/foreign_map.h"
#include "tests/simxen/frame.h"
#include "tests/simxen/store.h"

#define HOST_ENV        "SIMXEN_HOST"
#define HOST_PAGE_BYTES 4096u
#define HOST_MAX_DOMID  0x7ff0u /* the first domid with a special meaning */
#define HOST_NO_CLIENT  (-1)

struct domain;

struct host_settings {
	uint32_t xen_minor; /* of Xen 4.x: 17 or 20 */
	uint32_t shadow;    /* paging mode: 0 HAP, 1 shadow */
	uint32_t dm_op_buf_max_size_bytes;
	uint32_t max_domains;
	uint32_t n_frames; /* frame 0 included, which is none */
};

struct host_layout {
	uint64_t domains_offset;
	uint64_t frame_owners_offset;
	uint64_t frames_offset;
	uint64_t total_bytes;
};

/* At the start of the file; behind it the domains, the owners of the frames, and the frames. */
struct host_file {
	uint64_t magic;
	struct host_settings settings;
	struct host_layout layout;
	pthread_mutex_t admin_lock;
	pthread_mutex_t lock;
	uint64_t last_serial; /* of domains */
	uint32_t last_frame;  /* given out: the next free one is likely behind it */
	_Atomic uint64_t calls[N_CALL_KINDS];
	struct fault faults[MAX_FAULTS];
	_Atomic uint16_t slot_of_domid[HOST_MAX_DOMID]; /* 1 + index in the domains; 0: none */
	struct foreign_maps maps;
	struct store store;
};

/* The file as one handle has it open; the frames are not mapped. */
struct host {
	int fd;
	int client; /* number in the foreign maps, or HOST_NO_CLIENT */
	pid_t pid;
	struct host_file *file;
	struct domain *domains;
	_Atomic uint16_t *frame_owners; /* 1 + slot of the domain */
};

/* All return 0 or a negative errno. */
int host_create(const char *path, const struct host_settings *settings);
int host_open(struct host *host);
void host_close(struct host *host);

void host_lock(struct host *host);
void host_unlock(struct host *host);
void host_lock_admin(struct host *host);
void host_unlock_admin(struct host *host);

int host_mutex_init(pthread_mutex_t *mutex);

/* Locks; was the previous owner killed while it held the mutex? */
bool host_mutex_lock(pthread_mutex_t *mutex);
void host_mutex_unlock(pthread_mutex_t *mutex);

#endif
