# SPDX-License-Identifier: LGPL-2.1-or-later
"""Steps of those who follow what the guest writes, and of the guest that writes."""

import errno

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import protocol
import xenvram_pb2 as pb
from model import DONE, NOT_FOUND
from model_readers import Reader, TrackedRange, find_range, predict_track
from region_log import RegionLog
from steps import DOMIDS, VRAM, Failure, Steps, askers, backings, domids, expect, indices, offsets, sizes, vrams


class ReaderSteps(Steps):
    def ranges(self):
        return [tracked for domain in self.model.domains.values() for tracked in domain.ranges]

    def follows(self, client):
        """Does the daemon know of anything that this connection follows?"""
        return any(r.subscription and r.client is client for r in self.readers) or any(
            r.held and r.client is client for r in self.ranges()
        )

    def drop_readers(self, gone):
        for reader in gone:
            reader.close_log()
            reader.region.readers.remove(reader)
            self.readers.remove(reader)

    def drop_all_of(self, client):
        """What it follows ends with the connection."""
        self.drop_readers([r for r in self.readers if r.client is client])
        for domain in self.model.domains.values():
            domain.ranges = [r for r in domain.ranges if r.client is not client]

    def take(self, what, reader, pages, cursor):
        """After a poll nothing may be missing that the guest or a device model wrote before it."""
        lost = reader.owed.difference(pages)
        if lost:
            pages = f"{sorted(lost)[:20]} of {len(lost)}"
            raise Failure(f"{what}, read from {reader.cursor} to {cursor}: lost pages {pages}")
        reader.take(pages, cursor)

    def check_reader(self, reader):
        type(self).n_steps += 1
        cookie = reader.region.cookie
        if reader.log:
            reader.client.snapshot(cookie, 0, sync=True)
            self.take(f"log of {cookie:#x}", reader, *reader.log.scan(reader.cursor))
        else:
            self.take(f"region {cookie:#x}", reader, *reader.client.snapshot(cookie, reader.cursor, sync=True))

    def track(self, client, domid, first_gfn, nr_pages):
        expected = predict_track(self.model, client, domid, first_gfn, nr_pages)
        tracked = find_range(self.model, client, domid, first_gfn, nr_pages)
        since = tracked.cursor if tracked else 0
        what = f"range {first_gfn:#x} + {nr_pages} of domain {domid}"

        def ask():
            return protocol.until_answered(lambda: client.track_dirty(domid, first_gfn, nr_pages, since))

        read = self.expect_answer(expected, what, ask)
        if read is None:
            return
        domain = self.model.domains.get(domid)
        if nr_pages == 0:
            if domain:
                domain.ranges = [r for r in domain.ranges if r.client is not client]
            return
        if tracked is None:
            tracked = TrackedRange(domain, client, first_gfn, nr_pages)
            domain.ranges.append(tracked)
        tracked.held = True
        self.take(what, tracked, *read)

    def check_range(self, tracked):
        self.track(tracked.client, tracked.domain.domid, tracked.first_gfn, tracked.nr_pages)

    def check_all_readers(self):
        for reader in self.readers:
            self.check_reader(reader)
        for tracked in self.ranges():
            self.check_range(tracked)

    # ---- regions ----

    @precondition(lambda self: self.has_region() and len(self.readers) < 12)
    @rule(client=askers, which=indices, period_us=st.sampled_from((0, 1000, 3000, 20000)))
    def subscribe(self, client, which, period_us):
        domain, region = self.pick_region(which)
        client = self.clients[client]

        def subscribe():
            """A broker that has just started may not have the log yet, and says so."""
            return protocol.until_answered(lambda: client.subscribe(region.cookie, period_us))

        expected = DONE if client.asker.sees(domain) else NOT_FOUND
        subscription = self.expect_answer(expected, f"subscribe to {region.cookie:#x}", subscribe)
        if subscription is None:
            return
        expect(subscription.nr_pages, region.nr_pages, "pages of a subscription")
        log = RegionLog(subscription.log_fd)
        self.readers.append(Reader(domain, region, client, subscription, log))

    @precondition(lambda self: self.has_region() and len(self.readers) < 12)
    @rule(client=askers, which=indices)
    def follow_by_message(self, client, which):
        domain, region = self.pick_region(which)
        client = self.clients[client]
        if client.asker.sees(domain):
            self.readers.append(Reader(domain, region, client))
        else:
            self.expect_answer(NOT_FOUND, "snapshot of another's", client.snapshot, region.cookie)

    @precondition(lambda self: self.readers)
    @rule(which=indices, by_whom=askers)
    def unsubscribe(self, which, by_whom):
        reader = self.readers[which % len(self.readers)]
        if reader.subscription:
            other = self.clients[by_whom]
            if other is not reader.client:
                self.expect_answer(NOT_FOUND, "unsubscribe another's", other.unsubscribe, reader.subscription)
            self.expect_answer(DONE, "unsubscribe", reader.client.unsubscribe, reader.subscription)
        self.drop_readers([reader])

    @precondition(lambda self: self.readers or self.ranges())
    @rule()
    def read(self):
        self.check_all_readers()

    @precondition(lambda self: self.readers)
    @rule(which=indices)
    def glance(self, which):
        """What happens to be there: it counts as read, the rest must still come."""
        reader = self.readers[which % len(self.readers)]
        type(self).n_steps += 1
        if reader.log:
            reader.take(*reader.log.scan(reader.cursor))
        else:
            reader.take(*reader.client.snapshot(reader.region.cookie, reader.cursor))

    @precondition(Steps.has_region)
    @rule(client=askers, which=indices, first=offsets, nr_pages=st.integers(1, 60), gap=st.integers(0, 5))
    def mark_dirty(self, client, which, first, nr_pages, gap):
        domain, region = self.pick_region(which)
        client = self.clients[client]
        first %= region.nr_pages
        runs = [(first, nr_pages), (first + nr_pages + gap, 1)]
        fits = first + nr_pages + gap < region.nr_pages
        request = pb.MarkDirty(cookie=region.cookie, runs=[pb.Run(first=f, nr_pages=n) for f, n in runs])
        expected = DONE if fits else (pb.INVALID, errno.ERANGE)
        if not client.asker.sees(domain):
            expected = NOT_FOUND
        self.expect_answer(expected, f"mark {runs} of {region.cookie:#x}", client.call, "mark_dirty", request)
        if expected == DONE:
            region.owe(page for f, n in runs for page in range(f, f + n))

    @precondition(Steps.has_region)
    @rule(client=askers, which=indices)
    def refresh(self, client, which):
        domain, region = self.pick_region(which)
        client = self.clients[client]
        expected = DONE if client.asker.sees(domain) else NOT_FOUND
        request = pb.Refresh(cookie=region.cookie)
        if self.expect_answer(expected, f"refresh {region.cookie:#x}", client.call, "refresh", request):
            region.owe_all()

    # ---- any range ----

    @rule(
        client=askers,
        domid=domids,
        first=st.one_of(vrams, backings),
        nr_pages=st.one_of(sizes, sizes, sizes, st.sampled_from((0, 262145, 1 << 63))),
    )
    def track_anything(self, client, domid, first, nr_pages):
        self.track(self.clients[client], domid, first, nr_pages)

    @rule(
        client=askers,
        domid=st.sampled_from(DOMIDS),
        first=st.sampled_from((VRAM, VRAM + 60, VRAM + 120, 100, 600)),
        nr_pages=st.sampled_from((60, 200)),
    )
    def track_something_good(self, client, domid, first, nr_pages):
        """Where regions are, so that both are told of the same writes, or RAM."""
        self.track(self.clients[client], domid, first, nr_pages)

    @precondition(lambda self: self.ranges())
    @rule(which=indices)
    def track_again(self, which):
        ranges = self.ranges()
        self.check_range(ranges[which % len(ranges)])

    @precondition(lambda self: self.ranges())
    @rule(which=indices)
    def end_tracking(self, which):
        ranges = self.ranges()
        tracked = ranges[which % len(ranges)]
        self.track(tracked.client, tracked.domain.domid, 0, 0)

    # ---- the guest ----

    @precondition(Steps.has_region)
    @rule(which=indices, pages=st.lists(offsets, min_size=1, max_size=10))
    def guest_writes(self, which, pages):
        type(self).n_steps += 1
        domain, region = self.pick_region(which)
        for page in pages:
            gfn = region.vram + page % region.nr_pages
            if gfn in domain.frames:
                self.view.write(domain.domid, gfn)
                self.model.do_write(domain, gfn)

    @precondition(lambda self: self.ranges())
    @rule(which=indices, pages=st.lists(offsets, min_size=1, max_size=10))
    def guest_writes_in_a_range(self, which, pages):
        ranges = self.ranges()
        tracked = ranges[which % len(ranges)]
        domain = tracked.domain
        there = sorted(gfn for gfn in domain.frames if 0 <= gfn - tracked.first_gfn < tracked.nr_pages)
        if not there:
            return
        type(self).n_steps += 1
        for page in pages:
            gfn = there[page % len(there)]
            self.view.write(domain.domid, gfn)
            self.model.do_write(domain, gfn)
