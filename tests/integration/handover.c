/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * handover SOCKET DOMID OTHER_DOMID UID VRAM_GFN BACKING_GFN: as a toolstack does it. Connects, binds the
 * connection to the domain, and hands it to a program of another user, itself again, which has no right to
 * connect and yet creates a region of 16 pages, follows it, and destroys it.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenvram.h>

#define NR_PAGES 16

static uint32_t number(const char *text)
{
	return strtoul(text, NULL, 0);
}

static void expect(struct xenvram *conn, int result, int os_error, const char *what)
{
	if (os_error ? result == -1 && errno == os_error : result >= 0)
		return;
	errx(1, "%s: returned %d with errno %d (%s), expected errno %d", what, result, errno,
		xenvram_error(conn), os_error);
}

static int count_region(const struct xenvram_region *region, void *data)
{
	unsigned int *n = data;
	(void)region;
	++*n;
	return 0;
}

/* The program that the connection is handed to. */
static int use(
	int fd, const char *socket_path, uint32_t domid, uint32_t other, uint64_t vram, uint64_t backing)
{
	struct xenvram *conn = xenvram_new("heir"), *denied = xenvram_new("denied");
	struct xenvram_create create = {
		.domid = domid, .vram_gfn = vram, .backing_gfn = backing, .nr_pages = NR_PAGES};
	uint64_t bitmap[XENVRAM_BITMAP_WORDS(NR_PAGES)], cursor = 0, cookie;
	struct xenvram_view *view;
	unsigned int n = 0;

	if (!conn || !denied)
		err(1, "xenvram_new");
	expect(denied, xenvram_connect(denied, socket_path), EACCES, "connecting by itself");
	expect(conn, xenvram_connect_fd(conn, fd), 0, "going on with the connection");
	expect(conn, xenvram_bind(conn, other), EPERM, "binding it to another domain");
	expect(conn, xenvram_bind(conn, domid), 0, "binding it to its own");
	create.domid = other;
	expect(conn, xenvram_create_region(conn, &create, &cookie), EPERM, "creating another's region");
	create.domid = domid;
	expect(conn, xenvram_create_region(conn, &create, &cookie), 0, "creating a region");
	expect(conn, xenvram_list_regions(conn, NULL, count_region, &n), 0, "listing regions");
	if (n != 1)
		errx(1, "%u regions are listed, not its own alone", n);
	expect(conn, xenvram_subscribe(conn, cookie, 0, 0, &view), 0, "following it");
	expect(conn, xenvram_view_read(view, &cursor, 0, NR_PAGES, bitmap), 0, "reading the view");
	expect(conn, xenvram_unsubscribe(conn, view), 0, "following it no more");
	expect(conn, xenvram_destroy_region(conn, cookie), 0, "destroying it");
	xenvram_free(denied);
	xenvram_free(conn);
	return 0;
}

/* In a child: becomes the user, and this program anew, with the descriptor as one more argument. */
static void become_heir(int fd, uint32_t uid, char **argv)
{
	char text[16];
	char *arguments[] = {argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], argv[6], text, NULL};

	snprintf(text, sizeof(text), "%d", fd);
	if (fcntl(fd, F_SETFD, 0) < 0 || setgid(uid) < 0 || setuid(uid) < 0)
		err(1, "cannot become uid %u", uid);
	execv("/proc/self/exe", arguments);
	err(1, "cannot execute this program again");
}

int main(int argc, char **argv)
{
	if (argc == 8)
		return use(atoi(argv[7]), argv[1], number(argv[2]), number(argv[3]), number(argv[5]),
			number(argv[6]));
	if (argc != 7)
		errx(2, "usage: handover SOCKET DOMID OTHER_DOMID UID VRAM_GFN BACKING_GFN");

	struct xenvram *conn = xenvram_new("toolstack");
	if (!conn)
		err(1, "xenvram_new");
	expect(conn, xenvram_connect(conn, argv[1]), 0, "connecting");
	expect(conn, xenvram_bind(conn, number(argv[2])), 0, "binding");
	int fd = xenvram_release_fd(conn), status;
	expect(conn, fd, 0, "letting go of the socket");
	xenvram_free(conn);

	pid_t pid = fork();
	if (pid == 0)
		become_heir(fd, number(argv[4]), argv);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		err(1, "no child");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
