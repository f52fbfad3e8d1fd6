/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus.h"

#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

#define MAX_WAIT_MS  5000u
#define PATH_BYTES   64
#define WAIT_STEP_US 1000u

/* Whoever reaches it may do all that a bus does. */
static const char configuration[] = "<busconfig>"
				    "<type>custom</type>"
				    "<listen>unix:path=%s</listen>"
				    "<auth>EXTERNAL</auth>"
				    "<policy context=\"default\">"
				    "<allow send_destination=\"*\"/>"
				    "<allow receive_sender=\"*\"/>"
				    "<allow own=\"*\"/>"
				    "</policy>"
				    "</busconfig>\n";

static void make_path(const struct bus *bus, const char *name, char ret_path[PATH_BYTES])
{
	snprintf(ret_path, PATH_BYTES, "%s/%s", bus->directory, name);
}

static void run_daemon(void *data)
{
	char path[PATH_BYTES], option[PATH_BYTES + 16];

	make_path(data, "conf", path);
	snprintf(option, sizeof(option), "--config-file=%s", path);
	execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", option, NULL);
	err(1, "dbus-daemon");
}

/* Calls attempt until it succeeds, which is when another process is ready. */
static void await(int (*attempt)(void *data), void *data, const char *what)
{
	int result = attempt(data);

	for (unsigned int i = 0; result < 0 && i < MAX_WAIT_MS * 1000 / WAIT_STEP_US; i++) {
		usleep(WAIT_STEP_US);
		result = attempt(data);
	}
	if (result < 0)
		errx(1, "%s: %s", what, strerror(-result));
}

struct opening {
	char address[PATH_BYTES + 16];
	sd_bus *connection;
};

static int try_connect(void *data)
{
	struct opening *opening = data;
	sd_bus *connection = NULL;

	int result = sd_bus_new(&connection);
	if (result >= 0)
		result = sd_bus_set_address(connection, opening->address);
	if (result >= 0)
		result = sd_bus_set_bus_client(connection, true);
	if (result >= 0)
		result = sd_bus_start(connection);
	if (result >= 0)
		result = sd_bus_get_unique_name(connection, &(const char *){NULL});
	if (result < 0)
		sd_bus_unref(connection);
	else
		opening->connection = connection;
	return result;
}

sd_bus *bus_connect(const struct bus *bus)
{
	struct opening opening = {0};
	char path[PATH_BYTES];

	make_path(bus, "bus", path);
	snprintf(opening.address, sizeof(opening.address), "unix:path=%s", path);
	await(try_connect, &opening, "connect to dbus-daemon");
	return opening.connection;
}

struct awaited {
	sd_bus *connection;
	const char *name;
};

static int try_name(void *data)
{
	const struct awaited *awaited = data;
	return sd_bus_get_name_creds(awaited->connection, awaited->name, 0, NULL);
}

void bus_await_name(sd_bus *connection, const char *name)
{
	struct awaited awaited = {connection, name};
	await(try_name, &awaited, name);
}

void bus_start(struct bus *bus)
{
	char conf_path[PATH_BYTES], socket_path[PATH_BYTES];

	strcpy(bus->directory, "/tmp/xenvram-bench-XXXXXX");
	if (!mkdtemp(bus->directory))
		err(1, "%s", bus->directory);
	make_path(bus, "conf", conf_path);
	make_path(bus, "bus", socket_path);
	FILE *file = fopen(conf_path, "we");
	if (!file || fprintf(file, configuration, socket_path) < 0 || fclose(file) != 0)
		err(1, "%s", conf_path);
	bus->pid = process_fork(run_daemon, bus);
}

void bus_stop(struct bus *bus)
{
	char path[PATH_BYTES];

	process_kill(bus->pid);
	make_path(bus, "conf", path);
	unlink(path);
	make_path(bus, "bus", path);
	unlink(path);
	rmdir(bus->directory);
}
