/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"

static int fail(const char *what, const char *path)
{
	log_error("%s %s: %s", what, path, strerror(errno));
	return -1;
}

/* The roles of a supervisor that was killed end soon after it; give them that long. */
static int lock(int fd)
{
	static const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	for (unsigned int attempts = 60; attempts > 0; attempts--) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return -1;
		nanosleep(&pause, NULL);
	}
	errno = EWOULDBLOCK;
	return -1;
}

/*
 * The journal's lock says whether another supervisor lives in this directory; it is shared by every
 * descriptor of this open file, so it lasts as long as one of our roles does.
 */
static int open_journal(struct listener *listener, const char *directory)
{
	char path[4096];
	if (snprintf(path, sizeof(path), "%s/journal", directory) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return fail("cannot open the journal in", directory);
	}
	listener->journal_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (listener->journal_fd < 0)
		return fail("cannot open the journal", path);
	if (lock(listener->journal_fd) < 0)
		return fail("another xenvramd uses the journal", path);
	return 0;
}

static int make_socket(struct listener *listener, const char *directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/xenvram.sock", directory);
	if (n >= (int)sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return fail("cannot listen in", directory);
	}
	/* Ours by the journal's lock: whatever is there is a leftover. */
	if (unlink(address.sun_path) < 0 && errno != ENOENT)
		return fail("cannot remove the old socket", address.sun_path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail("cannot make the socket", address.sun_path);
	listener->fds[listener->n_fds++] = fd;

	mode_t old_mask = umask(0117);
	int bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(old_mask);
	if (bound < 0 || listen(fd, SOMAXCONN) < 0)
		return fail("cannot listen on", address.sun_path);
	listener->made_path = strdup(address.sun_path);
	return 0;
}

static int take_from_systemd(struct listener *listener)
{
	int n = sd_listen_fds(1);
	if (n <= 0) {
		log_error("no listening socket: start xenvramd from its systemd socket unit, or with "
			  "--socket DIR");
		return -1;
	}
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
		if (listener->n_fds == MAX_LISTENERS || sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, 1) <= 0) {
			log_error("descriptor %d from systemd is not one of at most %d listening "
				  "SOCK_SEQPACKET Unix "
				  "sockets",
				fd, MAX_LISTENERS);
			return -1;
		}
		listener->fds[listener->n_fds++] = fd;
	}
	return 0;
}

int listener_open(struct listener *listener, const char *socket_dir)
{
	*listener = (struct listener){.journal_fd = -1};
	if (!socket_dir) {
		const char *directory = getenv("RUNTIME_DIRECTORY");
		if (!directory) {
			log_error("RUNTIME_DIRECTORY is not set: the unit must have RuntimeDirectory=");
			return -1;
		}
		return open_journal(listener, directory) < 0 ? -1 : take_from_systemd(listener);
	}
	if (mkdir(socket_dir, 0755) < 0 && errno != EEXIST)
		return fail("cannot make the directory", socket_dir);
	return open_journal(listener, socket_dir) < 0 ? -1 : make_socket(listener, socket_dir);
}

void listener_close(struct listener *listener)
{
	if (listener->made_path && unlink(listener->made_path) < 0)
		log_warning("cannot remove %s: %s", listener->made_path, strerror(errno));
	free(listener->made_path);
	for (unsigned int i = 0; i < listener->n_fds; i++)
		fd_close(listener->fds[i]);
	fd_close(listener->journal_fd);
	*listener = (struct listener){.journal_fd = -1};
}
