# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who follows what the guest writes, and which pages it must still be told of."""

import errno

import xenvram_pb2 as pb
from model import DONE, INVALID, MAX_DOMID, MAX_GFN, MAX_REGION_PAGES, NO_DOMAIN, UNSUPPORTED_DOMAIN

MAX_RANGES_PER_DOMAIN = 8


class Reader:
    """Somebody who follows a region from a cursor of its own, and the pages that it has a right to."""

    def __init__(self, domain, region, client, subscription=None, log=None):
        self.domain = domain
        self.region = region
        self.client = client
        self.subscription = subscription  # None: it asks by message
        self.log = log
        self.cursor = 0
        self.owed = set(region.live())
        region.readers.append(self)

    def take(self, pages, cursor):
        self.owed.difference_update(pages)
        self.cursor = cursor

    def close_log(self):
        if self.log:
            self.log.close()
            self.log = None


class TrackedRange:
    """Any gfns of a domain, followed for one connection by TrackDirty."""

    def __init__(self, domain, client, first_gfn, nr_pages):
        self.domain = domain
        self.client = client
        self.first_gfn = first_gfn
        self.nr_pages = nr_pages
        self.held = True  # by the daemon: not after its broker died, until asked for again
        self.cursor = 0
        self.owed = set(range(nr_pages))

    def owe(self, gfn):
        if 0 <= gfn - self.first_gfn < self.nr_pages:
            self.owed.add(gfn - self.first_gfn)

    def take(self, pages, cursor):
        self.owed.difference_update(pages)
        self.cursor = cursor


def find_range(model, client, domid, first_gfn, nr_pages):
    """That of the connection, or None."""
    domain = model.domains.get(domid)
    wanted = (client, first_gfn, nr_pages)
    ranges = domain.ranges if domain else []
    return next((r for r in ranges if (r.client, r.first_gfn, r.nr_pages) == wanted), None)


def predict_track(model, client, domid, first_gfn, nr_pages):
    if domid > MAX_DOMID or nr_pages > MAX_REGION_PAGES or first_gfn + nr_pages > MAX_GFN:
        return INVALID
    if nr_pages == 0 and first_gfn != 0:
        return INVALID
    refusal = client.asker.refusal(model, domid)
    if nr_pages == 0:
        return client.asker.look(model, domid)
    if refusal:
        return refusal
    domain = model.domains.get(domid)
    if domain is None:
        return NO_DOMAIN
    if domain.pv:
        return UNSUPPORTED_DOMAIN
    tracked = find_range(model, client, domid, first_gfn, nr_pages)
    if not (tracked and tracked.held) and sum(r.held for r in domain.ranges) >= MAX_RANGES_PER_DOMAIN:
        return pb.LIMIT, errno.EDQUOT
    return DONE
