/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rest of libxenstore: other names of what there is, helpers, and what only a real xenstored can do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#include "tests/simxen/store.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

struct xs_handle *xs_daemon_open(void)
{
	return xs_open(0);
}

struct xs_handle *xs_daemon_open_readonly(void)
{
	return xs_open(0);
}

struct xs_handle *xs_domain_open(void)
{
	return xs_open(0);
}

void xs_daemon_close(struct xs_handle *h)
{
	xs_close(h);
}

/* The handle's thread did not survive the fork and its locks may be taken: the memory is left alone. */
void xs_daemon_destroy_postfork(struct xs_handle *h)
{
}

const char *xs_daemon_rundir(void)
{
	return "/run/xenstored";
}

const char *xs_daemon_socket(void)
{
	return "/run/xenstored/socket";
}

const char *xs_daemon_socket_ro(void)
{
	return xs_daemon_socket();
}

bool xs_path_is_subpath(const char *parent, const char *child)
{
	return store_path_is_within(child, parent);
}

bool xs_write_all(int fd, const void *data, unsigned int len)
{
	for (const char *from = data; len;) {
		ssize_t written = write(fd, from, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		from += written;
		len -= written;
	}
	return true;
}

static bool not_simulated(void)
{
	errno = ENOSYS;
	return false;
}

bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num, const char *strings)
{
	return not_simulated();
}

/* Nobody but dom0 connects, and dom0 may do everything. */
struct xs_permissions *xs_get_permissions(
	struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	unsigned int length;
	void *value = xs_read(h, t, path, &length);
	if (!value)
		return NULL;
	free(value);
	*num = 1;
	return calloc(1, sizeof(struct xs_permissions));
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
	struct xs_permissions *perms, unsigned int num_perms)
{
	unsigned int length;
	void *value = xs_read(h, t, path, &length);
	free(value);
	return value;
}

bool xs_restrict(struct xs_handle *h, unsigned int domid)
{
	return not_simulated();
}

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn, unsigned int eventchn)
{
	return not_simulated();
}

bool xs_set_target(struct xs_handle *h, unsigned int domid, unsigned int target)
{
	return not_simulated();
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
	return not_simulated();
}

bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
	return not_simulated();
}

char *xs_control_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
	not_simulated();
	return NULL;
}

char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
	return xs_control_command(h, cmd, data, len);
}

int xs_suspend_evtchn_port(int domid)
{
	not_simulated();
	return -1;
}
