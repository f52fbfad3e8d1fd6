/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who a client is, and for which domain it acts. No I/O. */
#ifndef XENVRAM_BROKER_IDENTITY_H
#define XENVRAM_BROKER_IDENTITY_H

#include "daemon/broker/asker.h"
#include "daemon/common/settings.h"
#include "proto/failure.h"

/* A process as the kernel knows it. */
struct peer {
	uint32_t uid;
	uint32_t pid;
	size_t n_gids;
	const uint32_t *gids;
	int groups_error; /* errno: why the primary group alone is known; 0: all are */
};

enum identity_kind {
	IDENTITY_STRANGER,
	IDENTITY_ADMINISTRATOR, /* for every domain, until it binds itself to one */
	IDENTITY_DEVICE_MODEL,  /* its uid says of which domain */
};

enum identity_kind identity_of(const struct settings *settings, const struct peer *peer, uint32_t *ret_domid);

/* Tells a stranger why the socket at this path is not for him. Returns -1. */
int identity_refuse(const struct settings *settings, const struct peer *peer, const char *socket_path,
	struct failure *failure);

/* Whom a connection acts for. */
enum binding_state {
	BINDING_NONE,    /* an administrator's: for whoever every single message proves to be one */
	BINDING_PENDING, /* the domain's UUID is being looked up; nothing is read meanwhile */
	BINDING_BOUND,   /* for this domain, and never for another one with its domid */
};

struct binding {
	enum binding_state state;
	uint32_t domid;
	char uuid[UUID_BYTES]; /* empty until it is bound */
	bool gone;             /* the domain, as far as is known */
	uint64_t known;        /* since when, in broker::n_known; 0: an earlier broker */
	struct asker asker; /* while pending: of the request Bind; nobody when the peer's uid asks for it */
};

/* May the connection see, or touch, what belongs to this domain? */
bool binding_covers(const struct binding *binding, uint32_t domid, const char *uuid);

/* "this connection of uid 7, bound to domain 5 by Bind,": for refusals. */
#define IDENTITY_TEXT_BYTES 160
void identity_describe(const struct settings *settings, uint32_t uid, const struct binding *binding,
	char *ret_text, size_t size);

/*
 * May a message of this sender go through a connection that `peer_uid` made as an administrator? NULL: nobody
 * knows who sent it. The same uid may, in a group or not: of a sender the kernel tells the primary one alone,
 * so a peer that is an administrator by another of its groups could not be told from its user's other processes.
 */
bool identity_may_send(const struct settings *settings, const struct peer *sender, uint32_t peer_uid);
/* Says why not. Returns -1. */
int identity_refuse_sender(const struct settings *settings, const struct peer *sender, uint32_t peer_uid,
	const char *socket_path, struct failure *failure);

#endif
