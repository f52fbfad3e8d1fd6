/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "daemon/common/fd.h"
#include "daemon/common/log.h"
#include "daemon/supervisor/config.h"
#include "proto/limits.h"

static void on_fault(void *data, const char *sentence)
{
	(void)data;
	log_error("%s", sentence);
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
	const struct config_reader reader = {path ? path : XENVRAM_CONFIG_PATH, on_fault, NULL};
	/* One more than is allowed, so that too much is seen to be too much. */
	char text[MAX_CONFIG_BYTES + 1];

	_cleanup_close_ int fd = open(reader.file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT && !path) {
		settings_init(ret_settings);
		return 0;
	}
	ssize_t n_bytes = fd < 0 ? -1 : read_all(fd, text, sizeof(text));
	if (n_bytes < 0) {
		log_error("cannot read the configuration file %s: %s", reader.file, strerror(errno));
		return -1;
	}
	return config_parse(&reader, text, n_bytes, ret_settings);
}
