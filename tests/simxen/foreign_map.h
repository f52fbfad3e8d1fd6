/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who has which frames mapped. A client is an open foreign memory handle; the records of one that died
 * without unmapping are dropped when somebody asks.
 */
#ifndef XENVRAM_SIMXEN_FOREIGN_MAP_H
#define XENVRAM_SIMXEN_FOREIGN_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct host;

#define MAX_MAP_CLIENTS 4096u
#define MAX_MAP_RUNS    65536u

/* A run of consecutive frames, mapped at consecutive addresses. */
struct map_run {
	uint64_t address;
	uint32_t first_frame;
	uint32_t n_pages; /* 0: the record is free. Written last */
	uint16_t client;
	uint16_t slot; /* of the domain that owned the frames */
};

struct foreign_maps {
	pid_t clients[MAX_MAP_CLIENTS]; /* 0: free */
	uint32_t n_runs;                /* records beyond were never used */
	struct map_run runs[MAX_MAP_RUNS];
};

/* Makes the host handle a client while its descriptor, or a mapping of it, exists. 0, or -EMFILE. */
int foreign_map_register(struct host *host);
void foreign_map_unregister(struct host *host);

/* 0, or -ENOMEM. */
int foreign_map_add(struct host *host, const struct map_run *run);

/* Drops what this client has mapped in the address range, parts of runs too. */
void foreign_map_remove(struct host *host, uint64_t address, uint64_t n_pages);

/* Has anybody who still lives a frame of this domain mapped? */
bool foreign_map_any_of(struct host *host, uint16_t slot);

/* mapped[frame] = 1 for every frame that somebody has mapped. */
void foreign_maps_mark_frames(struct host *host, uint8_t *mapped);

#endif
