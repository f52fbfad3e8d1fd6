/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The xenstore of the host: a small tree of paths and values, and the events that its watches see. */
#ifndef XENVRAM_SIMXEN_STORE_H
#define XENVRAM_SIMXEN_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct host;

#define STORE_MAX_NODES   16384u
#define STORE_PATH_BYTES  160u /* with the terminating zero */
#define STORE_VALUE_BYTES 256u
#define STORE_MAX_EVENTS  1024u

struct store_node {
	uint32_t used; /* written last */
	uint32_t length_bytes;
	char path[STORE_PATH_BYTES];
	char value[STORE_VALUE_BYTES];
};

struct store_event {
	char path[STORE_PATH_BYTES];
	bool removed; /* with all that was beneath */
};

struct store {
	uint32_t n_nodes; /* nodes beyond were never used */
	struct store_node nodes[STORE_MAX_NODES];
	uint64_t n_events; /* ever; event i lies at i % STORE_MAX_EVENTS */
	struct store_event events[STORE_MAX_EVENTS];
	_Atomic uint32_t bell; /* a futex: changes with every event, and when somebody wants to be noticed */
};

/* Is it an absolute path of decent length, or, with special, one like "@releaseDomain"? */
bool store_path_is_good(const char *path, bool special);

/* Is `path` the same as `parent`, or beneath? */
bool store_path_is_within(const char *path, const char *parent);

/* All return 0 or a negative errno. Values may hold any bytes. */
int store_read(struct host *host, const char *path, void *ret_value, uint32_t *ret_length_bytes);
int store_write(struct host *host, const char *path, const void *value, uint32_t length_bytes);
int store_mkdir(struct host *host, const char *path);
/* Fine if it is not there, as long as its parent is. */
int store_remove(struct host *host, const char *path);

/* Calls on_child with the name of each child once. The host's lock is held meanwhile. */
int store_list(
	struct host *host, const char *path, int (*on_child)(void *data, const char *name), void *data);

/* Makes watches of a special path, or of a node, fire. */
void store_fire(struct host *host, const char *path);

/* Copies event number `index`; false when it has been overwritten. */
bool store_event_get(struct host *host, uint64_t index, struct store_event *ret_event);
uint64_t store_count_events(struct host *host);

/* Sleeps until the bell is not `seen` any more; ringing wakes everybody. */
void store_wait_bell(struct host *host, uint32_t seen);
void store_ring_bell(struct host *host);

#endif
