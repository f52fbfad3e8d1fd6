# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the service must do, as plain state: who has which page, what is pinned, what a request must be answered."""

import errno

import xenvram_pb2 as pb

MAX_GFN = 1 << 36
MAX_DOMID = 0x7FEF
MAX_REGION_PAGES = 262144
MAX_REGIONS_PER_DOMAIN = 16
MAX_REGION_EXTENTS = 8
MAX_PINS = 64
PIN_TYPES = {pb.UC: 0, pb.WC: 1, pb.WT: 4, pb.WP: 5, pb.WB: 6, pb.UC_MINUS: 7}

DONE = (pb.OK, 0)
INVALID = (pb.INVALID, errno.EINVAL)
NOT_FOUND = (pb.NOT_FOUND, errno.ENOENT)
NO_DOMAIN = (pb.NO_DOMAIN, errno.ESRCH)
UNSUPPORTED_DOMAIN = (pb.UNSUPPORTED_DOMAIN, errno.EINVAL)


def runs_of(pages):
    """Ascending pages as [(first, how many in a row)]"""
    runs = []
    for page in sorted(pages):
        if runs and sum(runs[-1]) == page:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((page, 1))
    return runs


class Region:
    def __init__(self, request, pinned):
        self.cookie = None
        self.vram = request.vram_gfn
        self.backing = request.backing_gfn
        self.nr_pages = request.nr_pages
        self.cache_attr = request.cache_attr
        self.require_pin = request.require_cache_attr
        self.adopted = request.adopt
        self.state = pb.ACTIVE
        self.readers = []
        self.runs = [(0, self.nr_pages)]  # of pages that were not destroyed
        self.pinned_runs = set(self.runs) if pinned else set()
        self.ending = False  # stuck: all of it was destroyed
        self.going = None  # stuck: (first page, pages) were destroyed

    @property
    def pinned(self):
        return self.state == pb.ACTIVE and self.pinned_runs >= set(self.runs)

    def live(self):
        return [page for first, n in self.runs for page in range(first, first + n)]

    def has(self, page):
        return any(first <= page < first + n for first, n in self.runs)

    def holder(self, first, n):
        """The run that has all of these pages."""
        return next(((f, m) for f, m in self.runs if f <= first and first + n <= f + m), None)

    def pieces(self, first, n):
        """What is left of their run without these pages."""
        f, m = self.holder(first, n)
        return [(g, k) for g, k in ((f, first - f), (first + n, f + m - first - n)) if k]

    def pins(self, runs):
        return [(self.vram + first, self.vram + first + n - 1) for first, n in runs]

    def ranges(self):
        """[(first gfn, pages)] of all that it lays claim to"""
        places = [self.vram] if self.adopted else [self.vram, self.backing]
        return [(place + first, n) for place in places for first, n in self.runs]

    def page_of(self, gfn):
        """None if the gfn is not in its vram."""
        return gfn - self.vram if self.has(gfn - self.vram) else None

    def owe_all(self):
        for reader in self.readers:
            reader.owed = set(self.live())

    def owe(self, pages):
        for reader in self.readers:
            reader.owed.update(page for page in pages if self.has(page))


