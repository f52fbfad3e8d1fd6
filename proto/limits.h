/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every cap of the service, each stated once. Refusals name the cap, what was used, and the maximum.
 */
#ifndef XENVRAM_PROTO_LIMITS_H
#define XENVRAM_PROTO_LIMITS_H

/* Versions of the public protocol that this build speaks. */
#define PROTOCOL_VERSION_MIN 1u
#define PROTOCOL_VERSION_MAX 1u

/* One packet. Holds a snapshot of the largest region, and stays below a default socket buffer. */
#define MAX_MESSAGE_BYTES 65536u
/* File descriptors beside one packet. */
#define MAX_MESSAGE_FDS 4u
/* What unpacking one packet may allocate: repeated fields grow on the way from wire to memory. */
#define MAX_UNPACKED_BYTES    (16u * MAX_MESSAGE_BYTES)
#define MAX_CLIENT_NAME_BYTES 64u

/* Xen loses the page when a destination is at or above 2^36 frames, and probing lies from 2^40 on. */
#define MAX_GFN (1ull << 36)
/* A domain's UUID as text, with the terminating zero and room for what a toolstack may write. */
#define UUID_BYTES 64u
#define MAX_DOMID  0x7fefu /* DOMID_FIRST_RESERVED - 1 */
/* What one track_dirty_vram call of the hypervisor can cover: 1 GiB. */
#define MAX_REGION_PAGES 262144ull

#define MAX_REGIONS            1024u /* on the host; also the slots of the journal */
#define MAX_REGIONS_PER_DOMAIN 16u
/* 4 GiB; the logs take 12 bytes a page. */
#define MAX_PAGES_PER_DOMAIN (4u * 262144u)
/* Ranges that connections have tracked beside regions. */
#define MAX_TRACKED_RANGES_PER_DOMAIN 8u
/* Region logs: of all regions, and of the ranges of as many domains. */
#define MAX_LOGS (MAX_REGIONS + MAX_REGIONS * MAX_TRACKED_RANGES_PER_DOMAIN)
/* Runs of pages that partial destructions may leave of one region; each takes one of the domain's 64 pins. */
#define MAX_REGION_EXTENTS 8u
/* The hypervisor's, those of regions among them. */
#define MAX_PINS_PER_DOMAIN 64u
/* On the host, beside those of regions; also their slots in the journal. */
#define MAX_RAW_PINS 1024u
/* Moves outside of regions under way; on the host also their slots in the journal. */
#define MAX_RAW_MOVES_PER_DOMAIN 4u
#define MAX_RAW_MOVES            64u

#define MAX_CONNECTIONS 512u
/* Left free for root, so that others cannot lock an administrator out. */
#define MIN_CONNECTIONS_FOR_ROOT   8u
#define MAX_CONNECTIONS_PER_UID    256u
#define MAX_CONNECTIONS_PER_DOMAIN 32u /* that act for it alone */
/* New ones a second; administrators are not held up. */
#define MAX_CONNECTIONS_PER_SECOND 100u
#define MAX_REQUESTS_IN_FLIGHT     32u /* per connection; reading pauses beyond it */
/* Of a connection: the largest replies to all requests in flight fit, and some events. */
#define QUEUED_BYTES_FOR(in_flight)      (((in_flight) + 4u) * MAX_MESSAGE_BYTES)
#define MAX_QUEUED_BYTES                 QUEUED_BYTES_FOR(MAX_REQUESTS_IN_FLIGHT)
#define MAX_SUBSCRIPTIONS_PER_CONNECTION 64u
#define MAX_SUBSCRIPTIONS_PER_DOMAIN     256u

/* What the supervisor keeps for the next broker, connections and subscriptions, and the bytes with each. */
#define MAX_KEPT       (MAX_CONNECTIONS * (1u + MAX_SUBSCRIPTIONS_PER_CONNECTION))
#define MAX_KEPT_BYTES (64u + UUID_BYTES)

#define MIN_PERIOD_US     1000u
#define MAX_PERIOD_US     10000000u
#define DEFAULT_PERIOD_US 33000u
/* Requests a second of a domain's device models for what pauses its guest, or may. */
#define MAX_GUEST_PAUSES_PER_SECOND 250u
/* Pages that a MarkDirty may name without being counted among these; writing down more costs like a refresh. */
#define MAX_UNCOUNTED_MARKED_PAGES 8192u
/* Records a second about one user, and at once. */
#define AUDIT_RECORDS_PER_SECOND 50u
#define AUDIT_RECORDS_AT_ONCE    200u
/* And about all who may not connect. */
#define AUDIT_STRANGERS_PER_SECOND 100u
#define AUDIT_STRANGERS_AT_ONCE    400u
/* How long tracking stays on after the last reader has gone, so that one who comes back has exact bits. */
#define LINGER_US 5000000ull

/* Between two changes of the range that the hypervisor tracks for a domain. */
#define RANGE_CHANGE_US 100000ull
/* Without a change for so long, regions are polled less and less often, down to one poll in so many, and
 * never more rarely than this unless their readers asked for less. */
#define IDLE_AFTER_US      1000000ull
#define MAX_IDLE_FACTOR    4u
#define MAX_IDLE_PERIOD_US 250000ull

/* Runs of pages that one MarkDirty may name. */
#define MAX_MARKED_RUNS 1024u

/* Commands that a domain's worker has not answered; beyond it clients are told to ask again. */
#define MAX_COMMANDS_PER_DOMAIN 1024u
/* How often the supervisor asks a broker that has something to do, and after how many times it ends one. */
#define HEARTBEAT_MS          1000u
#define MAX_MISSED_HEARTBEATS 10u
/* Listening sockets that systemd may hand over; with the journal they go in one message. */
#define MAX_LISTENERS 3

/* Share of one CPU that the hypercalls of all polls together may take; above 100, of several. */
#define MAX_POLL_BUDGET_PERCENT     6400u
#define DEFAULT_POLL_BUDGET_PERCENT 25u
/* How often all pages can be taken for dirty without being asked. */
#define MIN_REFRESH_INTERVAL_MS 100u
#define MAX_REFRESH_INTERVAL_MS 86400000u

/* The configuration file, a line of it, a list of users or groups in it, and its own path. */
#define CONFIG_PATH_BYTES     256u
#define MAX_CONFIG_IDS        32u
#define MAX_GFN_WINDOWS       8u
#define MAX_CONFIG_BYTES      65536u
#define MAX_CONFIG_LINE_BYTES 190u

/* List replies are paged. */
#define MAX_LISTED 128u
/* So is a region's page map. */
#define MAX_MAPPED_RUNS 1024u

#endif
