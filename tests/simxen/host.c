/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/simxen/domain.h"

#define HOST_MAGIC 0x3174736f486d6953ull /* "SimHost1" */

int host_mutex_init(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;
	int error = pthread_mutexattr_init(&attributes);
	if (error)
		return -error;
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	error = pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return -error;
}

bool host_mutex_lock(pthread_mutex_t *mutex)
{
	int error = pthread_mutex_lock(mutex);
	if (error == EOWNERDEAD) {
		pthread_mutex_consistent(mutex);
		return true;
	}
	if (error) {
		fprintf(stderr, "simxen: a lock of the host is unusable: error %d\n", error);
		abort();
	}
	return false;
}

void host_mutex_unlock(pthread_mutex_t *mutex)
{
	pthread_mutex_unlock(mutex);
}

void host_lock(struct host *host)
{
	host_mutex_lock(&host->file->lock);
}

void host_unlock(struct host *host)
{
	host_mutex_unlock(&host->file->lock);
}

void host_lock_admin(struct host *host)
{
	host_mutex_lock(&host->file->admin_lock);
}

void host_unlock_admin(struct host *host)
{
	host_mutex_unlock(&host->file->admin_lock);
}

static uint64_t round_to_page(uint64_t bytes)
{
	return (bytes + HOST_PAGE_BYTES - 1) / HOST_PAGE_BYTES * HOST_PAGE_BYTES;
}

static struct host_layout lay_out(const struct host_settings *settings)
{
	struct host_layout layout;
	layout.domains_offset = round_to_page(sizeof(struct host_file));
	layout.frame_owners_offset =
		layout.domains_offset + round_to_page(settings->max_domains * sizeof(struct domain));
	layout.frames_offset =
		layout.frame_owners_offset + round_to_page(settings->n_frames * sizeof(uint16_t));
	layout.total_bytes = layout.frames_offset + (uint64_t)settings->n_frames * HOST_PAGE_BYTES;
	return layout;
}

/* Everything but the frames. */
static int map_tables(struct host *host, uint64_t bytes)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, host->fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	host->file = base;
	return 0;
}

static void find_tables(struct host *host)
{
	uint8_t *base = (uint8_t *)host->file;
	host->domains = (struct domain *)(base + host->file->layout.domains_offset);
	host->frame_owners = (_Atomic uint16_t *)(base + host->file->layout.frame_owners_offset);
}

static int fill(struct host *host, const struct host_settings *settings)
{
	struct host_layout layout = lay_out(settings);
	if (ftruncate(host->fd, layout.total_bytes) < 0)
		return -errno;
	int result = map_tables(host, layout.frames_offset);
	if (result < 0)
		return result;

	struct host_file *file = host->file;
	file->settings = *settings;
	file->layout = layout;
	find_tables(host);
	result = host_mutex_init(&file->admin_lock);
	if (result == 0)
		result = host_mutex_init(&file->lock);
	for (uint32_t slot = 0; slot < settings->max_domains && result == 0; slot++)
		result = host_mutex_init(&host->domains[slot].lock);
	if (result == 0)
		result = domain_write_dom0_nodes(host);
	if (result == 0)
		file->magic = HOST_MAGIC;
	munmap(file, file->layout.frames_offset);
	return result;
}

int host_create(const char *path, const struct host_settings *settings)
{
	struct host host = {.fd = -1, .client = HOST_NO_CLIENT};
	char *draft = NULL;

	/* Under a name of its own until it is whole: the path always names a good host. */
	if (asprintf(&draft, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	host.fd = mkostemp(draft, O_CLOEXEC);
	int result = host.fd < 0 ? -errno : fill(&host, settings);
	if (result == 0 && rename(draft, path) < 0)
		result = -errno;
	if (host.fd >= 0) {
		if (result < 0)
			unlink(draft);
		close(host.fd);
	}
	free(draft);
	return result;
}

static int open_file(struct host *host)
{
	struct host_file *file;
	struct stat status;

	if (fstat(host->fd, &status) < 0)
		return -errno;
	if (status.st_size < (off_t)sizeof(*file))
		return -ENODEV;
	file = mmap(NULL, sizeof(*file), PROT_READ, MAP_SHARED, host->fd, 0);
	if (file == MAP_FAILED)
		return -errno;
	uint64_t bytes = file->layout.frames_offset;
	bool good = file->magic == HOST_MAGIC && file->layout.total_bytes == (uint64_t)status.st_size;
	munmap(file, sizeof(*file));
	if (!good)
		return -ENODEV;
	int result = map_tables(host, bytes);
	if (result == 0)
		find_tables(host);
	return result;
}

int host_open(struct host *host)
{
	const char *path = getenv(HOST_ENV);

	if (!path)
		return -ENOENT;
	*host = (struct host){.client = HOST_NO_CLIENT, .pid = getpid()};
	host->fd = open(path, O_RDWR | O_CLOEXEC);
	if (host->fd < 0)
		return -errno;
	int result = open_file(host);
	if (result < 0)
		close(host->fd);
	return result;
}

void host_close(struct host *host)
{
	munmap(host->file, host->file->layout.frames_offset);
	close(host->fd);
}
