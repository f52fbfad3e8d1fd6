# SPDX-License-Identifier: LGPL-2.1-or-later
"""Steps of toolstacks, and of whatever dies: roles of the daemon, at rest and at work, and domains."""

import errno
import time

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import model_moves
import model_pins
import protocol
import xenvram_pb2 as pb
from harness import is_alive, kill
from model import DONE, NOT_FOUND
from steps import DOMIDS, MAX_KILLS, VRAM, Failure, Steps, as_answer, askers, expect, indices, offsets
from steps_raw import FREE_RAM, HOLES, PINS
from waiting import PATIENCE_S, wait_for


class ToolstackSteps(Steps):
    @precondition(Steps.has_region)
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
        if pins in domain.raw_pins:
            return
        if unpin and pins in domain.pins:
            type(self).n_steps += 1
            self.view.pin(domid, *pins, 0xFFFFFFFF)
            del domain.pins[pins]
        elif not unpin and self.model.pin_error(domain, pins) == 0:
            type(self).n_steps += 1
            self.view.pin(domid, *pins, 6)
            domain.pins[pins] = 6


class DeathSteps(Steps):
    def may_die(self, role, domid):
        """The pid, if there is one and it may be killed once more."""
        if role == "broker":
            return self.daemon.broker_pid() if self.broker_kills < MAX_KILLS else None
        return self.daemon.worker_pid(domid) if self.model.domains[domid].worker_kills < MAX_KILLS else None

    def kill_role(self, role, domid, pid):
        kill(pid)
        if role == "broker":
            self.broker_kills += 1
        else:
            self.model.domains[domid].worker_kills += 1

    def after_broker_death(self):
        """Every connection hears of it, and what they have tracked is forgotten."""
        for client in self.clients:
            expect(len(client.take_events("restarted")), 1, "Restarted events")
        for tracked in self.ranges():
            tracked.held = False

    @rule(domid=st.sampled_from(DOMIDS))
    def kill_worker(self, domid):
        pid = self.may_die("worker", domid)
        if pid is None:
            return
        type(self).n_steps += 1
        self.kill_role("worker", domid, pid)
        wait_for(lambda: not is_alive(pid), "the worker dies")

    @precondition(lambda self: self.broker_kills < MAX_KILLS)
    @rule(also_worker=st.booleans())
    def kill_broker(self, also_worker):
        type(self).n_steps += 1
        pid = self.daemon.broker_pid()
        self.kill_role("broker", None, pid)
        if also_worker:
            self.kill_worker(DOMIDS[0])
        wait_for(lambda: not is_alive(pid), "the broker dies")
        self.after_broker_death()

    def ask_and_kill(self, client, operation, request, role, delay_us):
        """
        (the answer, was it asked again?) What a death leaves open is asked again until there is no doubt: what was
        to go away is not found then.
        """
        pid = self.may_die(role, request.domid)
        serial = client.start(operation, request)
        time.sleep(delay_us / 1e6)
        if pid:
            self.kill_role(role, request.domid, pid)
        unclear = (None, (pb.RETRY, errno.EAGAIN), (pb.CONFLICT, errno.EBUSY))  # EBUSY: it is still at it
        asked_again = False
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = as_answer(client.finish(serial)[0])
            except protocol.Restarted:
                answer = None
            if answer not in unclear:
                break
            if time.monotonic() > deadline:
                raise Failure(f"{operation} {request}: {answer} for {PATIENCE_S} s")
            time.sleep(0.001)
            asked_again = True
            serial = client.start(operation, request)
        if pid and role == "broker":
            wait_for(lambda: not is_alive(pid), "the broker dies")
            self.after_broker_death()
        return answer, asked_again

    @rule(
        client=askers,
        domid=st.sampled_from(DOMIDS),
        slot=st.integers(0, 6),
        unpin=st.booleans(),
        role=st.sampled_from(("worker", "broker")),
        delay_us=st.integers(0, 1500),
    )
    def die_at_a_pin(self, client, domid, slot, unpin, role, delay_us):
        """It is as if nothing had died."""
        client = self.clients[client]
        operation, request = "pin_cacheattr", pb.PinCacheattr(cache_attr=slot % 6)
        predict, do = model_pins.predict_pin, model_pins.do_pin
        if unpin:
            operation, request = "unpin_cacheattr", pb.UnpinCacheattr()
            predict, do = model_pins.predict_unpin, model_pins.do_unpin
        request.domid, request.first_gfn, request.nr_pages = domid, PINS + 3 * slot, 2
        if predict(self.model, client.asker, request) not in (DONE, {DONE}):
            return
        type(self).n_steps += 1
        answer, asked_again = self.ask_and_kill(client, operation, request, role, delay_us)
        if answer != DONE and not (unpin and asked_again and answer == NOT_FOUND):
            raise Failure(f"{operation} {request}, while the {role} died: {answer}")
        do(self.model, request)

    @rule(
        client=askers,
        domid=st.sampled_from(DOMIDS),
        source=st.sampled_from((FREE_RAM, FREE_RAM + 20, HOLES)),
        destination=st.sampled_from((FREE_RAM, HOLES, HOLES + 0x1000)),
        force=st.booleans(),
        role=st.sampled_from(("worker", "broker")),
        delay_us=st.integers(0, 1500),
    )
    def die_at_a_move(self, client, domid, source, destination, force, role, delay_us):
        """All pages are moved, or none: then asking again moves them."""
        client = self.clients[client]
        request = pb.MoveRam(domid=domid, source_gfn=source, destination_gfn=destination, nr_pages=20, force=force)
        if model_moves.predict_move_ram(self.model, client.asker, request) != DONE:
            return
        type(self).n_steps += 1
        answer, asked_again = self.ask_and_kill(client, "move_ram", request, role, delay_us)
        if answer != DONE and not (asked_again and answer == (pb.CONFLICT, errno.ENXIO)):
            raise Failure(f"move RAM {request}, while the {role} died: {answer}")
        expect(model_moves.do_move_ram(self.model, request), DONE, "a move again")

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
        wait_for(lambda: not self.clients[0].pins(domid), "the pins of a dead domain go")
        self.daemon.await_no_worker(domid)
        self.add_domain(domid)
