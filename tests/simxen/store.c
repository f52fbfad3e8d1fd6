/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/store.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/simxen/host.h"

bool store_path_is_good(const char *path, bool special)
{
	size_t length = strnlen(path, STORE_PATH_BYTES);
	if (length >= STORE_PATH_BYTES)
		return false;
	if (special && path[0] == '@')
		return true;
	return path[0] == '/' && (length == 1 || path[length - 1] != '/') && !strstr(path, "//");
}

bool store_path_is_within(const char *path, const char *parent)
{
	size_t length = strlen(parent);
	if (!strcmp(parent, "/"))
		return path[0] == '/';
	return !strncmp(path, parent, length) && (path[length] == '/' || path[length] == '\0');
}

static struct store_node *node_find(struct store *store, const char *path)
{
	for (uint32_t i = 0; i < store->n_nodes; i++) {
		if (store->nodes[i].used && !strcmp(store->nodes[i].path, path))
			return &store->nodes[i];
	}
	return NULL;
}

static struct store_node *node_new(struct store *store, const char *path)
{
	uint32_t i = 0;
	while (i < store->n_nodes && store->nodes[i].used)
		i++;
	if (i == STORE_MAX_NODES)
		return NULL;
	struct store_node *node = &store->nodes[i];
	snprintf(node->path, sizeof(node->path), "%s", path);
	node->length_bytes = 0;
	atomic_signal_fence(memory_order_seq_cst);
	node->used = 1;
	if (i == store->n_nodes)
		store->n_nodes = i + 1;
	return node;
}

/* The node at path, made with all its parents if need be. */
static struct store_node *node_make(struct store *store, const char *path)
{
	char parent[STORE_PATH_BYTES];

	snprintf(parent, sizeof(parent), "%s", path);
	for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (!node_find(store, parent) && !node_new(store, parent))
			return NULL;
		*slash = '/';
	}
	struct store_node *node = node_find(store, path);
	return node ? node : node_new(store, path);
}

static void event_add(struct store *store, const char *path, bool removed)
{
	struct store_event *event = &store->events[store->n_events % STORE_MAX_EVENTS];
	snprintf(event->path, sizeof(event->path), "%s", path);
	event->removed = removed;
	atomic_signal_fence(memory_order_seq_cst);
	store->n_events++;
}

int store_read(struct host *host, const char *path, void *ret_value, uint32_t *ret_length_bytes)
{
	int result = -ENOENT;

	host_lock(host);
	const struct store_node *node = node_find(&host->file->store, path);
	if (node) {
		memcpy(ret_value, node->value, node->length_bytes);
		*ret_length_bytes = node->length_bytes;
		result = 0;
	}
	host_unlock(host);
	return result;
}

int store_write(struct host *host, const char *path, const void *value, uint32_t length_bytes)
{
	if (length_bytes > STORE_VALUE_BYTES)
		return -E2BIG;

	host_lock(host);
	struct store_node *node = node_make(&host->file->store, path);
	if (node) {
		memcpy(node->value, value, length_bytes);
		node->length_bytes = length_bytes;
		event_add(&host->file->store, path, false);
	}
	host_unlock(host);
	if (!node)
		return -ENOSPC;
	store_ring_bell(host);
	return 0;
}

int store_mkdir(struct host *host, const char *path)
{
	host_lock(host);
	bool exists = node_find(&host->file->store, path);
	host_unlock(host);
	return exists ? 0 : store_write(host, path, "", 0);
}

static bool parent_exists(struct store *store, const char *path)
{
	char parent[STORE_PATH_BYTES];

	snprintf(parent, sizeof(parent), "%s", path);
	char *slash = strrchr(parent, '/');
	*slash = '\0';
	return slash == parent || node_find(store, parent);
}

int store_remove(struct host *host, const char *path)
{
	struct store *store = &host->file->store;
	bool existed = false, has_parent = false;

	if (!strcmp(path, "/"))
		return -EINVAL;
	host_lock(host);
	for (uint32_t i = 0; i < store->n_nodes; i++) {
		if (!store->nodes[i].used || !store_path_is_within(store->nodes[i].path, path))
			continue;
		store->nodes[i].used = 0;
		existed = true;
	}
	if (existed)
		event_add(store, path, true);
	else
		has_parent = parent_exists(store, path);
	host_unlock(host);
	if (existed)
		store_ring_bell(host);
	return existed || has_parent ? 0 : -ENOENT;
}

int store_list(struct host *host, const char *path, int (*on_child)(void *data, const char *name), void *data)
{
	struct store *store = &host->file->store;
	size_t length = strcmp(path, "/") ? strlen(path) : 0;
	int result = 0;

	host_lock(host);
	if (length && !node_find(store, path))
		result = -ENOENT;
	for (uint32_t i = 0; i < store->n_nodes && result == 0; i++) {
		const char *node = store->nodes[i].path;
		/* Parents are nodes too, so children are exactly one level down. */
		if (store->nodes[i].used && !strncmp(node, path, length) && node[length] == '/' &&
			!strchr(node + length + 1, '/'))
			result = on_child(data, node + length + 1);
	}
	host_unlock(host);
	return result;
}

void store_fire(struct host *host, const char *path)
{
	host_lock(host);
	event_add(&host->file->store, path, false);
	host_unlock(host);
	store_ring_bell(host);
}

bool store_event_get(struct host *host, uint64_t index, struct store_event *ret_event)
{
	const struct store *store = &host->file->store;

	host_lock(host);
	bool kept = store->n_events - index <= STORE_MAX_EVENTS;
	if (kept)
		*ret_event = store->events[index % STORE_MAX_EVENTS];
	host_unlock(host);
	return kept;
}

uint64_t store_count_events(struct host *host)
{
	host_lock(host);
	uint64_t n_events = host->file->store.n_events;
	host_unlock(host);
	return n_events;
}

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
	syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

void store_wait_bell(struct host *host, uint32_t seen)
{
	futex(&host->file->store.bell, FUTEX_WAIT, seen);
}

void store_ring_bell(struct host *host)
{
	atomic_fetch_add(&host->file->store.bell, 1);
	futex(&host->file->store.bell, FUTEX_WAKE, INT_MAX);
}
