/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/foreign_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tests/simxen/host.h"

/*
 * A client holds a lock on a byte of its own beyond the end of the host file. The lock belongs to the open
 * file, so it goes exactly when the last descriptor and the last mapping of it are gone.
 */
static struct flock client_lock(const struct host *host, uint16_t client)
{
	return (struct flock){
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = host->file->layout.total_bytes + client,
		.l_len = 1,
	};
}

static bool client_is_alive(const struct host *host, uint16_t client)
{
	/* Our own process needs no question: a sandboxed one may not be allowed to ask. */
	if (client == host->client || host->file->maps.clients[client] == host->pid)
		return true;
	struct flock lock = client_lock(host, client);
	return fcntl(host->fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

static void client_drop(struct host *host, uint16_t client)
{
	struct foreign_maps *maps = &host->file->maps;
	for (uint32_t i = 0; i < maps->n_runs; i++) {
		if (maps->runs[i].n_pages && maps->runs[i].client == client)
			maps->runs[i].n_pages = 0;
	}
	atomic_signal_fence(memory_order_seq_cst);
	maps->clients[client] = 0;
}

int foreign_map_register(struct host *host)
{
	struct foreign_maps *maps = &host->file->maps;
	int result = -EMFILE;

	host_lock(host);
	for (unsigned int client = 0; client < MAX_MAP_CLIENTS; client++) {
		if (maps->clients[client]) {
			if (client_is_alive(host, client))
				continue;
			client_drop(host, client);
		}
		struct flock lock = client_lock(host, client);
		if (fcntl(host->fd, F_OFD_SETLK, &lock) < 0)
			continue;
		host->client = client;
		maps->clients[client] = host->pid;
		result = 0;
		break;
	}
	host_unlock(host);
	return result;
}

static bool client_has_runs(const struct host *host, uint16_t client)
{
	const struct foreign_maps *maps = &host->file->maps;
	for (uint32_t i = 0; i < maps->n_runs; i++) {
		if (maps->runs[i].n_pages && maps->runs[i].client == client)
			return true;
	}
	return false;
}

void foreign_map_unregister(struct host *host)
{
	/* In a child after fork() the client is still the parent's. */
	if (host->pid != getpid())
		return;
	host_lock(host);
	/* What is still mapped stays so, and others find out when it is gone. */
	if (!client_has_runs(host, host->client))
		client_drop(host, host->client);
	host_unlock(host);
	host->client = HOST_NO_CLIENT;
}

int foreign_map_add(struct host *host, const struct map_run *run)
{
	struct foreign_maps *maps = &host->file->maps;
	int result = 0;

	host_lock(host);
	uint32_t i = 0;
	while (i < maps->n_runs && maps->runs[i].n_pages)
		i++;
	if (i < MAX_MAP_RUNS) {
		struct map_run *record = &maps->runs[i];
		record->address = run->address;
		record->first_frame = run->first_frame;
		record->client = host->client;
		record->slot = run->slot;
		atomic_signal_fence(memory_order_seq_cst);
		record->n_pages = run->n_pages;
		if (i == maps->n_runs)
			maps->n_runs = i + 1;
	} else {
		result = -ENOMEM;
	}
	host_unlock(host);
	return result;
}

/* Takes [first, end) out of the run; what remains behind it comes back in ret_tail. */
static void run_cut(struct map_run *run, uint64_t first, uint64_t end, struct map_run *ret_tail)
{
	uint64_t run_end = run->address + run->n_pages * (uint64_t)HOST_PAGE_BYTES;

	*ret_tail = *run;
	ret_tail->n_pages = run_end > end ? (run_end - end) / HOST_PAGE_BYTES : 0;
	ret_tail->first_frame = run->first_frame + run->n_pages - ret_tail->n_pages;
	ret_tail->address = end;
	run->n_pages = first > run->address ? (first - run->address) / HOST_PAGE_BYTES : 0;
}

void foreign_map_remove(struct host *host, uint64_t address, uint64_t n_pages)
{
	struct foreign_maps *maps = &host->file->maps;
	uint64_t end = address + n_pages * HOST_PAGE_BYTES;
	struct map_run tail = {0};

	host_lock(host);
	for (uint32_t i = 0; i < maps->n_runs; i++) {
		struct map_run *run = &maps->runs[i];
		uint64_t run_end = run->address + run->n_pages * (uint64_t)HOST_PAGE_BYTES;
		if (!run->n_pages || run->client != host->client || run->address >= end || run_end <= address)
			continue;
		struct map_run rest;
		run_cut(run, address, end, &rest);
		if (!rest.n_pages)
			continue;
		if (run->n_pages)
			tail = rest;
		else
			*run = rest;
	}
	while (maps->n_runs && !maps->runs[maps->n_runs - 1].n_pages)
		maps->n_runs--;
	host_unlock(host);
	if (tail.n_pages)
		foreign_map_add(host, &tail);
}

bool foreign_map_any_of(struct host *host, uint16_t slot)
{
	struct foreign_maps *maps = &host->file->maps;
	bool mapped = false;

	host_lock(host);
	for (uint32_t i = 0; i < maps->n_runs && !mapped; i++) {
		const struct map_run *run = &maps->runs[i];
		if (!run->n_pages || run->slot != slot)
			continue;
		mapped = client_is_alive(host, run->client);
		if (!mapped)
			client_drop(host, run->client);
	}
	host_unlock(host);
	return mapped;
}

void foreign_maps_mark_frames(struct host *host, uint8_t *mapped)
{
	const struct foreign_maps *maps = &host->file->maps;

	host_lock(host);
	for (uint32_t i = 0; i < maps->n_runs; i++) {
		const struct map_run *run = &maps->runs[i];
		if (run->n_pages && !client_is_alive(host, run->client))
			client_drop(host, run->client);
		memset(mapped + run->first_frame, 1, run->n_pages);
	}
	host_unlock(host);
}
