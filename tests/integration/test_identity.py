# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may connect, for which domain a connection acts, and what it sees of others."""

import errno
import os
import socket
import subprocess
import unittest
from concurrent.futures import ThreadPoolExecutor

import protocol
from harness import SimTest, children, kill
from people import Signal, as_user, attempt, needs_root
from protocol import pb
from waiting import PATIENCE_S, wait_for

NOBODY = 65534
BASE = 3000000  # the uid of a device model is this and its domain's domid
ALICE = 2000001
BOB = 2000002
ADMIN_GROUP = 2000100
VRAM = 0x4000
BACKING = 0x400
NR_PAGES = 16
MAX_PEER_GROUPS = 1024


@needs_root
class IdentityTest(SimTest):
    config = f"[access]\ndomain-uid-base = {BASE}\nadmin-users = {ALICE}\nadmin-groups = {ADMIN_GROUP}\n"

    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.one = self.add_domain(1)
        self.two = self.add_domain(2)

    def as_device_model(self, domid, function):
        """Calls function(client) as the user of the domain's device model."""
        return self.with_client(BASE + domid, function)

    def connect_as(self, uid, **more):
        return self.with_client(uid, lambda client: len(client.regions()), **more)

    def with_client(self, uid, function, **more):
        def connect():
            with protocol.Client(self.daemon.socket) as client:
                return function(client)

        return as_user(uid, connect, **more)

    def signal(self):
        signal = Signal()
        self.addCleanup(signal.close)
        return signal

    def assert_refused(self, outcome, status, os_error, *words):
        self.assertEqual((outcome.status, outcome.os_error), (status, os_error), outcome)
        for word in words:
            self.assertIn(str(word), outcome.message)

    def kill_broker(self):
        broker = self.daemon.broker_pid()
        kill(broker)
        wait_for(lambda: broker not in children(self.daemon.process.pid), "it dies")
        self.daemon.broker_pid()


class Door(IdentityTest):
    def test_administrators(self):
        self.assertEqual(self.connect_as(0).value, 0)
        self.assertEqual(self.connect_as(ALICE).value, 0)
        self.assertEqual(self.connect_as(BOB, gid=ADMIN_GROUP).value, 0)
        # By a group that is not the primary one the connection is theirs; so is what they send.
        self.assertEqual(self.connect_as(BOB, groups=[ADMIN_GROUP]).value, 0)

    def test_strangers(self):
        outcome = self.connect_as(BOB)
        self.assertTrue(outcome.refused)
        self.assert_refused(
            outcome, pb.PERMISSION_DENIED, 13, f"uid {BOB}", self.daemon.socket, self.daemon.config_path, BASE + 1
        )
        for uid in (BASE, BASE + 0x7FF0, NOBODY):
            self.assertTrue(self.connect_as(uid).refused, uid)

    def test_a_user_of_more_groups_than_the_kernel_tells(self):
        """It is told so, and the log has nothing of it beside the record of its refusal."""
        at = len(self.daemon.log())
        groups = range(ADMIN_GROUP, ADMIN_GROUP + MAX_PEER_GROUPS + 1)
        outcome = self.connect_as(BOB, groups=groups)
        self.assertTrue(outcome.refused)
        self.assert_refused(outcome, pb.PERMISSION_DENIED, 13, "its primary group, which alone is known")
        self.assertEqual(self.connect_as(BOB, groups=groups[:MAX_PEER_GROUPS]).value, 0)
        self.assertEqual(self.connect_as(BOB, gid=ADMIN_GROUP, groups=groups).value, 0)
        self.as_device_model(1, lambda client: client.regions())
        wait_for(lambda: "operation=Connect" in self.daemon.log()[at:], "there is a record")
        self.assertEqual([x for x in self.daemon.log()[at:].splitlines() if "audit: " not in x], [])

    def test_a_device_model_without_domain(self):
        outcome = self.as_device_model(3, lambda client: client.regions())
        self.assertTrue(outcome.refused)
        self.assert_refused(outcome, pb.NO_DOMAIN, 3, "to be bound to domain 3 by its uid", "does not exist")

    def test_whoever_loses_the_right_is_sent_away(self):
        theirs = self.client()
        connected = self.signal()

        def stay():
            with protocol.Client(self.daemon.socket) as client:
                connected.give()
                client.dispatch(20)

        with ThreadPoolExecutor() as pool:
            staying = pool.submit(as_user, ALICE, stay)
            connected.wait("it connects")
            self.daemon.configure("[access]\nadmin-groups =\n")
            self.daemon.reload()
            outcome = staying.result()
        self.assert_refused(outcome, pb.PERMISSION_DENIED, 13, f"uid {ALICE}")
        self.assertTrue(outcome.refused)
        self.assertEqual(theirs.regions(), [])

    def test_an_administrator_who_becomes_a_device_model(self):
        """Its connection was for every domain, and must not stay so."""
        self.client().create(2, VRAM, BACKING, NR_PAGES)
        connected, reloaded = self.signal(), self.signal()

        def stay():
            with self.client() as client, self.connection() as silent:
                connected.give()
                reloaded.wait("the settings hold")
                outcome = attempt(client.regions)
                silent.send("hello", pb.Hello(version_min=1, version_max=1), serial=1)
                silent.receive()
                silent.send("list_regions", pb.ListRegions(), serial=2)
                return outcome, len(silent.receive()[0].reply.list_regions.regions)

        with ThreadPoolExecutor() as pool:
            staying = pool.submit(as_user, ALICE, stay)
            connected.wait("it connects")
            self.daemon.configure(f"[access]\ndomain-uid-base = {ALICE - 1}\nadmin-users = {ALICE}\n")
            self.daemon.reload()
            # Bob is domain 2's device model then, whom only a rate would refuse.
            wait_for(lambda: self.connect_as(NOBODY, groups=[ADMIN_GROUP]).refused, "the settings hold")
            reloaded.give()
            outcome, n_seen = staying.result().value
        words = (
            f"uid {ALICE} is the device model of domain 1 now (domain-uid-base + 1)",
            f"this connection to {self.daemon.socket} was an administrator's",
            self.daemon.config_path,
        )
        self.assert_refused(outcome, pb.PERMISSION_DENIED, 13, *words)
        self.assertTrue(outcome.refused)
        self.assertEqual(n_seen, 0, "regions of another domain")


