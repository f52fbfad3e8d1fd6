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
#include <unistd.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"

/* Of Linux 6.16; not all headers have it. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static int fail(const char *what, const char *path)
{
	log_error("%s %s: %s", what, path, strerror(errno));
	return -1;
}

static int open_in(int directory_fd, const char *directory, const char *name)
{
	int fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		log_error("cannot open %s/%s: %s", directory, name, strerror(errno));
	return fd;
}

/* Whoever else could write there could put another journal in place, which says what pages are moved where. */
static int check_directory(int fd, const char *directory)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return fail("cannot look at", directory);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || st.st_mode & (S_IWGRP | S_IWOTH)) {
		log_error("%s belongs to uid %u and has mode %04o: it must belong to root or to uid %u, whom "
			  "xenvramd runs as, and nobody else may be allowed to write there",
			directory, st.st_uid, st.st_mode & 07777, geteuid());
		return -1;
	}
	return 0;
}

/* Tries for so long, 50 ms at a time. -1 with errno, EWOULDBLOCK when somebody still holds it. */
static int lock(int fd, unsigned int attempts)
{
	static const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	int rc;
	while ((rc = flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK && --attempts > 0)
		nanosleep(&pause, NULL);
	return rc;
}

/*
 * Two locks: the supervisor's own, and one that every role of it has, which is free when the last one has
 * ended. A worker that is still moving pages for a supervisor that was killed must not meet one that puts
 * them back, and may need as long as its hypercalls do.
 */
static int open_directory(struct listener *listener, const char *directory)
{
	_cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail("cannot open the directory", directory);
	if (check_directory(fd, directory) < 0)
		return -1;
	listener->lock_fd = open_in(fd, directory, "lock");
	listener->roles_lock_fd = open_in(fd, directory, "roles.lock");
	listener->journal_fd = open_in(fd, directory, "journal");
	if (listener->lock_fd < 0 || listener->roles_lock_fd < 0 || listener->journal_fd < 0)
		return -1;
	/* Of one that was killed, a child on its way to exec may still have it. */
	if (lock(listener->lock_fd, 20) < 0)
		return fail("another xenvramd uses", directory);
	if (lock(listener->roles_lock_fd, 30 * 20) < 0)
		return fail("roles of an earlier xenvramd still work in", directory);
	return 0;
}

/*
 * Every packet then comes with the ids of its sender: connections have it from the socket they come from,
 * some kernels from when they are made, so it is best set before any is.
 */
static int ask_for_senders(int fd)
{
	static const int on = 1;
	return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

/*
 * No client has any to send, and to close one can take for ever: a socket may linger until its peer reads. Older
 * kernels let them through.
 */
static void refuse_descriptors(int fd)
{
	static const int off = 0;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) < 0 && errno != ENOPROTOOPT)
		log_warning("clients can send descriptors: %s", strerror(errno));
}

static int make_socket(struct listener *listener, const char *directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/xenvram.sock", directory);
	if (n >= (int)sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return fail("cannot listen in", directory);
	}
	/* Ours by the lock: whatever is there is a leftover. */
	if (unlink(address.sun_path) < 0 && errno != ENOENT)
		return fail("cannot remove the old socket", address.sun_path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail("cannot make the socket", address.sun_path);
	listener->fds[listener->n_fds++] = fd;
	refuse_descriptors(fd);

	mode_t old_mask = umask(0111);
	int bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(old_mask);
	if (bound < 0 || ask_for_senders(fd) < 0 || listen(fd, SOMAXCONN) < 0)
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
		if (ask_for_senders(fd) < 0)
			return fail("cannot ask for the senders of packets on", "a socket from systemd");
		refuse_descriptors(fd);
		listener->fds[listener->n_fds++] = fd;
	}
	return 0;
}

int listener_open(struct listener *listener, const char *socket_dir)
{
	*listener = (struct listener)LISTENER_NONE;
	if (!socket_dir) {
		const char *directory = getenv("RUNTIME_DIRECTORY");
		if (!directory) {
			log_error("RUNTIME_DIRECTORY is not set: the unit must have RuntimeDirectory=");
			return -1;
		}
		return open_directory(listener, directory) < 0 ? -1 : take_from_systemd(listener);
	}
	if (mkdir(socket_dir, 0755) < 0 && errno != EEXIST)
		return fail("cannot make the directory", socket_dir);
	return open_directory(listener, socket_dir) < 0 ? -1 : make_socket(listener, socket_dir);
}

void listener_close(struct listener *listener)
{
	if (listener->made_path && unlink(listener->made_path) < 0)
		log_warning("cannot remove %s: %s", listener->made_path, strerror(errno));
	free(listener->made_path);
	for (unsigned int i = 0; i < listener->n_fds; i++)
		fd_close(listener->fds[i]);
	fd_close(listener->journal_fd);
	fd_close(listener->lock_fd);
	fd_close(listener->roles_lock_fd);
	*listener = (struct listener)LISTENER_NONE;
}
