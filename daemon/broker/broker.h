/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The broker: serves the clients' socket. It knows the regions, who watches them, and which worker to
 * ask; it has no Xen handle and makes no hypercall. Whatever must outlive it is with the supervisor or in
 * the journal.
 */
#ifndef XENVRAM_BROKER_BROKER_H
#define XENVRAM_BROKER_BROKER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/broker/audit.h"
#include "daemon/broker/bucket.h"
#include "daemon/broker/moves.h"
#include "daemon/broker/pins.h"
#include "daemon/broker/region_table.h"
#include "daemon/common/channel.h"
#include "daemon/common/log.h"
#include "daemon/common/settings.h"
#include "proto/internal.pb-c.h"

struct broker;
struct connection;

/* ---- domains and their workers: domain.c ---- */

/* What polls of a domain took since the governor looked last. */
struct poll_use {
	uint64_t polls;
	uint64_t poll_ns;
	uint64_t cost_ns;   /* of one poll, the last time that there were any */
	uint64_t parted_ns; /* the last poll for a region that is gone */
	uint32_t period_us; /* the shortest that a subscription asks for; 0: none */
};

/* For so many domains it is known when they are told to be gone more than once. */
#define MAX_DEAD 64u

struct domain {
	LIST_ENTRY(domain) link; /* broker::domains */
	struct broker *broker;
	uint32_t domid;
	char uuid[UUID_BYTES];  /* as its worker had it, or as it is asked for; empty: whichever there is */
	uint64_t met;           /* when its worker came, in broker::n_known; 0: it may be another domain */
	struct channel *worker; /* NULL: not there, or being started again */
	uint64_t last_serial;
	TAILQ_HEAD(, command) commands; /* with the worker, unanswered */
	unsigned int n_commands;
	bool held;         /* not to be freed, though nothing may be left of it */
	bool unnamed_goes; /* of the one that is gone is also what has no UUID yet */
	struct poll_use use;
	uint64_t polls; /* all that were made until the governor looked last */
	uint64_t poll_ns;
};

/* ---- the poll budget: governor.c ---- */

struct governor {
	int timer_fd;
	struct event *timer; /* on it */
	bool ticking;
	uint32_t budget_ppm; /* of one CPU's time, all domains together */
	uint32_t share_ppm;  /* of any one domain */
	uint32_t used_ppm;   /* lately, all domains together */
	uint64_t looked_ns;  /* CLOCK_MONOTONIC */
};

/* ---- the root ---- */

struct broker {
	struct event_base *base;
	struct channel *supervisor;
	bool active;              /* the supervisor was told so, and has not asked since */
	bool serving;             /* all that an earlier broker left is here */
	struct settings settings; /* they can change at any time */
	int journal_fd;
	struct event *listening[MAX_LISTENERS];
	struct event *accept_again; /* after descriptors ran out */
	unsigned int n_listening;
	struct event *backlog; /* runs while clients wait for the supervisor */
	bool behind;           /* do they? */
	struct region_table regions;
	struct pins pins;
	struct moves moves;
	struct governor governor;
	LIST_HEAD(, map) maps;
	uint64_t last_map; /* the last id of one */
	LIST_HEAD(, domain) domains;
	/* The domains that went last; the next one goes to n_dead % MAX_DEAD. */
	char dead[MAX_DEAD][UUID_BYTES];
	unsigned int n_dead;
	LIST_HEAD(, connection) connections;
	unsigned int n_connections;
	struct buckets connecting; /* by uid: new connections */
	struct buckets pausing;    /* by domain: requests that may pause the guest */
	uint64_t last_id;          /* of connections and subscriptions */
	uint64_t n_requests;       /* that it was asked */
	uint64_t n_known;          /* times that it was told the UUID of a domid's domain */
	struct audit audit;
	int exit_status;
};

/* An id that no connection or subscription has, also none that an earlier broker left. */
uint64_t broker_new_id(struct broker *broker);

#endif
