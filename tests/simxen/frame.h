/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's page frames: real pages of the host file, each owned by one domain or free. Frame 0 is none. */
#ifndef XENVRAM_SIMXEN_FRAME_H
#define XENVRAM_SIMXEN_FRAME_H

#include <stdint.h>
#include <sys/types.h>

struct host;

/*
 * Takes n frames, zeroed, for the domain in `slot`. A frame that was freed while somebody has it mapped is
 * not given out. 0, or a negative errno with none taken. The caller holds the admin lock.
 */
int frame_take(struct host *host, uint16_t slot, uint32_t n, uint32_t *ret_frames);

/* Mappings of the frame stay good. */
void frame_free(struct host *host, uint32_t frame);
void frame_free_all_of(struct host *host, uint16_t slot);

/* Where the frame lies in the host file. */
off_t frame_offset(const struct host *host, uint32_t frame);

#endif
