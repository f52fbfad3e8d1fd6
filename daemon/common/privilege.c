/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/common/log.h"

static int become(const char *user)
{
	errno = 0;
	const struct passwd *entry = getpwnam(user);
	if (!entry) {
		if (errno == 0)
			errno = ENOENT;
		log_error(
			"user \"%s\" for this role does not exist (%s); create it, or name another one with "
			"--broker-user or --worker-user",
			user, strerror(errno));
		return -1;
	}
	if (entry->pw_uid == 0) {
		errno = EINVAL;
		log_error("user \"%s\" is root; this role must run as somebody else", user);
		return -1;
	}
	uid_t uid = entry->pw_uid;
	gid_t gid = entry->pw_gid;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
		log_error("cannot become user \"%s\" (uid %u): %s", user, uid, strerror(errno));
		return -1;
	}
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0 || getuid() != uid || geteuid() != uid) {
		errno = EPERM;
		log_error("became user \"%s\", but root can be had back", user);
		return -1;
	}
	return 0;
}

int privilege_drop(const char *user)
{
	if (geteuid() == 0 && become(user) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		log_error("cannot give up privileges: %s", strerror(errno));
		return -1;
	}
	return 0;
}
