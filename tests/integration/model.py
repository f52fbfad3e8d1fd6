# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the service must do, as plain state: who has which page, what is pinned, what a request must be answered."""

import errno

import xenvram_pb2 as pb

MAX_GFN = 1 << 36
MAX_DOMID = 0x7FEF
MAX_REGION_PAGES = 262144
MAX_REGIONS_PER_DOMAIN = 16
MAX_PINS = 64
PIN_TYPES = {pb.UC: 0, pb.WC: 1, pb.WT: 4, pb.WP: 5, pb.WB: 6, pb.UC_MINUS: 7}

DONE = (pb.OK, 0)


class Region:
    def __init__(self, request, pinned):
        self.cookie = None
        self.vram = request.vram_gfn
        self.backing = request.backing_gfn
        self.nr_pages = request.nr_pages
        self.cache_attr = request.cache_attr
        self.adopted = request.adopt
        self.pinned = pinned
        self.state = pb.ACTIVE
        self.readers = []

    def pin_range(self):
        return self.vram, self.vram + self.nr_pages - 1

    def ranges(self):
        return [self.vram] if self.adopted else [self.vram, self.backing]

    def page_of(self, gfn):
        """None if the gfn is not in its vram."""
        return gfn - self.vram if self.vram <= gfn < self.vram + self.nr_pages else None

    def owe_all(self):
        for reader in self.readers:
            reader.owed = set(range(self.nr_pages))

    def owe(self, pages):
        for reader in self.readers:
            reader.owed.update(pages)


class Domain:
    def __init__(self, domid, frames, pv):
        self.domid = domid
        self.frames = frames  # {gfn: frame}
        self.pv = pv
        self.pins = {}  # {(first gfn, last gfn): type}
        self.regions = []
        self.worker_kills = 0


def overlap(a, a_pages, b, b_pages):
    return a < b + b_pages and b < a + a_pages


class Model:
    """Every predict_ function says how the request must be answered; every do_, what is so after it was carried out."""

    def __init__(self):
        self.domains = {}

    def regions(self):
        return [(domain, region) for domain in self.domains.values() for region in domain.regions]

    # ---- create ----

    @staticmethod
    def _wrong_in_itself(request):
        n = request.nr_pages
        if request.domid > MAX_DOMID or n == 0 or n > MAX_REGION_PAGES:
            return True
        if request.vram_gfn + n > MAX_GFN or request.backing_gfn + n > MAX_GFN:
            return True
        if request.adopt:
            return request.backing_gfn != 0
        return overlap(request.vram_gfn, n, request.backing_gfn, n)

    @staticmethod
    def _pin_error(domain, pins):
        """How the hypervisor answers a pin of this range."""
        if pins in domain.pins:
            return 0
        if any(overlap(pins[0], pins[1] - pins[0] + 1, p[0], p[1] - p[0] + 1) for p in domain.pins):
            return errno.EBUSY
        return errno.ENOSPC if len(domain.pins) >= MAX_PINS else 0

    def predict_create(self, request):
        """((status, errno), will it be pinned)"""
        if self._wrong_in_itself(request):
            return (pb.INVALID, errno.EINVAL), False
        region = Region(request, False)
        domain = self.domains.get(request.domid)
        if domain is None:
            return (pb.NO_DOMAIN, errno.ESRCH), False
        for other in domain.regions:
            for mine in region.ranges():
                if any(overlap(mine, region.nr_pages, theirs, other.nr_pages) for theirs in other.ranges()):
                    return (pb.CONFLICT, errno.EEXIST), False
        if len(domain.regions) >= MAX_REGIONS_PER_DOMAIN:
            return (pb.LIMIT, errno.EDQUOT), False
        if domain.pv:
            return (pb.UNSUPPORTED_DOMAIN, errno.EINVAL), False
        source = region.vram if region.adopted else region.backing
        if any(source + i not in domain.frames for i in range(region.nr_pages)):
            return (pb.CONFLICT, errno.ENXIO), False
        if not region.adopted and any(region.vram + i in domain.frames for i in range(region.nr_pages)):
            return (pb.CONFLICT, errno.EEXIST), False
        if request.dry_run:
            return DONE, False
        error = self._pin_error(domain, region.pin_range())
        if error and request.require_cache_attr:
            return (pb.HYPERVISOR, error), False
        return DONE, error == 0

    def do_create(self, request, cookie, pinned):
        domain = self.domains[request.domid]
        region = Region(request, pinned)
        region.cookie = cookie
        if not region.adopted:
            for i in range(region.nr_pages):
                domain.frames[region.vram + i] = domain.frames.pop(region.backing + i)
        if pinned:
            domain.pins[region.pin_range()] = PIN_TYPES[region.cache_attr]
        domain.regions.append(region)
        return region

    # ---- destroy ----

    @staticmethod
    def predict_destroy(domain, region):
        if region.adopted:
            return DONE
        for i in range(region.nr_pages):
            if region.vram + i in domain.frames and region.backing + i in domain.frames:
                return pb.STUCK, errno.EBUSY
        return DONE

    @staticmethod
    def do_destroy(domain, region):
        """Also when it got stuck: what can be put back, was."""
        domain.pins.pop(region.pin_range(), None)
        stuck = False
        for i in range(region.nr_pages):
            vram, backing = region.vram + i, region.backing + i
            if region.adopted or vram not in domain.frames:
                continue
            if backing in domain.frames:
                stuck = True
            else:
                domain.frames[backing] = domain.frames.pop(vram)
        if stuck:
            region.state = pb.REGION_STUCK
        else:
            domain.regions.remove(region)

    # ---- what others do ----

    @staticmethod
    def do_write(domain, gfn):
        for region in domain.regions:
            page = region.page_of(gfn)
            if page is not None:
                region.owe([page])


class Reader:
    """Somebody who follows a region from a cursor of its own, and the pages that it has a right to."""

    def __init__(self, domain, region, client, subscription=None, log=None):
        self.domain = domain
        self.region = region
        self.client = client
        self.subscription = subscription  # None: it asks by message
        self.log = log
        self.cursor = 0
        self.owed = set(range(region.nr_pages))
        region.readers.append(self)

    def take(self, pages, cursor):
        self.owed.difference_update(pages)
        self.cursor = cursor