class DeviceModel(IdentityTest):
    def setUp(self):
        super().setUp()
        self.before = {domain: domain.contents() for domain in (self.one, self.two)}
        self.admin = self.client()

    def test_has_its_own_domain(self):
        def use(client):
            cookie = client.create(1, VRAM, BACKING, NR_PAGES).cookie
            subscription = client.subscribe(cookie)
            client.snapshot(cookie, sync=True)
            client.unsubscribe(subscription)
            seen = [region.cookie for region in client.regions()] == [cookie]
            seen = seen and [domain.domid for domain in client.domains()] == [1]
            client.bind(1)  # as it is
            client.destroy(cookie)
            return seen

        self.assertTrue(self.as_device_model(1, use).value)
        self.assert_contents(self.before[self.one], self.one)

    def test_sees_nothing_of_others(self):
        theirs = self.admin.create(2, VRAM, BACKING, NR_PAGES).cookie
        mine = self.admin.create(1, VRAM, BACKING, NR_PAGES).cookie
        nobodys = theirs ^ 1

        def look(client):
            def told(cookie):
                operations = (
                    ("destroy_region", pb.DestroyRegion(cookie=cookie)),
                    ("snapshot", pb.Snapshot(cookie=cookie)),
                    ("subscribe", pb.Subscribe(cookie=cookie)),
                    ("mark_dirty", pb.MarkDirty(cookie=cookie, runs=[pb.Run(first=0, nr_pages=1)])),
                    ("refresh", pb.Refresh(cookie=cookie)),
                )
                outcomes = [attempt(lambda: client.call(name, message)) for name, message in operations]
                return [(o.status, o.os_error, o.message.replace(hex(cookie), "COOKIE")) for o in outcomes]

            return (
                [region.cookie for region in client.regions()],
                [domain.domid for domain in client.domains()],
                told(theirs),
                told(nobodys),
            )

        regions, domains, of_theirs, of_nobodys = self.as_device_model(1, look).value
        self.assertEqual(regions, [mine])
        self.assertEqual(domains, [1])
        self.assertEqual(of_theirs, of_nobodys)
        self.assertEqual({status for status, _, _ in of_theirs}, {pb.NOT_FOUND})
        self.assert_moved(self.before[self.two], self.two, VRAM, BACKING, NR_PAGES)

    def test_cannot_name_another_domain(self):
        for call in (
            lambda client: client.create(2, VRAM, BACKING, NR_PAGES),
            lambda client: client.bind(2),
            lambda client: client.regions(2),
        ):
            outcome = self.as_device_model(1, call)
            bound = f"uid {BASE + 1}, bound to domain 1 by its uid (domain-uid-base + 1)"
            self.assert_refused(outcome, pb.PERMISSION_DENIED, 1, "domain 2", bound)
            self.assertFalse(outcome.refused)
        self.assert_contents(self.before[self.two], self.two)

    def test_binding_outlives_the_broker(self):
        theirs = self.admin.create(2, VRAM, BACKING, NR_PAGES).cookie
        connected, killed = self.signal(), self.signal()

        def stay(client):
            connected.give()
            killed.wait("the broker is killed")
            client.take_events("restarted")
            return attempt(lambda: client.destroy(theirs)).status, len(client.regions())

        with ThreadPoolExecutor() as pool:
            staying = pool.submit(self.as_device_model, 1, stay)
            connected.wait("it connects")
            self.kill_broker()
            killed.give()
            outcome = staying.result()
        self.assertEqual(outcome.value, (pb.NOT_FOUND, 0))

    def test_outlives_its_domain_and_never_reaches_the_next(self):
        """Which has the same domid, and whose device model has the same uid; but another connection."""
        created, replaced = self.signal(), self.signal()

        def regions_of_the_next():
            with protocol.Client(self.daemon.socket) as admitted:
                return admitted.regions()

        def outlive(client):
            cookie = client.create(1, VRAM, BACKING, NR_PAGES).cookie
            created.give()
            replaced.wait("there is another domain")
            theirs = [region.cookie for region in regions_of_the_next()]
            refused = [
                attempt(lambda: client.create(1, VRAM, BACKING, NR_PAGES)),
                attempt(lambda: client.pin(1, VRAM, NR_PAGES)),
                attempt(lambda: client.move_ram(1, BACKING, VRAM, NR_PAGES)),
                attempt(lambda: client.track_dirty(1, BACKING, NR_PAGES)),
                attempt(lambda: client.pins(1)),
                *[attempt(lambda known=known: client.destroy(known)) for known in (cookie, *theirs)],
            ]
            return [outcome.status for outcome in refused], client.regions()

        with ThreadPoolExecutor() as pool:
            outliving = pool.submit(self.as_device_model, 1, outlive)
            created.wait("the region is created")
            self.one.destroy()
            self.daemon.await_no_worker(1)  # which keeps the domid
            self.one = self.add_domain(1)
            self.admin.create(1, VRAM + NR_PAGES, BACKING + NR_PAGES, NR_PAGES)
            before = self.one.contents(), self.one.pins()
            replaced.give()
            outcome = outliving.result()
        self.assertEqual(outcome.value, ([pb.NO_DOMAIN] * 5 + [pb.NOT_FOUND] * 2, []), outcome)
        self.assertEqual((self.one.contents(), self.one.pins()), before)


