# SPDX-License-Identifier: LGPL-2.1-or-later
"""Steps of connections: bound, handed on, closed, and what each is shown."""

import errno
import os

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import model_pins
import protocol
import xenvram_pb2 as pb
from model import DONE, MAX_DOMID
from people import as_user
from steps import DOMIDS, N_CLIENTS, NO_DOMID, PV_DOMID, Client, Failure, Steps, as_answer, askers, domids, expect

CAN_BIND = os.geteuid() == 0
STRANGER = 2000002


def as_listed(region):
    return (
        region.cookie,
        region.domid,
        region.vram_gfn,
        region.backing_gfn,
        region.nr_pages,
        [(run.first, run.nr_pages) for run in region.extents],
        region.cache_attr,
        region.state,
        region.adopted,
        region.pinned,
    )


class ClientSteps(Steps):
    def expected_regions(self, client, domid=None):
        return sorted(
            (r.cookie, d.domid, r.vram, r.backing, r.nr_pages, r.runs, r.cache_attr, r.state, r.adopted, r.pinned)
            for d, r in self.model.regions()
            if client.asker.sees(d) and domid in (None, d.domid)
        )

    def expect_regions(self, client, found, domid=None):
        expect([as_listed(region) for region in found], self.expected_regions(client, domid), "regions")

    def list_pins(self, client, domid):
        expected = model_pins.predict_list(self.model, client.asker, domid)
        found = self.expect_answer(expected, f"list pins of {domid}", client.pins, domid)
        if found is None:
            return
        domain = self.model.domains.get(domid)
        if not client.asker.sees(domain):
            domain = None
        stuck = [r.cookie for r in domain.regions if r.state == pb.REGION_STUCK] if domain else []
        for pin in found:
            expect(pin.settled, pin.cookie not in stuck, f"settled is pin {pin.first_gfn:#x}")
        listed = [(p.first_gfn, p.nr_pages, p.cache_attr, p.cookie) for p in found if p.settled]
        expect(listed, model_pins.listed(domain) if domain else [], f"pins of domain {domid}")

    @rule(client=askers, domid=domids)
    def look(self, client, domid):
        client = self.clients[client]
        self.expect_regions(client, client.regions())
        expected = client.asker.look(self.model, domid)
        found = self.expect_answer(expected, f"list regions of {domid}", client.regions, domid)
        if found is not None:
            self.expect_regions(client, found, domid)
        self.list_pins(client, domid)
        hidden = [d.domid for d in client.domains() if not client.asker.sees(self.model.domains.get(d.domid))]
        expect(hidden, [], "domains of others that are listed")

    @precondition(lambda self: CAN_BIND)
    @rule(domid=st.sampled_from((*DOMIDS, *DOMIDS, *DOMIDS, PV_DOMID, NO_DOMID, MAX_DOMID + 1)))
    def bind(self, domid):
        client = self.clients[-1]
        expected = client.asker.predict_bind(self.model, domid, self.follows(client))
        if self.expect_answer(expected, f"bind to {domid}", client.bind, domid) and not client.asker.domain:
            client.asker.domain = self.model.domains[domid]
            self.drop_all_of(client)  # it has told the daemon of none

    @rule(index=askers)
    def hand_on(self, index):
        """The descriptor of a connection: whoever gets it begins with Hello, which is for those that are bound."""
        type(self).n_steps += 1
        old = self.clients[index]
        fd = os.dup(old.fileno())
        try:
            new = Client(None, fd=fd, asker=old.asker)
        except protocol.Failed as failed:
            expect(old.asker.domain, None, "the domain of a connection with a second Hello refused")
            expect(as_answer(failed), (pb.INVALID, errno.EPROTO), "a second Hello")
            self.replace_client(index)
            return
        if old.asker.domain is None:
            raise Failure("a second Hello of a connection that is not bound")
        for follower in [*self.readers, *self.ranges()]:
            if follower.client is old:
                follower.client = new
        old.close()
        self.clients[index] = new

    @precondition(lambda self: CAN_BIND)
    @rule(index=askers)
    def lend(self, index):
        """To a process of a stranger: only what is bound is of use to it."""
        type(self).n_steps += 1
        client = self.clients[index]
        serial = 1 << 62  # far from those of our requests

        def use():
            with protocol.Connection(None, fd=os.dup(client.fileno())) as lent:
                lent.send("list_regions", pb.ListRegions(), serial=serial)
                reply = pb.Reply()
                while reply.serial != serial:
                    reply = lent.receive()[0].reply
                return as_answer(reply), [as_listed(region) for region in reply.list_regions.regions]

        answer, found = as_user(STRANGER, use).value
        bound = client.asker.domain is not None
        expect(answer, DONE if bound else (pb.PERMISSION_DENIED, errno.EPERM), "a stranger's list")
        expect(found, self.expected_regions(client) if bound else [], "what a stranger is shown")

    def replace_client(self, index):
        """Its subscriptions end with its connection, its regions do not."""
        old = self.clients[index]
        self.drop_all_of(old)
        old.close()
        self.clients[index] = Client(self.daemon.socket)

    @rule(index=st.integers(0, N_CLIENTS - 1))
    def client_comes_back(self, index):
        type(self).n_steps += 1
        self.replace_client(index)
