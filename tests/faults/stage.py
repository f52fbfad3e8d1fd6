# SPDX-License-Identifier: LGPL-2.1-or-later
"""A simulated host with one domain, and daemons on it whose every step can be held."""

import errno
import mmap
import os
import subprocess
import time

import protocol
import xenvram_pb2 as pb
from guest import Host, end_with_us
from harness import Build, Daemon, is_alive, kill
from sim_view import View
from waiting import PATIENCE_S

DOMID = 1
RAM_PAGES = 560

ROLES = ("supervisor", "broker", "worker")
MOMENTS = ("before", "after")


class Violation(Exception):
    """Something is not as it must be."""


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise Violation(f"{what}: not within {PATIENCE_S:.0f} s")
        time.sleep(0.0002)


class Steps:
    """The test's side of tests/faults/steps.h."""

    _WORDS = 15
    _ACTION, _ROLE, _MOMENT, _COUNTDOWN, _HELD, _HELD_PID, _RELEASE, _PIDS, _COUNTS = 0, 1, 2, 3, 4, 5, 6, 7, 10
    _UNWRITABLE_FROM, _UNWRITTEN_AT = 13, 14
    HOLD, FAIL = 1, 3

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(4 * self._WORDS)
            self._map = mmap.mmap(file.fileno(), 4 * self._WORDS)
        os.chmod(path, 0o666)
        self._words = memoryview(self._map).cast("I")

    def pid(self, role):
        return self._words[self._PIDS + ROLES.index(role)]

    def count(self, role):
        return self._words[self._COUNTS + ROLES.index(role)]

    def arm(self, role, moment, nth, action=HOLD):
        """Upon the nth step from now on; of the writes to the journal, if one is to fail."""
        self._words[self._ACTION] = 0
        self._words[self._ROLE] = ROLES.index(role)
        self._words[self._MOMENT] = MOMENTS.index(moment)
        self._words[self._COUNTDOWN] = nth
        self._words[self._ACTION] = action

    def countdown(self):
        return self._words[self._COUNTDOWN]

    def was_struck(self):
        return not self._words[self._ACTION]

    def disarm(self):
        self._words[self._ACTION] = 0

    def fail_writes(self, nth):
        """To the journal, from the nth one from now on."""
        self._words[self._UNWRITABLE_FROM] = nth

    def write_again(self):
        self._words[self._UNWRITABLE_FROM] = 0

    def unwritten_at(self):
        """The broker's count of steps at the first of these; 0: none has failed."""
        return self._words[self._UNWRITTEN_AT]

    def held(self):
        return self._words[self._HELD] > self._words[self._RELEASE]

    def held_pid(self):
        return self._words[self._HELD_PID]

    def release(self):
        self._words[self._RELEASE] = self._words[self._HELD]

    def begin(self):
        for i in range(self._WORDS):
            self._words[i] = 0

    def close(self):
        self._words.release()
        self._map.close()