class Binding(IdentityTest):
    def test_of_a_connection_that_is_handed_on(self):
        theirs = self.client().create(2, VRAM, BACKING, NR_PAGES).cookie
        handed = self.client()
        handed.bind(1)

        def use():
            with protocol.Client(None, fd=os.dup(handed.fileno())) as client:
                cookie = client.create(1, VRAM, BACKING, NR_PAGES).cookie
                refused = attempt(lambda: client.destroy(theirs)).status
                rebound = attempt(lambda: client.bind(2)).status
                client.bind(1)
                client.destroy(cookie)
                return refused, rebound

        # Of any user: it is the connection that is trusted.
        self.assertEqual(as_user(BOB, use).value, (pb.NOT_FOUND, pb.PERMISSION_DENIED))
        self.kill_broker()
        handed.take_events("restarted")
        self.assertEqual(as_user(BOB, use).value, (pb.NOT_FOUND, pb.PERMISSION_DENIED))

    def test_of_a_domain_that_was_replaced_unheard(self):
        """Nobody has told the broker, for the domain had no worker."""
        asks = {
            "create": lambda client: client.create(1, VRAM, BACKING, NR_PAGES),
            "adopt": lambda client: client.create(1, BACKING, 0, NR_PAGES, adopt=True),
            "pin": lambda client: client.pin(1, BACKING, NR_PAGES),
            "move_ram": lambda client: client.move_ram(1, BACKING, VRAM, NR_PAGES),
            "track_dirty": lambda client: client.track_dirty(1, BACKING, NR_PAGES),
            "map_ram": lambda client: client.map_ram(1, BACKING, VRAM, NR_PAGES),
        }
        for name, ask in asks.items():
            with self.subTest(name):
                client = self.client()
                client.bind(1)
                self.daemon.await_no_worker(1)
                self.one.destroy()
                self.one = self.add_domain(1)
                before = self.one.contents(), self.one.pins()
                self.refused(pb.NO_DOMAIN, errno.ESRCH, ask, client)
                self.assertEqual(self.client().regions(), [])
                self.assertEqual((self.one.contents(), self.one.pins()), before)
                self.assertIsNone(self.one.tracked())

    def test_by_the_library(self):
        arguments = map(str, (self.daemon.socket, 1, 2, BOB, VRAM, BACKING))
        done = subprocess.run([self.build.handover, *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.client().regions(), [])

    def test_an_unbound_connection_is_worth_nothing_to_others(self):
        cookie = self.client().create(1, VRAM, BACKING, NR_PAGES).cookie
        leaked = self.client()

        def use():
            with protocol.Connection(None, fd=os.dup(leaked.fileno())) as client:
                client.send("destroy_region", pb.DestroyRegion(cookie=cookie), serial=77)
                reply = client.receive()[0].reply
            return reply.serial, reply.status, reply.os_error, reply.message

        for uid in (BOB, BASE + 1, BASE + 2):
            serial, status, os_error, message = as_user(uid, use).value
            self.assertEqual((serial, status, os_error), (77, pb.PERMISSION_DENIED, 1))
            self.assertIn(f"uid {uid}", message)
        self.assertEqual(as_user(ALICE, use).value[:2], (77, pb.OK))
        self.assertEqual(leaked.regions(), [])

    def test_needs_a_domain(self):
        client = self.client()
        self.refused(pb.NO_DOMAIN, 3, client.bind, 3)
        self.refused(pb.UNSUPPORTED_DOMAIN, 1, client.bind, 0)
        self.refused(pb.INVALID, 22, client.bind, 0x7FF0)
        client.bind(1)
        self.refused(pb.PERMISSION_DENIED, 1, client.bind, 2)

    def test_needs_a_connection_at_rest(self):
        client = self.client()
        cookie = client.create(1, VRAM, BACKING, NR_PAGES).cookie
        subscription = client.subscribe(cookie)
        self.assertIn("1 subscriptions", self.refused(pb.CONFLICT, 16, client.bind, 2))
        client.unsubscribe(subscription)
        client.track_dirty(1, BACKING, NR_PAGES)
        self.assertIn("1 tracked ranges", self.refused(pb.CONFLICT, 16, client.bind, 2))
        client.track_dirty(1, 0, 0)
        client.bind(2)
        self.assertEqual(client.regions(), [])

    def test_is_to_a_domain_and_not_to_its_number(self):
        old = self.client()
        old.bind(1)
        cookie = old.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.one.destroy()
        wait_for(lambda: not self.client().regions(), "the region goes")
        self.one = self.add_domain(1)
        before = self.one.contents()
        self.refused(pb.NO_DOMAIN, 3, old.create, 1, VRAM, BACKING, NR_PAGES)
        self.assert_contents(before, self.one)
        # The same when the new one is known already.
        theirs = self.client().create(1, VRAM, BACKING, NR_PAGES).cookie
        self.refused(pb.NO_DOMAIN, 3, old.create, 1, VRAM + 64, BACKING + 64, NR_PAGES)
        self.refused(pb.NOT_FOUND, 2, old.destroy, theirs)
        self.refused(pb.NOT_FOUND, 2, old.destroy, cookie)
        self.assertEqual(old.regions(), [])
        self.assertEqual(old.domains(), [])


class Activated(SimTest):
    """The listening socket is made by somebody else, and has clients before the daemon runs."""

    def test_who_came_before_the_daemon(self):
        self.assertEqual(self.daemon.stop(), 0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # PassCredentials=yes
            listening.bind(self.daemon.socket)
            listening.listen()
            early = self.connection()
            early.send("hello", pb.Hello(version_min=1, version_max=1), serial=1)
            early.send("list_regions", pb.ListRegions(), serial=2)
            self.daemon.start_activated(listening)
            replies = [early.receive()[0].reply for _ in range(2)]
        self.assertEqual([(reply.serial, reply.status) for reply in replies], [(1, pb.OK), (2, pb.OK)])
        self.assertEqual(self.client().regions(), [])


if __name__ == "__main__":
    unittest.main()
