# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Random operations of several clients, guests and toolstacks, with roles killed in between, against a small
reference model. What every request must be answered is predicted, and after every step the host must be as the
model says. XENVRAM_MODEL_SEED chooses another run, XENVRAM_MODEL_EXAMPLES how long it is.
"""

import errno
import os
import shutil
import tempfile
import time
import unittest

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import protocol
import xenvram_pb2 as pb
from guest import Host
from harness import CRASHES, REPORTS, Build, Daemon, is_alive, kill
from model import DONE, Domain, Model, Reader
from region_log import RegionLog
from sim_view import View
from waiting import SLOWNESS, wait_for

SEED = int(os.environ.get("XENVRAM_MODEL_SEED", "1"))
# A sanitized daemon is slower by the factor, so it gets fewer steps in the same time.
EXAMPLES = int(os.environ.get("XENVRAM_MODEL_EXAMPLES", str(int(300 / SLOWNESS))))
STEPS_AN_EXAMPLE = 50
MIN_STEPS = EXAMPLES * 10000 // 300  # a step that finds nothing to do is none

RAM_PAGES = 1000
VRAM = 0xF0000
N_CLIENTS = 3
DOMIDS = (1, 2)
PV_DOMID = 3
MAX_KILLS = 4  # of one role in an example: a child that keeps dying is started again ever later

indices = st.integers(0, 1000)  # which of those that there are
sizes = st.sampled_from((1, 5, 40, 63, 64, 65, 300))  # 300: more than one chunk of a relocation
vrams = st.one_of(
    st.integers(0, 12).map(lambda i: VRAM + 60 * i), st.sampled_from((0, 500, 980, (1 << 36) - 40, 1 << 63))
)
backings = st.one_of(
    st.integers(0, 15).map(lambda i: 16 + 60 * i), st.sampled_from((0, 960, VRAM, (1 << 36) - 1, (1 << 64) - 1))
)
offsets = st.integers(0, 299)


class Failure(AssertionError):
    pass


def expect(found, expected, what):
    if found != expected:
        raise Failure(f"{what}: expected {expected}, found {found}")


def as_answer(failed):
    return failed.status, failed.os_error


class Service(RuleBasedStateMachine):
    n_steps = 0
    build = host = view = directory = None  # of the whole test

    def __init__(self):
        super().__init__()
        cls = type(self)
        self.model = Model()
        self.daemon = Daemon(cls.build, cls.host, tempfile.mkdtemp(dir=cls.directory))
        self.daemon.start()
        self.clients = [protocol.Client(self.daemon.socket) for _ in range(N_CLIENTS)]
        self.readers = []
        self.dead_cookies = []
        self.broker_kills = 0
        for domid in DOMIDS:
            self.add_domain(domid)
        self.add_domain(PV_DOMID, pv=True)

    def add_domain(self, domid, pv=False):
        self.view.create_domain(domid, RAM_PAGES, pv)
        self.model.domains[domid] = Domain(domid, self.view.pages(domid), pv)

    def teardown(self):
        try:
            for reader in self.readers:
                self.check_reader(reader)
            if self.daemon.stop() != 0:
                raise Failure("xenvramd ended with an error")
        finally:
            self.daemon.end()
            for client in self.clients:
                client.close()
            for reader in self.readers:
                self.forget(reader)
            for domid in self.model.domains:
                self.view.destroy_domain(domid)
        log = self.daemon.log()
        if REPORTS.search(log) or CRASHES.search(log):
            raise Failure(f"a role crashed:\n{log}")

    # ---- picking ----

    def client(self, index):
        return self.clients[index % len(self.clients)]

    def has_region(self):
        return any(domain.regions for domain in self.model.domains.values())

    def pick_region(self, index):
        regions = self.model.regions()
        return regions[index % len(regions)]

    def expect_answer(self, expected, what, function, *arguments):
        """The reply, or None after the refusal that was expected."""
        type(self).n_steps += 1
        try:
            reply = function(*arguments)
        except protocol.Failed as failed:
            if as_answer(failed) != expected:
                raise Failure(f"{what}: expected {expected}, found {as_answer(failed)}: {failed.message}") from None
            return None
        expect(DONE, expected, what)
        return reply

    # ---- regions ----

    def request_creation(self, **fields):
        return pb.CreateRegion(domid=fields.pop("domid"), **fields)

    def create(self, client, request):
        expected, pinned = self.model.predict_create(request)
        reply = self.expect_answer(
            expected, f"create {request}", lambda: client.call("create_region", request).create_region
        )
        if reply is None or request.dry_run:
            if reply is not None:
                expect(reply.cookie, 0, "cookie of a dry run")
            return
        expect(reply.pinned, pinned, "pinned")
        self.model.do_create(request, reply.cookie, pinned)

    @rule(
        client=indices,
        domid=st.sampled_from((1, 1, 1, 2, 2, PV_DOMID, 9)),
        vram=vrams,
        backing=backings,
        nr_pages=st.one_of(sizes, sizes, sizes, st.sampled_from((0, 262144, 262145, 1 << 63))),
        cache_attr=st.integers(0, 5),
        require=st.booleans(),
        dry_run=st.sampled_from((False, False, False, True)),
    )
    def create_anything(self, client, domid, vram, backing, nr_pages, cache_attr, require, dry_run):
        request = pb.CreateRegion(
            domid=domid,
            vram_gfn=vram,
            backing_gfn=backing,
            nr_pages=nr_pages,
            cache_attr=cache_attr,
            require_cache_attr=require,
            dry_run=dry_run,
        )
        self.create(self.client(client), request)

    @rule(client=indices, domid=st.sampled_from(DOMIDS), slot=st.integers(0, 15), nr_pages=sizes, require=st.booleans())
    def create_something_good(self, client, domid, slot, nr_pages, require):
        """In a slot of its own, so that many come into being."""
        request = pb.CreateRegion(
            domid=domid,
            vram_gfn=VRAM + 60 * slot,
            backing_gfn=16 + 60 * slot,
            nr_pages=min(nr_pages, 60),
            require_cache_attr=require,
        )
        self.create(self.client(client), request)

    @rule(client=indices, domid=st.sampled_from(DOMIDS), first=st.integers(0, 1010), nr_pages=sizes)
    def adopt(self, client, domid, first, nr_pages):
        request = pb.CreateRegion(domid=domid, vram_gfn=first, nr_pages=nr_pages, adopt=True)
        self.create(self.client(client), request)

    def drop_readers(self, gone):
        for reader in gone:
            self.forget(reader)
            self.readers.remove(reader)

    @staticmethod
    def forget(reader):
        if reader.log:
            reader.log.close()
            reader.log = None

    def after_destruction(self, domain, region, was_removed):
        if was_removed:
            self.dead_cookies.append(region.cookie)
            self.drop_readers([r for r in self.readers if r.region is region])
        else:
            region.owe_all()

    @precondition(has_region)
    @rule(client=indices, which=indices)
    def destroy(self, client, which):
        domain, region = self.pick_region(which)
        expected = self.model.predict_destroy(domain, region)
        self.expect_answer(expected, f"destroy {region.cookie:#x}", self.client(client).destroy, region.cookie)
        self.model.do_destroy(domain, region)
        self.after_destruction(domain, region, region not in domain.regions)

    @precondition(has_region)
    @rule(client=indices, which=indices, first=offsets, nr_pages=st.sampled_from((1, 2, 10, 64, 270, 300)))
    def destroy_part(self, client, which, first, nr_pages):
        domain, region = self.pick_region(which)
        first %= region.nr_pages + 1
        if region.going and nr_pages > 2:
            first, nr_pages = region.going  # again
        expected = self.model.predict_destroy_part(domain, region, first, nr_pages)
        self.expect_answer(
            expected,
            f"destroy {first} + {nr_pages} of {region.cookie:#x}",
            lambda: self.client(client).destroy(region.cookie, first_page=first, nr_pages=nr_pages),
        )
        if expected in (DONE, (pb.STUCK, errno.EBUSY)):
            self.model.do_destroy_part(domain, region, first, nr_pages)
            self.after_destruction(domain, region, region not in domain.regions)

    @precondition(has_region)
    @rule(client=indices, which=indices, vram=st.one_of(vrams, st.integers(0, 40).map(lambda i: VRAM + 60 * i)))
    def move(self, client, which, vram):
        domain, region = self.pick_region(which)
        expected = self.model.predict_move(domain, region, vram)
        if expected == DONE:
            expected = self.model.do_move(domain, region, vram)
        self.expect_answer(
            expected, f"move {region.cookie:#x} to {vram:#x}", self.client(client).move, region.cookie, vram
        )

    @precondition(has_region)
    @rule(client=indices, which=indices)
    def map(self, client, which):
        domain, region = self.pick_region(which)
        places = {pb.AT_VRAM: region.vram, pb.AT_BACKING: region.backing}
        type(self).n_steps += 1
        seen = []
        for first, nr_pages, place, gfn in protocol.until_answered(lambda: self.client(client).map(region.cookie)):
            for page in range(first, first + nr_pages):
                seen.append(page)
                at = [p for p, base in places.items() if base + page in domain.frames]
                if region.adopted and pb.AT_BACKING in at:
                    at.remove(pb.AT_BACKING)
                expect(place, at[0] if len(at) == 1 else pb.CONTESTED if at else pb.MISSING, f"place of page {page}")
                if len(at) == 1:
                    expect(gfn + page - first, places[place] + page, f"gfn of page {page}")
        expect(seen, region.live(), "pages of a map")

    @precondition(lambda self: self.dead_cookies)
    @rule(client=indices, which=indices, operation=st.sampled_from(("destroy", "snapshot", "subscribe")))
    def use_a_dead_cookie(self, client, which, operation):
        cookie = self.dead_cookies[which % len(self.dead_cookies)]
        function = getattr(self.client(client), operation)
        self.expect_answer((pb.NOT_FOUND, errno.ENOENT), f"{operation} dead cookie {cookie:#x}", function, cookie)

    # ---- two at a time ----

    @rule(domid=st.sampled_from(DOMIDS), slot=st.integers(0, 12), shift=st.integers(0, 30), nr_pages=st.just(40))
    def create_two_that_overlap(self, domid, slot, shift, nr_pages):
        """Whoever is first has it, and the other one nothing."""
        requests = [
            pb.CreateRegion(
                domid=domid, vram_gfn=VRAM + 60 * slot + offset, backing_gfn=16 + 60 * slot + offset, nr_pages=nr_pages
            )
            for offset in (0, shift)
        ]
        predicted = [self.model.predict_create(request) for request in requests]
        type(self).n_steps += 2
        serials = [c.start("create_region", r) for c, r in zip(self.clients, requests)]
        replies = [c.finish(s)[0] for c, s in zip(self.clients, serials)]
        winners = [i for i, reply in enumerate(replies) if reply.status == pb.OK]
        if len(winners) > 1:
            raise Failure(f"two regions overlap: {requests}")
        if not winners and all(answer == DONE for answer, _ in predicted):
            raise Failure(f"neither was created: {replies}")
        for i in winners:
            expect(predicted[i][0], DONE, f"create {requests[i]}")
            self.model.do_create(requests[i], replies[i].create_region.cookie, replies[i].create_region.pinned)
            expect(replies[i].create_region.pinned, predicted[i][1], "pinned")

    @precondition(has_region)
    @rule(which=indices)
    def destroy_twice(self, which):
        domain, region = self.pick_region(which)
        expected = self.model.predict_destroy(domain, region)
        type(self).n_steps += 2
        request = pb.DestroyRegion(cookie=region.cookie)
        serials = [c.start("destroy_region", request) for c in self.clients[:2]]
        answers = [as_answer(c.finish(s)[0]) for c, s in zip(self.clients, serials)]
        refusals = ((pb.NOT_FOUND, errno.ENOENT), (pb.CONFLICT, errno.EBUSY))
        if expected == DONE and not (answers.count(DONE) == 1 and any(a in refusals for a in answers)):
            raise Failure(f"destroyed twice: {answers}")
        if expected != DONE and not all(a in (expected, refusals[1]) for a in answers):
            raise Failure(f"destroyed twice: {answers}")
        self.model.do_destroy(domain, region)
        self.after_destruction(domain, region, region not in domain.regions)

    # ---- reading ----

    @precondition(lambda self: self.has_region() and len(self.readers) < 12)
    @rule(client=indices, which=indices, period_us=st.sampled_from((0, 1000, 3000, 20000)))
    def subscribe(self, client, which, period_us):
        domain, region = self.pick_region(which)
        client = self.client(client)

        def subscribe():
            """A broker that has just started may not have the log yet, and says so."""
            return protocol.until_answered(lambda: client.subscribe(region.cookie, period_us))

        subscription = self.expect_answer(DONE, "subscribe", subscribe)
        expect(subscription.nr_pages, region.nr_pages, "pages of a subscription")
        log = RegionLog(subscription.log_fd)
        self.readers.append(Reader(domain, region, client, subscription, log))

    @precondition(lambda self: self.has_region() and len(self.readers) < 12)
    @rule(client=indices, which=indices)
    def follow_by_message(self, client, which):
        domain, region = self.pick_region(which)
        self.readers.append(Reader(domain, region, self.client(client)))

    @precondition(lambda self: self.readers)
    @rule(which=indices, by_whom=indices)
    def unsubscribe(self, which, by_whom):
        reader = self.readers[which % len(self.readers)]
        if reader.subscription:
            other = self.client(by_whom)
            if other is not reader.client:
                self.expect_answer((pb.NOT_FOUND, errno.ENOENT), "unsubscribe another's", other.unsubscribe, reader.subscription)
            self.expect_answer(DONE, "unsubscribe", reader.client.unsubscribe, reader.subscription)
        reader.region.readers.remove(reader)
        self.drop_readers([reader])

    def check_reader(self, reader):
        """After a poll nothing may be missing that the guest or a device model wrote before it."""
        type(self).n_steps += 1
        if reader.log:
            reader.client.snapshot(reader.region.cookie, 0, sync=True)
            pages, cursor = reader.log.scan(reader.cursor)
        else:
            pages, cursor = reader.client.snapshot(reader.region.cookie, reader.cursor, sync=True)
        lost = reader.owed.difference(pages)
        if lost:
            raise Failure(
                f"region {reader.region.cookie:#x}, {'log' if reader.log else 'message'} reader at "
                f"{reader.cursor}: lost pages {sorted(lost)[:20]} of {len(lost)}, generation {cursor}"
            )
        reader.take(pages, cursor)

    @precondition(lambda self: self.readers)
    @rule()
    def read(self):
        for reader in self.readers:
            self.check_reader(reader)

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

    @precondition(has_region)
    @rule(client=indices, which=indices, first=offsets, nr_pages=st.integers(1, 60), gap=st.integers(0, 5))
    def mark_dirty(self, client, which, first, nr_pages, gap):
        _, region = self.pick_region(which)
        first %= region.nr_pages
        runs = [(first, nr_pages), (first + nr_pages + gap, 1)]
        fits = first + nr_pages + gap < region.nr_pages
        request = pb.MarkDirty(cookie=region.cookie, runs=[pb.Run(first=f, nr_pages=n) for f, n in runs])
        self.expect_answer(
            DONE if fits else (pb.INVALID, errno.ERANGE), f"mark {runs}", self.client(client).call, "mark_dirty", request
        )
        if fits:
            region.owe(page for f, n in runs for page in range(f, f + n))

    @precondition(has_region)
    @rule(client=indices, which=indices)
    def refresh(self, client, which):
        _, region = self.pick_region(which)
        request = pb.Refresh(cookie=region.cookie)
        self.expect_answer(DONE, "refresh", self.client(client).call, "refresh", request)
        region.owe_all()

    # ---- guests, toolstacks, deaths ----

    @precondition(has_region)
    @rule(which=indices, pages=st.lists(offsets, min_size=1, max_size=10))
    def guest_writes(self, which, pages):
        type(self).n_steps += 1
        domain, region = self.pick_region(which)
        for page in pages:
            gfn = region.vram + page % region.nr_pages
            if gfn in domain.frames:
                self.view.write(domain.domid, gfn)
                self.model.do_write(domain, gfn)

    @precondition(has_region)
    @rule(which=indices, page=offsets, populate=st.booleans())
    def toolstack_changes_a_page(self, which, page, populate):
        """At backing, where pages are to come back to; or at vram, whose page is gone for good then."""
        domain, region = self.pick_region(which)
        page %= region.nr_pages
        if region.adopted or populate == (region.backing + page in domain.frames):
            return
        type(self).n_steps += 1
        gfn = region.backing + page
        if populate:
            self.view.populate(domain.domid, gfn)
            domain.frames[gfn] = self.view.pages(domain.domid)[gfn]
        else:
            self.view.depopulate(domain.domid, gfn)
            del domain.frames[gfn]

    @rule(domid=st.sampled_from(DOMIDS), slot=st.integers(0, 30), unpin=st.booleans())
    def toolstack_pins(self, domid, slot, unpin):
        """Ranges of 7 pages, which no region has: they are only ever in its way."""
        domain = self.model.domains[domid]
        pins = (VRAM + 30 * slot + 25, VRAM + 30 * slot + 31)
        if unpin and pins in domain.pins:
            type(self).n_steps += 1
            self.view.pin(domid, *pins, 0xFFFFFFFF)
            del domain.pins[pins]
        elif not unpin and self.model._pin_error(domain, pins) == 0:
            type(self).n_steps += 1
            self.view.pin(domid, *pins, 6)
            domain.pins[pins] = 6

    @rule(which=st.integers(0, N_CLIENTS - 1))
    def client_comes_back(self, which):
        """Its subscriptions end with its connection, its regions do not."""
        type(self).n_steps += 1
        old = self.clients[which]
        for reader in [r for r in self.readers if r.client is old]:
            reader.region.readers.remove(reader)
            self.drop_readers([reader])
        old.close()
        self.clients[which] = protocol.Client(self.daemon.socket)

    @rule(domid=st.sampled_from(DOMIDS))
    def kill_worker(self, domid):
        domain = self.model.domains[domid]
        pid = self.daemon.worker_pid(domid)
        if pid is None or domain.worker_kills >= MAX_KILLS:
            return
        type(self).n_steps += 1
        domain.worker_kills += 1
        kill(pid)
        wait_for(lambda: not is_alive(pid), "the worker dies")

    @precondition(lambda self: self.broker_kills < MAX_KILLS)
    @rule(also_worker=st.booleans())
    def kill_broker(self, also_worker):
        type(self).n_steps += 1
        self.broker_kills += 1
        pid = self.daemon.broker_pid()
        kill(pid)
        if also_worker:
            self.kill_worker(DOMIDS[0])
        wait_for(lambda: not is_alive(pid), "the broker dies")
        for client in self.clients:
            expect(len(client.take_events("restarted")), 1, "Restarted events")

    @rule(domid=st.sampled_from(DOMIDS), likely=st.integers(0, 4))
    def replace_domain(self, domid, likely):
        """It dies, and another one gets its domid."""
        if likely:
            return
        type(self).n_steps += 1
        domain = self.model.domains.pop(domid)
        self.view.destroy_domain(domid)
        cookies = [region.cookie for region in domain.regions]
        for region in list(domain.regions):
            self.after_destruction(domain, region, True)
        wait_for(
            lambda: not any(region.cookie in cookies for region in self.clients[0].regions()),
            "the regions of a dead domain go",
        )
        self.daemon.await_no_worker(domid)
        self.add_domain(domid)

    # ---- always ----

    @invariant()
    def host_is_as_the_model_says(self):
        for domain in self.model.domains.values():
            found = self.view.pages(domain.domid)
            if found != domain.frames:
                wrong = [hex(g) for g in sorted(set(found) | set(domain.frames)) if found.get(g) != domain.frames.get(g)]
                raise Failure(f"domain {domain.domid}: pages differ at {len(wrong)} gfns: {wrong[:10]}")
            expect(self.view.pins(domain.domid), domain.pins, f"pins of domain {domain.domid}")

    @invariant()
    def listing_is_as_the_model_says(self):
        expected = sorted(
            (r.cookie, d.domid, r.vram, r.backing, r.nr_pages, r.runs, r.cache_attr, r.state, r.adopted, r.pinned)
            for d, r in self.model.regions()
        )
        found = [
            (
                r.cookie,
                r.domid,
                r.vram_gfn,
                r.backing_gfn,
                r.nr_pages,
                [(run.first, run.nr_pages) for run in r.extents],
                r.cache_attr,
                r.state,
                r.adopted,
                r.pinned,
            )
            for r in self.clients[0].regions()
        ]
        expect(found, expected, "regions")


class ModelTest(unittest.TestCase):
    def test_against_the_model(self):
        directory = tempfile.mkdtemp(prefix="xenvram-model-")
        self.addCleanup(shutil.rmtree, directory)
        Service.directory = directory
        Service.build = Build(os.environ["XENVRAM_BUILD_DIR"])
        Service.host = Host(Service.build, os.path.join(directory, "host"))
        Service.view = View(Service.build, Service.host.path)
        self.addCleanup(Service.view.close)
        began = time.monotonic()
        run_state_machine_as_test(
            seed(SEED)(Service),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS_AN_EXAMPLE,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                print_blob=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
        print(f"{Service.n_steps} steps in {time.monotonic() - began:.0f} s, XENVRAM_MODEL_SEED={SEED}")
        self.assertGreaterEqual(Service.n_steps, MIN_STEPS)


if __name__ == "__main__":
    unittest.main()
