/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_listed(const struct id_list *list, uint32_t id)
{
	for (uint32_t i = 0; i < list->n; i++) {
		if (list->ids[i] == id)
			return true;
	}
	return false;
}

static bool is_root(const struct settings *settings, uint32_t uid)
{
	return uid == 0 || uid == settings->own_uid;
}

/* Domain 0 is the host's own and has no device model. */
static bool is_device_model(const struct settings *settings, uint32_t uid)
{
	return settings->domain_uid_base > 0 && uid > settings->domain_uid_base &&
	       uid - settings->domain_uid_base <= MAX_DOMID;
}

static bool is_administrator(const struct settings *settings, const struct peer *peer)
{
	if (is_root(settings, peer->uid))
		return true;
	/* Whatever group somebody puts them in: they are what this service confines. */
	if (is_device_model(settings, peer->uid))
		return false;
	if (is_listed(&settings->admin_uids, peer->uid))
		return true;
	for (size_t i = 0; i < peer->n_gids; i++) {
		if (is_listed(&settings->admin_gids, peer->gids[i]))
			return true;
	}
	return false;
}

enum identity_kind identity_of(const struct settings *settings, const struct peer *peer, uint32_t *ret_domid)
{
	if (is_administrator(settings, peer))
		return IDENTITY_ADMINISTRATOR;
	if (!is_device_model(settings, peer->uid))
		return IDENTITY_STRANGER;
	*ret_domid = peer->uid - settings->domain_uid_base;
	return IDENTITY_DEVICE_MODEL;
}

int identity_refuse(const struct settings *settings, const struct peer *peer, const char *socket_path,
	struct failure *failure)
{
	char range[64] = "of which this host has none", groups[80] = "";

	if (settings->domain_uid_base > 0)
		snprintf(range, sizeof(range), "%" PRIu32 " to %" PRIu32, settings->domain_uid_base + 1,
			settings->domain_uid_base + MAX_DOMID);
	if (peer->groups_error)
		snprintf(groups, sizeof(groups), " by its primary group, which alone is known (%s)",
			strerror(peer->groups_error));
	return failure_set(failure, XENVRAM__V1__STATUS__PERMISSION_DENIED, EACCES,
		"uid %" PRIu32
		" may not use %s: it is not root, no device model's uid (%s), and not in admin-users "
		"or admin-groups%s of [access] in %s",
		peer->uid, socket_path, range, groups, settings->file);
}

bool binding_covers(const struct binding *binding, uint32_t domid, const char *uuid)
{
	if (binding->state == BINDING_NONE)
		return true;
	return binding->state == BINDING_BOUND && binding->domid == domid && strcmp(binding->uuid, uuid) == 0;
}

void identity_describe(const struct settings *settings, uint32_t uid, const struct binding *binding,
	char *ret_text, size_t size)
{
	const struct peer peer = {.uid = uid};
	char how[64] = "Bind";
	uint32_t domid;

	if (binding->state == BINDING_NONE) {
		snprintf(ret_text, size, "this connection of uid %" PRIu32, uid);
		return;
	}
	if (identity_of(settings, &peer, &domid) == IDENTITY_DEVICE_MODEL && domid == binding->domid)
		snprintf(how, sizeof(how), "its uid (domain-uid-base + %" PRIu32 ")", domid);
	snprintf(ret_text, size, "this connection of uid %" PRIu32 ", %s to domain %" PRIu32 " by %s,", uid,
		binding->state == BINDING_PENDING ? "to be bound" : "bound", binding->domid, how);
}

bool identity_may_send(const struct settings *settings, const struct peer *sender, uint32_t peer_uid)
{
	return sender && (sender->uid == peer_uid || is_administrator(settings, sender));
}

int identity_refuse_sender(const struct settings *settings, const struct peer *sender, uint32_t peer_uid,
	const char *socket_path, struct failure *failure)
{
	char who[48] = "a sender that is not known";

	if (sender)
		snprintf(who, sizeof(who), "uid %" PRIu32, sender->uid);
	return failure_set(failure, XENVRAM__V1__STATUS__PERMISSION_DENIED, EPERM,
		"%s may not use %s through the connection of uid %" PRIu32
		", which is bound to no domain: it is no administrator; bind the connection before it is "
		"handed on, or see admin-users and admin-groups of [access] in %s",
		who, socket_path, peer_uid, settings->file);
}
