# SPDX-License-Identifier: LGPL-2.1-or-later
"""Steps that pin and move what is no region's."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import model_moves
import model_pins
import protocol
import xenvram_pb2 as pb
from model import DONE, MAX_PINS
from steps import DOMIDS, PV_DOMID, RAM_PAGES, VRAM, Steps, askers, backings, domids, indices, sizes, vrams
from steps_regions import expect_map

HOLES = 0xE0000
PINS = VRAM - 400
FREE_RAM = 940  # from here on there is RAM that is hardly ever a region's backing

attrs = st.integers(0, 5)
places = st.one_of(vrams, backings, st.integers(0, 9).map(lambda i: HOLES + 30 * i))
small = st.integers(1, 30)


class PinSteps(Steps):
    def pin(self, client, request):
        expected = model_pins.predict_pin(self.model, client.asker, request)
        if self.expect_answer(expected, f"pin {request}", client.call, "pin_cacheattr", request):
            model_pins.do_pin(self.model, request)

    def unpin(self, client, request):
        expected = model_pins.predict_unpin(self.model, client.asker, request)
        if self.expect_answer(expected, f"unpin {request}", client.call, "unpin_cacheattr", request):
            model_pins.do_unpin(self.model, request)

    def raw_pins(self):
        """[(domid, first gfn, pages)]"""
        return [(d.domid, a, b - a + 1) for d in self.model.domains.values() for a, b in sorted(d.raw_pins)]

    @rule(
        client=askers,
        domid=domids,
        first=places,
        nr_pages=st.one_of(sizes, st.sampled_from((0, 1 << 35, 1 << 63))),
        attr=attrs,
    )
    def pin_anything(self, client, domid, first, nr_pages, attr):
        request = pb.PinCacheattr(domid=domid, first_gfn=first, nr_pages=nr_pages, cache_attr=attr)
        self.pin(self.clients[client], request)

    @rule(client=askers, domid=st.sampled_from(DOMIDS), slot=st.integers(0, 100), attr=attrs)
    def pin_some(self, client, domid, slot, attr):
        request = pb.PinCacheattr(domid=domid, first_gfn=PINS + 3 * slot, nr_pages=2, cache_attr=attr)
        self.pin(self.clients[client], request)

    @rule(domid=st.sampled_from(DOMIDS), n_left=st.integers(-1, 2))
    def pin_until_few_are_left(self, domid, n_left):
        """Regions need some of them, too. It counts as one step."""
        before = self.n_steps
        domain = self.model.domains[domid]
        slots = (PINS + 3 * slot for slot in range(100))
        free = [gfn for gfn in slots if (gfn, gfn + 1) not in domain.raw_pins]
        for gfn in free[: max(0, MAX_PINS - n_left - domain.n_pins_used())]:
            self.pin(self.clients[0], pb.PinCacheattr(domid=domid, first_gfn=gfn, nr_pages=2))
        type(self).n_steps = before + 1

    @precondition(lambda self: self.raw_pins())
    @rule(client=askers, which=indices, attr=attrs, grow=st.sampled_from((0, 0, 0, 1)))
    def pin_again(self, client, which, attr, grow):
        pins = self.raw_pins()
        domid, first, n = pins[which % len(pins)]
        request = pb.PinCacheattr(domid=domid, first_gfn=first, nr_pages=n + grow, cache_attr=attr)
        self.pin(self.clients[client], request)

    @precondition(lambda self: self.raw_pins())
    @rule(client=askers, which=indices, off=st.sampled_from((0, 0, 0, 0, 1)), shrink=st.sampled_from((0, 0, 0, 0, 1)))
    def unpin_some(self, client, which, off, shrink):
        pins = self.raw_pins()
        domid, first, n = pins[which % len(pins)]
        request = pb.UnpinCacheattr(domid=domid, first_gfn=first + off, nr_pages=n - shrink)
        self.unpin(self.clients[client], request)

    @rule(client=askers, domid=domids, first=places, nr_pages=sizes)
    def unpin_anything(self, client, domid, first, nr_pages):
        self.unpin(self.clients[client], pb.UnpinCacheattr(domid=domid, first_gfn=first, nr_pages=nr_pages))


class MoveSteps(Steps):
    moved = ()  # (domid, source, destination, pages): to be taken back some time

    def move_ram(self, client, request):
        expected = model_moves.predict_move_ram(self.model, client.asker, request)
        if expected == DONE:
            expected = model_moves.do_move_ram(self.model, request)
        what = f"move RAM {request}"

        def move():
            """RETRY: it was undone."""
            return protocol.until_answered(lambda: client.call("move_ram", request))

        if self.expect_answer(expected, what, move):
            back = (request.domid, request.destination_gfn, request.source_gfn, request.nr_pages)
            self.moved = [*self.moved, back][-8:]

    @rule(
        client=askers,
        domid=domids,
        source=places,
        destination=places,
        nr_pages=st.one_of(sizes, st.sampled_from((0, 262145, 1 << 63))),
        force=st.booleans(),
    )
    def move_anything(self, client, domid, source, destination, nr_pages, force):
        request = pb.MoveRam(
            domid=domid, source_gfn=source, destination_gfn=destination, nr_pages=nr_pages, force=force
        )
        self.move_ram(self.clients[client], request)

    @rule(
        client=askers,
        domid=st.sampled_from(DOMIDS),
        offset=st.integers(0, RAM_PAGES - FREE_RAM),
        destination=st.one_of(places, st.integers(FREE_RAM, RAM_PAGES + 30)),
        nr_pages=small,
        force=st.booleans(),
    )
    def move_something_good(self, client, domid, offset, destination, nr_pages, force):
        request = pb.MoveRam(
            domid=domid, source_gfn=FREE_RAM + offset, destination_gfn=destination, nr_pages=nr_pages, force=force
        )
        self.move_ram(self.clients[client], request)

    @precondition(lambda self: self.moved)
    @rule(client=askers, which=indices, force=st.booleans())
    def move_back(self, client, which, force):
        domid, source, destination, n = self.moved[which % len(self.moved)]
        request = pb.MoveRam(
            domid=domid, source_gfn=source, destination_gfn=destination, nr_pages=n, force=force
        )
        self.move_ram(self.clients[client], request)

    @precondition(Steps.has_region)
    @rule(client=askers, which=indices, destination=places, force=st.sampled_from((False, False, True)))
    def move_by_backing(self, client, which, destination, force):
        """The pages of a region, called by the gfns that they came from."""
        domain, region = self.pick_region(which)
        request = pb.MoveRam(
            domid=domain.domid,
            source_gfn=region.backing,
            destination_gfn=destination,
            nr_pages=region.nr_pages,
            force=force,
        )
        self.move_ram(self.clients[client], request)

    @rule(client=askers, domid=st.sampled_from((*DOMIDS, PV_DOMID)), source=places, destination=places, nr_pages=sizes)
    def map_ram(self, client, domid, source, destination, nr_pages):
        client = self.clients[client]
        request = pb.MapRam(domid=domid, source_gfn=source, destination_gfn=destination, nr_pages=nr_pages)
        expected = model_moves.predict_map_ram(self.model, client.asker, request)

        def ask():
            return protocol.until_answered(lambda: client.map_ram(domid, source, destination, nr_pages))

        runs = self.expect_answer(expected, f"map RAM {request}", ask)
        if runs is not None:
            ends = {pb.AT_VRAM: destination, pb.AT_BACKING: source}
            expect_map(runs, self.model.domains[domid].frames, ends, list(range(nr_pages)))

    @rule(domid=st.sampled_from(DOMIDS))
    def toolstack_gives_ram(self, domid):
        """For what was dropped, or is elsewhere now."""
        domain = self.model.domains[domid]
        missing = [gfn for gfn in range(FREE_RAM, RAM_PAGES) if gfn not in domain.frames]
        if not missing:
            return
        type(self).n_steps += 1
        for gfn in missing:
            self.view.populate(domid, gfn)
        frames = self.view.pages(domid)
        domain.frames.update((gfn, frames[gfn]) for gfn in missing)
