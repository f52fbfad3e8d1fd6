# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all random steps of the model-based test share: the service, the model, and who asks."""

import tempfile

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

import protocol
from harness import CRASHES, REPORTS, Daemon
from model import DONE, Domain, Model
from model_askers import Asker

RAM_PAGES = 1000
VRAM = 0xF0000
N_CLIENTS = 4  # the last one may be bound to a domain, the others are not
DOMIDS = (1, 2)
PV_DOMID = 3
NO_DOMID = 9
MAX_KILLS = 4  # of one role in an example: a child that keeps dying is started again ever later

indices = st.integers(0, 1000)  # which of those that there are
askers = st.sampled_from((0, 1, 2, N_CLIENTS - 1, N_CLIENTS - 1))
domids = st.sampled_from((1, 1, 1, 2, 2, PV_DOMID, NO_DOMID))
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


class Client(protocol.Client):
    def __init__(self, path, fd=None, asker=None):
        super().__init__(path, fd=fd)
        self.asker = asker or Asker()


class Steps(RuleBasedStateMachine):
    n_steps = 0
    build = host = view = directory = None  # of the whole test

    def __init__(self):
        super().__init__()
        cls = type(self)
        self.model = Model()
        self.daemon = Daemon(cls.build, cls.host, tempfile.mkdtemp(dir=cls.directory))
        self.daemon.start()
        self.clients = [Client(self.daemon.socket) for _ in range(N_CLIENTS)]
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
            self.check_all_readers()
            if self.daemon.stop() != 0:
                raise Failure("xenvramd ended with an error")
        finally:
            self.daemon.end()
            for client in self.clients:
                client.close()
            for reader in self.readers:
                reader.close_log()
            for domid in self.model.domains:
                self.view.destroy_domain(domid)
        log = self.daemon.log()
        if REPORTS.search(log) or CRASHES.search(log):
            raise Failure(f"a role crashed:\n{log}")

    # ---- picking ----

    def has_region(self):
        return any(domain.regions for domain in self.model.domains.values())

    def pick_region(self, index):
        regions = self.model.regions()
        return regions[index % len(regions)]

    # ---- judging ----

    def expect_answer(self, expected, what, function, *arguments):
        """The reply, or None after the refusal that was expected: an answer, or a set of those that there may be."""
        type(self).n_steps += 1
        allowed = expected if isinstance(expected, set) else {expected}
        try:
            reply = function(*arguments)
        except protocol.Failed as failed:
            if as_answer(failed) not in allowed:
                raise Failure(f"{what}: expected {expected}, found {as_answer(failed)}: {failed.message}") from None
            return None
        if DONE not in allowed:
            raise Failure(f"{what}: expected {expected}, found {DONE}")
        return reply