class Stage:
    def __init__(self, build_directory, directory, xen, mode):
        self.build = Build(build_directory)
        self.directory = directory
        self.host = Host(self.build, os.path.join(directory, "host"), xen=xen, mode=mode, frames=8 * RAM_PAGES)
        self.view = View(self.build, self.host.path)
        self.steps = Steps(os.path.join(directory, "steps"))
        self.daemon = None
        self.looks_at_tracking = False
        self.uuid = None
        self.n_supervisors = self.client_of = 0
        self.clients = []  # the last one is connected to the last supervisor
        self.n_daemons = 0
        self.strangers = {}  # {gfn: frame} of pages that are nobody's business
        self.add_domain()

    def close(self):
        self.end_daemon()
        self.steps.close()
        self.view.close()

    # ---- the domain ----

    def add_domain(self):
        """A dead one of the same domid goes as soon as nobody has a page of it."""

        def added():
            try:
                self.uuid = self.view.create_domain(DOMID, RAM_PAGES)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise
                return False
            return True

        wait_until(added, "the domid can be used again")
        self.home = self.view.pages(DOMID)

    def add_stranger(self, gfn):
        self.view.populate(DOMID, gfn)
        self.strangers[gfn] = self.view.pages(DOMID)[gfn]

    def clear_way(self):
        """Of failures and of strangers."""
        self.view.clear_faults()
        for gfn in self.strangers:
            self.view.depopulate(DOMID, gfn)
        self.strangers.clear()

    def begin_death(self):
        self.view.begin_death(DOMID)

    def kill_domain(self):
        self.view.destroy_domain(DOMID)

    # ---- the daemon ----

    def new_daemon(self):
        """A fresh one, on a domain as it was born: journal and counts of restarts begin anew."""
        self.end_daemon()
        self.clear_way()
        if self.view.pages(DOMID) != self.home or self.view.pins(DOMID):
            self.kill_domain()
            self.add_domain()
        self.n_daemons += 1
        directory = os.path.join(self.directory, f"daemon-{self.n_daemons}")
        os.mkdir(directory, 0o755)
        self.steps.begin()
        self.daemon = Daemon(self.build, self.host, directory)
        library = os.path.join(self.build.directory, "tests/faults/libsteps.so")
        self.daemon.environment.update(
            LD_PRELOAD=library,
            XENVRAM_STEPS=os.path.join(self.directory, "steps"),
            ASAN_OPTIONS="verify_asan_link_order=0",
        )
        self.daemon.start()
        self.log_begins = 0
        self.n_supervisors = 1
        self.await_service()

    def start_supervisor(self):
        """Where one was killed: another one in the same directory."""
        self.log_begins = len(self.daemon.log())
        with open(self.daemon.log_path, "ab") as log:
            self.daemon.process = subprocess.Popen(
                self.daemon.command,
                env=self.daemon.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_us,
            )
        self.n_supervisors += 1

    def start_supervisor_if_dead(self):
        if self.daemon.process.poll() is not None:
            self.start_supervisor()

    def await_service(self):
        """A connection to the last supervisor that was started."""

        def connected():
            try:
                self.clients.append(protocol.Client(self.daemon.socket))
            except (ConnectionError, FileNotFoundError, protocol.Restarted, protocol.Closed):
                return False
            return True

        if self.client_of < self.n_supervisors:
            # The broker of the one before may not have noticed yet that it is dead.
            wait_until(lambda: ": serving\n" in self.daemon.log()[self.log_begins :], "the supervisor serves")
            wait_until(connected, "the broker does")
            self.client_of = self.n_supervisors

    @property
    def client(self):
        return self.clients[-1]

    def end_daemon(self):
        """It must end well; its directory goes when it did."""
        if self.daemon is None:
            return
        daemon, self.daemon = self.daemon, None
        clients, self.clients = self.clients, []
        self.n_supervisors = self.client_of = 0
        self.steps.disarm()
        self.steps.write_again()
        self.steps.release()
        try:
            for region in clients[-1].regions():
                clients[-1].destroy(region.cookie)
        except (protocol.Failed, protocol.Restarted, protocol.Closed, OSError):
            pass  # after a violation
        for client in clients:
            client.close()
        try:
            status = daemon.stop() if daemon.process.poll() is None else daemon.process.returncode
        except subprocess.TimeoutExpired:
            raise Violation("the daemon does not end when it is asked to") from None
        finally:
            daemon.end()
        if status != 0:
            raise Violation(f"the daemon's exit status is {status}")

    def kill_roles(self, roles):
        """Of those that there are; all are dead when this returns."""
        pids = [self.steps.pid(role) for role in roles]
        for pid in pids:
            if pid:
                kill(pid)
        for role, pid in zip(roles, pids):
            if role == "supervisor":
                self.daemon.process.wait()
            elif pid:
                wait_until(lambda: not is_alive(pid), f"the {role} dies")

    # ---- what is so ----

    def pages(self):
        """{gfn: frame} of those that the domain was born with."""
        born = set(self.home.values())
        return {gfn: frame for gfn, frame in self.view.pages(DOMID).items() if frame in born}

    @property
    def journal(self):
        return os.path.join(self.daemon.directory, "journal")

    def settled_regions(self):
        """Those of the listing, when nothing is being done to any of them."""
        regions = []

        def settled():
            try:
                regions[:] = self.client.regions()
            except protocol.Restarted:
                return False
            return all(region.state in (pb.ACTIVE, pb.REGION_STUCK) for region in regions)

        wait_until(settled, "every region is active, stuck or gone")
        return regions
