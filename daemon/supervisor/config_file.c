/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"
#include "daemon/supervisor/config.h"
#include "proto/limits.h"

static void on_fault(void *data, const char *sentence)
{
	(void)data;
	log_error("%s", sentence);
}

/* errno of a lookup that found nothing, as some modules of libc set it; anything else is one that failed. */
static int not_found(void)
{
	return errno == 0 || errno == ENOENT || errno == ESRCH ? 0 : -1;
}

static int find_user(void *data, const char *name, uint32_t *ret_id)
{
	(void)data;
	errno = 0;
	const struct passwd *entry = getpwnam(name);
	if (!entry)
		return not_found();
	*ret_id = entry->pw_uid;
	return 1;
}

static int find_group(void *data, const char *name, uint32_t *ret_id)
{
	(void)data;
	errno = 0;
	const struct group *entry = getgrnam(name);
	if (!entry)
		return not_found();
	*ret_id = entry->gr_gid;
	return 1;
}

/* Up to size bytes; their number, or -1 with errno. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t n_bytes = 0;
	ssize_t n;

	while ((n = read(fd, text + n_bytes, size - n_bytes)) != 0) {
		if (n > 0)
			n_bytes += n;
		else if (errno != EINTR)
			return -1;
	}
	return n_bytes;
}

int config_file_read(const char *path, struct settings *ret_settings)
{
	const struct config_reader reader = {
		path ? path : XENVRAM_CONFIG_PATH, on_fault, find_user, find_group, NULL};
	/* One more than is allowed, so that too much is seen to be too much. */
	char text[MAX_CONFIG_BYTES + 1];

	_cleanup_close_ int fd = open(reader.file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
		log_error(
			"the configuration file %s is a pipe, of which nobody can tell its end", reader.file);
		return -1;
	}
	ssize_t n_bytes = fd >= 0 ? read_all(fd, text, sizeof(text)) : errno == ENOENT && !path ? 0 : -1;
	if (n_bytes < 0) {
		log_error("cannot read the configuration file %s: %s", reader.file, strerror(errno));
		return -1;
	}
	if (config_parse(&reader, text, n_bytes, ret_settings) < 0)
		return -1;
	ret_settings->own_uid = geteuid();
	return 0;
}