class Domain:
    def __init__(self, domid, frames, pv):
        self.domid = domid
        self.frames = frames  # {gfn: frame}
        self.pv = pv
        self.pins = {}  # {(first gfn, last gfn): type}
        self.regions = []
        self.raw_pins = {}  # {(first gfn, last gfn): cache_attr}, of no region
        self.ranges = []  # that connections have tracked
        self.worker_kills = 0

    def claims(self):
        """[(first gfn, pages)] of all its regions"""
        return [claim for region in self.regions for claim in region.ranges()]

    def pins_of_regions(self):
        """{(first gfn, last gfn): region} of those that are active"""
        return {bounds: r for r in self.regions if r.state == pb.ACTIVE for bounds in r.pins(r.pinned_runs)}

    def n_pins_used(self):
        """Of the 64. Each run of a region that is stuck may have one, or get it; two, if it was to lose a part."""
        stuck = sum(len(r.runs) + bool(r.going) for r in self.regions if r.state == pb.REGION_STUCK)
        return len(self.raw_pins) + len(self.pins_of_regions()) + stuck

    def is_full_of_pins(self):
        return self.n_pins_used() >= MAX_PINS


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
    def _is_in_the_way(domain, ranges):
        return any(overlap(*mine, *theirs) for mine in ranges for theirs in domain.claims())

    @staticmethod
    def _has_raw_pin(domain, ranges):
        return any(overlap(*mine, first, last - first + 1) for mine in ranges for first, last in domain.raw_pins)

    @staticmethod
    def pin_error(domain, pins):
        """How the hypervisor answers a pin of this range."""
        if pins in domain.pins:
            return 0
        if any(overlap(pins[0], pins[1] - pins[0] + 1, p[0], p[1] - p[0] + 1) for p in domain.pins):
            return errno.EBUSY
        return errno.ENOSPC if len(domain.pins) >= MAX_PINS else 0

    def predict_create(self, asker, request):
        """((status, errno), will it be pinned)"""
        if self._wrong_in_itself(request):
            return INVALID, False
        refusal = asker.refusal(self, request.domid)
        if refusal:
            return refusal, False
        region = Region(request, False)
        domain = self.domains.get(request.domid)
        if domain is None:
            return NO_DOMAIN, False
        if len(domain.regions) >= MAX_REGIONS_PER_DOMAIN:
            return (pb.LIMIT, errno.EDQUOT), False
        if self._is_in_the_way(domain, region.ranges()):
            return (pb.CONFLICT, errno.EEXIST), False
        if self._has_raw_pin(domain, [(region.vram, region.nr_pages)]):
            return (pb.CONFLICT, errno.EBUSY), False
        if request.require_cache_attr and domain.is_full_of_pins():
            return (pb.LIMIT, errno.EDQUOT), False
        if domain.pv:
            return UNSUPPORTED_DOMAIN, False
        source = region.vram if region.adopted else region.backing
        if any(source + i not in domain.frames for i in range(region.nr_pages)):
            return (pb.CONFLICT, errno.ENXIO), False
        if not region.adopted and any(region.vram + i in domain.frames for i in range(region.nr_pages)):
            return (pb.CONFLICT, errno.EEXIST), False
        if request.dry_run:
            return DONE, False
        error = self.pin_error(domain, region.pins(region.runs)[0])
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
            self._pin(domain, region, region.runs)
        domain.regions.append(region)
        return region

    def _pin(self, domain, region, runs):
        """Pins them until one is refused; its errno."""
        for pins in region.pins(runs):
            error = self.pin_error(domain, pins)
            if error:
                return error
            domain.pins[pins] = PIN_TYPES[region.cache_attr]
        return 0

    def _try_pins(self, domain, region, runs):
        """Pins those that are not refused: these."""
        return {run for run in runs if self._pin(domain, region, [run]) == 0}

    @staticmethod
    def _unpin(domain, region, runs):
        for pins in region.pins(runs):
            domain.pins.pop(pins, None)

    # ---- destroy ----

    @staticmethod
    def _would_stick(domain, region, pages):
        return not region.adopted and any(
            region.vram + page in domain.frames and region.backing + page in domain.frames for page in pages
        )

    def predict_destroy(self, asker, domain, region):
        if not asker.sees(domain):
            return NOT_FOUND
        return (pb.STUCK, errno.EBUSY) if self._would_stick(domain, region, region.live()) else DONE

    @staticmethod
    def _put_back(domain, region, pages):
        """What can be; are any left?"""
        stuck = False
        for page in pages:
            vram, backing = region.vram + page, region.backing + page
            if region.adopted or vram not in domain.frames:
                continue
            if backing in domain.frames:
                stuck = True
            else:
                domain.frames[backing] = domain.frames.pop(vram)
        return stuck

    def do_destroy(self, domain, region):
        self._unpin(domain, region, region.runs)
        if region.going:
            self._unpin(domain, region, region.pieces(*region.going))
        if self._put_back(domain, region, region.live()):
            region.state = pb.REGION_STUCK
            region.ending = True
        else:
            domain.regions.remove(region)

    def _error_of_pieces(self, domain, region, first, n):
        """How the hypervisor answers when what stays is pinned by itself."""
        pieces = region.pieces(first, n)
        before = dict(domain.pins)
        self._unpin(domain, region, [region.holder(first, n), *pieces])
        error = self._pin(domain, region, pieces)
        domain.pins = before
        return error

    def predict_destroy_part(self, asker, domain, region, first, n):
        if not asker.sees(domain):
            return NOT_FOUND
        if first + n > region.nr_pages:
            return pb.INVALID, errno.ERANGE
        if region.state == pb.REGION_STUCK and (region.ending or region.going != (first, n)):
            return pb.CONFLICT, errno.EBUSY
        if not region.holder(first, n):
            return pb.CONFLICT, errno.ENXIO
        if len(region.runs) - 1 + len(region.pieces(first, n)) > MAX_REGION_EXTENTS:
            return pb.LIMIT, errno.EDQUOT
        splits = region.state == pb.ACTIVE and len(region.pieces(first, n)) == 2
        if region.require_pin and splits and domain.is_full_of_pins():
            return pb.LIMIT, errno.EDQUOT
        error = self._error_of_pieces(domain, region, first, n) if region.require_pin else 0
        if error:
            return pb.HYPERVISOR, error
        return (pb.STUCK, errno.EBUSY) if self._would_stick(domain, region, range(first, first + n)) else DONE

    def do_destroy_part(self, domain, region, first, n):
        """After it was not refused."""
        if region.runs == [(first, n)]:
            self.do_destroy(domain, region)
            return
        pieces = region.pieces(first, n)
        holder = region.holder(first, n)
        self._unpin(domain, region, [holder, *pieces])
        pinned = self._try_pins(domain, region, pieces if holder in region.pinned_runs else [])
        if self._put_back(domain, region, range(first, first + n)):
            region.state = pb.REGION_STUCK
            region.going = (first, n)
            return
        region.state = pb.ACTIVE
        region.going = None
        region.runs = runs_of(set(region.live()) - set(range(first, first + n)))
        region.pinned_runs = region.pinned_runs - {holder} | pinned
        for reader in region.readers:
            reader.owed.intersection_update(region.live())

    # ---- move ----

    def predict_move(self, asker, domain, region, vram):
        if vram >= MAX_GFN:
            return INVALID
        if not asker.sees(domain):
            return NOT_FOUND
        if region.state == pb.ACTIVE and vram == region.vram:
            return DONE
        if vram + region.nr_pages > MAX_GFN:
            return INVALID
        if region.state == pb.REGION_STUCK:
            return pb.CONFLICT, errno.EBUSY
        there = [(vram + first, n) for first, n in region.runs]
        if self._is_in_the_way(domain, there):
            return pb.CONFLICT, errno.EEXIST
        if self._has_raw_pin(domain, there):
            return pb.CONFLICT, errno.EBUSY
        if any(region.vram + page not in domain.frames for page in region.live()):
            return pb.CONFLICT, errno.ENXIO
        if any(vram + page in domain.frames for page in region.live()):
            return pb.CONFLICT, errno.EEXIST
        return DONE

    def do_move(self, domain, region, vram):
        """After it was not refused. The answer: a pin may still be, and then it is all undone."""
        if vram == region.vram:
            return DONE
        old = region.vram
        self._unpin(domain, region, region.runs)
        region.vram = vram
        error = self._pin(domain, region, region.runs) if region.require_pin else 0
        if error:
            self._unpin(domain, region, region.runs)
            region.vram = old
            region.pinned_runs = self._try_pins(domain, region, region.runs)
            return pb.HYPERVISOR, error
        if not region.require_pin:
            region.pinned_runs = self._try_pins(domain, region, region.runs)
        for page in region.live():
            domain.frames[vram + page] = domain.frames.pop(old + page)
        region.owe_all()
        return DONE

    # ---- what others do ----

    @staticmethod
    def do_write(domain, gfn):
        for region in domain.regions:
            page = region.page_of(gfn)
            if page is not None:
                region.owe([page])
        for tracked in domain.ranges:
            tracked.owe(gfn)
