/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stand-in for libxenstore: connection, and reading and writing the tree. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/lib/store_handle.h"

#define DOM0             0u
#define SOME_TRANSACTION 1u

struct xs_handle *xs_open(unsigned long flags)
{
	(void)flags;
	struct xs_handle *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	if (handle_open(&h->handle, "xenstore") < 0)
		goto fail;
	int result = store_watch_init(h);
	if (result < 0) {
		handle_close(&h->handle);
		handle_result(result);
		goto fail;
	}
	return h;
fail:
	free(h);
	return NULL;
}

void xs_close(struct xs_handle *h)
{
	if (h) {
		store_watch_deinit(h);
		handle_close(&h->handle);
		free(h);
	}
}

int store_check(const struct xs_handle *h)
{
	return atomic_load(&h->handle.confined_to) < 0 ? 0 : -EBADF;
}

static int check_path(const struct xs_handle *h, const char *path)
{
	int result = store_check(h);
	return result == 0 && !store_path_is_good(path, false) ? -EINVAL : result;
}

static bool bool_result(int result)
{
	return handle_result(result) >= 0;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	uint32_t length_bytes;

	(void)t;
	char *value = malloc(STORE_VALUE_BYTES + 1);
	if (!value)
		return NULL;
	int result = check_path(h, path);
	if (result == 0)
		result = store_read(&h->handle.host, path, value, &length_bytes);
	if (result < 0) {
		free(value);
		handle_result(result);
		return NULL;
	}
	value[length_bytes] = '\0';
	if (len)
		*len = length_bytes;
	return value;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int len)
{
	(void)t;
	int result = check_path(h, path);
	return bool_result(result < 0 ? result : store_write(&h->handle.host, path, data, len));
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	(void)t;
	int result = check_path(h, path);
	return bool_result(result < 0 ? result : store_mkdir(&h->handle.host, path));
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	(void)t;
	int result = check_path(h, path);
	return bool_result(result < 0 ? result : store_remove(&h->handle.host, path));
}

struct listing {
	char *names; /* one after another, each with its zero */
	size_t bytes;
	unsigned int n_names;
};

static int on_child(void *data, const char *name)
{
	struct listing *listing = data;
	size_t bytes = strlen(name) + 1;

	char *names = realloc(listing->names, listing->bytes + bytes);
	if (!names)
		return -ENOMEM;
	memcpy(names + listing->bytes, name, bytes);
	listing->names = names;
	listing->bytes += bytes;
	listing->n_names++;
	return 0;
}

/* One block, to be freed at once: the pointers, and what they point to. */
static char **listing_finish(const struct listing *listing)
{
	size_t table_bytes = (listing->n_names + 1) * sizeof(char *);
	char **table = malloc(table_bytes + listing->bytes);
	if (!table)
		return NULL;
	char *name = (char *)table + table_bytes;
	if (listing->bytes)
		memcpy(name, listing->names, listing->bytes);
	for (unsigned int i = 0; i < listing->n_names; i++) {
		table[i] = name;
		name += strlen(name) + 1;
	}
	table[listing->n_names] = NULL;
	return table;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	struct listing listing = {0};
	char **table = NULL;

	(void)t;
	int result = check_path(h, path);
	if (result == 0)
		result = store_list(&h->handle.host, path, on_child, &listing);
	if (result == 0)
		table = listing_finish(&listing);
	free(listing.names);
	if (table)
		*num = listing.n_names;
	else if (result < 0)
		handle_result(result);
	return table;
}

/* Every operation is visible at once: nothing here needs more of a transaction than its number. */
xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	return bool_result(store_check(h)) ? SOME_TRANSACTION : XBT_NULL;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort_it)
{
	(void)t;
	(void)abort_it;
	return bool_result(store_check(h));
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
	char *path;

	if (!bool_result(store_check(h)))
		return NULL;
	return asprintf(&path, "/local/domain/%u", domid) < 0 ? NULL : path;
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
	struct domain *domain;

	if (!bool_result(store_check(h)))
		return false;
	if (domid == DOM0)
		return true;
	if (domain_find(&h->handle.host, domid, &domain) < 0)
		return false;
	bool introduced = domain->state != DOMAIN_LINGERING;
	domain_unlock(domain);
	return introduced;
}
