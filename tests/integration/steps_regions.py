# SPDX-License-Identifier: LGPL-2.1-or-later
"""Steps that create, destroy, move and map regions."""

import errno

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import protocol
import xenvram_pb2 as pb
from model import DONE, NOT_FOUND
from steps import DOMIDS, VRAM, Failure, Steps, as_answer, expect
from steps import askers, backings, domids, indices, offsets, sizes, vrams


def expect_map(runs, frames, places, pages):
    """`places`: {what the page is there, gfn of the first page}"""
    seen = []
    for first, nr_pages, place, gfn in runs:
        for page in range(first, first + nr_pages):
            seen.append(page)
            at = [p for p, base in places.items() if base + page in frames]
            expect(place, at[0] if len(at) == 1 else pb.CONTESTED if at else pb.MISSING, f"place of page {page}")
            if len(at) == 1:
                expect(gfn + page - first, places[place] + page, f"gfn of page {page}")
    expect(seen, pages, "pages of a map")


class RegionSteps(Steps):
    def create(self, client, request):
        expected, pinned = self.model.predict_create(client.asker, request)
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
        client=askers,
        domid=domids,
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
        self.create(self.clients[client], request)

    @rule(client=askers, domid=st.sampled_from(DOMIDS), slot=st.integers(0, 15), nr_pages=sizes, require=st.booleans())
    def create_something_good(self, client, domid, slot, nr_pages, require):
        """In a slot of its own, so that many come into being."""
        request = pb.CreateRegion(
            domid=domid,
            vram_gfn=VRAM + 60 * slot,
            backing_gfn=16 + 60 * slot,
            nr_pages=min(nr_pages, 60),
            require_cache_attr=require,
        )
        self.create(self.clients[client], request)

    @rule(client=askers, domid=st.sampled_from(DOMIDS), first=st.integers(0, 1010), nr_pages=sizes)
    def adopt(self, client, domid, first, nr_pages):
        request = pb.CreateRegion(domid=domid, vram_gfn=first, nr_pages=nr_pages, adopt=True)
        self.create(self.clients[client], request)

    def after_destruction(self, domain, region, was_removed):
        if was_removed:
            self.dead_cookies.append(region.cookie)
            self.drop_readers([r for r in self.readers if r.region is region])
        else:
            region.owe_all()

    @precondition(Steps.has_region)
    @rule(client=askers, which=indices)
    def destroy(self, client, which):
        domain, region = self.pick_region(which)
        client = self.clients[client]
        expected = self.model.predict_destroy(client.asker, domain, region)
        self.expect_answer(expected, f"destroy {region.cookie:#x}", client.destroy, region.cookie)
        if expected == NOT_FOUND:
            return
        self.model.do_destroy(domain, region)
        self.after_destruction(domain, region, region not in domain.regions)

    @precondition(Steps.has_region)
    @rule(client=askers, which=indices, first=offsets, nr_pages=st.sampled_from((1, 2, 10, 64, 270, 300)))
    def destroy_part(self, client, which, first, nr_pages):
        domain, region = self.pick_region(which)
        first %= region.nr_pages + 1
        if region.going and nr_pages > 2:
            first, nr_pages = region.going  # again
        client = self.clients[client]
        expected = self.model.predict_destroy_part(client.asker, domain, region, first, nr_pages)
        self.expect_answer(
            expected,
            f"destroy {first} + {nr_pages} of {region.cookie:#x}",
            lambda: client.destroy(region.cookie, first_page=first, nr_pages=nr_pages),
        )
        if expected in (DONE, (pb.STUCK, errno.EBUSY)):
            self.model.do_destroy_part(domain, region, first, nr_pages)
            self.after_destruction(domain, region, region not in domain.regions)

    @precondition(Steps.has_region)
    @rule(client=askers, which=indices, vram=st.one_of(vrams, st.integers(0, 40).map(lambda i: VRAM + 60 * i)))
    def move(self, client, which, vram):
        domain, region = self.pick_region(which)
        client = self.clients[client]
        expected = self.model.predict_move(client.asker, domain, region, vram)
        if expected == DONE:
            expected = self.model.do_move(domain, region, vram)
        self.expect_answer(expected, f"move {region.cookie:#x} to {vram:#x}", client.move, region.cookie, vram)

    @precondition(Steps.has_region)
    @rule(client=askers, which=indices)
    def map(self, client, which):
        domain, region = self.pick_region(which)
        client = self.clients[client]
        expected = DONE if client.asker.sees(domain) else NOT_FOUND
        what = f"map {region.cookie:#x}"
        runs = self.expect_answer(expected, what, protocol.until_answered, lambda: client.map(region.cookie))
        if runs is not None:
            places = {pb.AT_VRAM: region.vram}
            if not region.adopted:
                places[pb.AT_BACKING] = region.backing
            expect_map(runs, domain.frames, places, region.live())

    @precondition(lambda self: self.dead_cookies)
    @rule(client=askers, which=indices, operation=st.sampled_from(("destroy", "snapshot", "subscribe")))
    def use_a_dead_cookie(self, client, which, operation):
        cookie = self.dead_cookies[which % len(self.dead_cookies)]
        function = getattr(self.clients[client], operation)
        self.expect_answer(NOT_FOUND, f"{operation} dead cookie {cookie:#x}", function, cookie)

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
        predicted = [self.model.predict_create(c.asker, r) for c, r in zip(self.clients, requests)]
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

    @precondition(Steps.has_region)
    @rule(which=indices)
    def destroy_twice(self, which):
        domain, region = self.pick_region(which)
        expected = self.model.predict_destroy(self.clients[0].asker, domain, region)
        type(self).n_steps += 2
        request = pb.DestroyRegion(cookie=region.cookie)
        serials = [c.start("destroy_region", request) for c in self.clients[:2]]
        answers = [as_answer(c.finish(s)[0]) for c, s in zip(self.clients, serials)]
        refusals = (NOT_FOUND, (pb.CONFLICT, errno.EBUSY))
        if expected == DONE and not (answers.count(DONE) == 1 and any(a in refusals for a in answers)):
            raise Failure(f"destroyed twice: {answers}")
        if expected != DONE and not all(a in (expected, refusals[1]) for a in answers):
            raise Failure(f"destroyed twice: {answers}")
        self.model.do_destroy(domain, region)
        self.after_destruction(domain, region, region not in domain.regions)
