# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits that an administrator has lowered."""

import errno
import os
import time
import unittest

import protocol
from harness import SimTest, kill
from people import as_user, attempt, needs_root
from protocol import pb
from waiting import wait_for

BASE = 3000000
VRAM, BACKING = 0x4000, 0x400
MAX_UNCOUNTED_MARKED_PAGES = 8192
LOW = """
regions = 3
regions-per-domain = 2
pages-per-domain = 100
pins-per-domain = 1
subscriptions-per-connection = 2
subscriptions-per-domain = 3
guest-pauses-per-second = 5
connections-per-second = 4
connections-per-domain = 3
connections = 16
"""


class QuotaTest(SimTest):
    config = f"[access]\ndomain-uid-base = {BASE}\n[limits]\n{LOW}"

    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.asker = self.client()

    def over(self, function, *arguments, who, used, most, key, os_error=errno.EDQUOT, **more):
        message = self.refused(pb.LIMIT, os_error, function, *arguments, **more)
        self.assert_says(message, who, used, most, key)

    def assert_says(self, message, who, used, most, key):
        for word in (who, used, f"at most {most} ", f"{key} of [limits]", "raised to", f"reload {self.daemon.config_path}"):
            self.assertIn(word, message)


class Lowered(QuotaTest):
    def test_regions(self):
        for domid in (1, 2):
            self.add_domain(domid)
        self.asker.create(1, VRAM, BACKING, 1)
        self.over(
            *(self.asker.create, 1, VRAM + 0x100, BACKING + 0x100, 100),
            **dict(who="domain 1", used="1 pages", most=100, key="pages-per-domain"),
        )
        self.asker.create(1, VRAM + 0x100, BACKING + 0x100, 99)
        self.over(
            *(self.asker.create, 1, VRAM + 0x200, BACKING + 0x200, 1),
            **dict(who="domain 1", used="2 regions", most=2, key="regions-per-domain"),
        )
        last = self.asker.create(2, VRAM, BACKING, 1).cookie
        self.over(
            *(self.asker.create, 2, VRAM + 0x200, BACKING + 0x200, 1),
            **dict(who="domain 2: this host", used="3 regions", most=3, key="regions"),
        )
        self.asker.destroy(last)
        self.asker.create(2, VRAM + 0x200, BACKING + 0x200, 1)

    def test_subscriptions(self):
        self.add_domain(1)
        cookie = self.asker.create(1, VRAM, BACKING, 1).cookie
        for _ in range(2):
            self.asker.subscribe(cookie)
        who = f"this connection of uid {os.getuid()} has"
        limit = dict(who=who, used="2 subscriptions", most=2, key="subscriptions-per-connection")
        self.over(self.asker.subscribe, cookie, **limit)
        other = self.client()
        other.subscribe(cookie)
        limit = dict(who="domain 1", used="3 subscriptions", most=3, key="subscriptions-per-domain")
        self.over(other.subscribe, cookie, **limit)

    def test_pins(self):
        self.add_domain(1)
        self.asker.pin(1, 0x5000, 4)
        limit = dict(who="domain 1", used="1 pins", most=1, key="pins-per-domain")
        self.over(self.asker.pin, 1, 0x6000, 4, **limit)
        self.asker.pin(1, 0x5000, 4, pb.WT)  # another type is no other pin
        self.asker.unpin(1, 0x5000, 4)

    def test_connections(self):
        # Of 16, 8 are root's.
        if os.geteuid() == 0:
            most = 16
        else:
            most = 8
        clients = [self.client() for _ in range(most - 1)]
        with self.connection() as refused:
            reply = refused.receive()[0].reply
        self.assertEqual((reply.status, reply.os_error), (pb.LIMIT, errno.EUSERS))
        who = f"uid {os.getuid()}: this host"
        self.assert_says(reply.message, who, f"has {most} connections", most, "connections")
        self.assertEqual("with 8 more reserved for root" in reply.message, most == 8)
        clients.pop().close()
        wait_for(lambda: attempt(self.client).status is None, "there is room again")

    def test_connections_for_a_domain(self):
        self.add_domain(1)
        self.add_domain(2)
        bound = [self.client() for _ in range(3)]
        for client in bound:
            client.bind(1)
        limit = dict(who="domain 1", used="3 connections", most=3, key="connections-per-domain")
        self.over(self.asker.bind, 1, **limit)
        self.asker.bind(2)
        bound.pop().close()
        other = self.client()
        wait_for(lambda: attempt(lambda: other.bind(1)).status is None, "there is room again")

    def test_connections_for_a_dead_domain(self):
        """They are kept by whoever has them, and are none of the next domain with that domid."""
        dead = self.add_domain(1)
        for _ in range(3):
            self.client().bind(1)
        dead.destroy()
        self.add_domain(1)
        for _ in range(3):
            self.client().bind(1)
        limit = dict(who="domain 1", used="3 connections", most=3, key="connections-per-domain")
        self.over(self.client().bind, 1, **limit)

    def test_connections_that_are_handed_on(self):
        """They are the domains', and leave whoever has bound them his own."""
        self.daemon.configure("[limits]\nconnections-per-uid = 3\n")
        self.daemon.reload()
        handed = []
        for domid in (1, 2, 3):
            self.add_domain(domid)
            handed += [self.client() for _ in range(2)]
            for client in handed[-2:]:
                client.bind(domid)
        for _ in range(2):
            self.client()
        with self.connection() as refused:
            reply = refused.receive()[0].reply
        self.assertEqual((reply.status, reply.os_error), (pb.LIMIT, errno.EUSERS))
        self.assert_says(reply.message, f"uid {os.getuid()}", "has 3 connections", 3, "connections-per-uid")
        # So it is for the next broker.
        kill(self.daemon.broker_pid())
        self.asker.take_events("restarted")
        with self.connection() as refused:
            self.assertEqual(refused.receive()[0].reply.status, pb.LIMIT)
        self.asker.bind(1)
        self.client()

    def test_raised(self):
        self.add_domain(1)
        cookie = self.asker.create(1, VRAM, BACKING, 1).cookie
        for _ in range(2):
            self.asker.subscribe(cookie)
        self.daemon.configure("")
        self.daemon.reload()
        wait_for(lambda: attempt(lambda: self.asker.subscribe(cookie)).status is None, "the limit is raised")


@needs_root
class DeviceModels(QuotaTest):
    """What holds for them alone."""

    def test_pauses(self):
        self.add_domain(1)
        self.add_domain(2)
        cookie = self.asker.create(1, VRAM, BACKING, 1).cookie

        def hammer():
            with protocol.Client(self.daemon.socket) as client:
                began = time.monotonic()
                outcomes = [attempt(lambda: client.snapshot(cookie)) for _ in range(100)]
                took = time.monotonic() - began
                refused = [outcome for outcome in outcomes if outcome.status is not None]
                time.sleep(0.5)
                client.call("refresh", pb.Refresh(cookie=cookie))
                return len(outcomes) - len(refused), took, refused[0]

        done, took, refused = as_user(BASE + 1, hammer).value
        self.assertGreaterEqual(done, 10)
        self.assertLessEqual(done, 10 + 5 * took + 1)
        self.assertEqual((refused.status, refused.os_error), (pb.LIMIT, errno.EDQUOT))
        for word in ("domain 1", "5 a second", "guest-pauses-per-second of [limits]", "raised to 250", " ms"):
            self.assertIn(word, refused.message)

        # Who is watched anyway, and another domain, and an administrator are not held up.
        def follow():
            with protocol.Client(self.daemon.socket) as client:
                time.sleep(0.5)
                client.subscribe(cookie, 1000000)
                for _ in range(50):
                    client.snapshot(cookie)

        self.assertIsNone(as_user(BASE + 1, follow).status)

        def create():
            with protocol.Client(self.daemon.socket) as client:
                client.destroy(client.create(2, VRAM, BACKING, 1).cookie)

        self.assertIsNone(as_user(BASE + 2, create).status)
        for _ in range(30):
            self.asker.snapshot(cookie, sync=True)

    def test_pauses_of_the_domain_before(self):
        """A domain does not pay for what another one with its domid has used."""
        domain = self.add_domain(1)

        def use_up():
            with protocol.Client(self.daemon.socket) as client:
                return [attempt(lambda: client.create(1, VRAM, 0x7000, 1)).status for _ in range(30)]

        used = []
        for _ in range(2):
            used.append(as_user(BASE + 1, use_up).value)
            self.daemon.await_no_worker(1)  # nobody tells the broker of what happens to the domain now
            domain.destroy()
            domain = self.add_domain(1)
        for statuses in used:
            self.assertEqual(statuses[:10], [pb.CONFLICT] * 10)
            self.assertEqual(statuses[-1], pb.LIMIT)

    def test_marks_of_many_pages(self):
        self.daemon.configure(f"[access]\ndomain-uid-base = {BASE}\n[limits]\nguest-pauses-per-second = 5\n")
        self.daemon.reload()
        self.add_domain(1, ram_mib=40)
        cookie = self.asker.create(1, VRAM, BACKING, MAX_UNCOUNTED_MARKED_PAGES + 1).cookie

        def mark(client, *nr_pages):
            firsts = [sum(nr_pages[:i]) for i in range(len(nr_pages))]
            runs = [pb.Run(first=first, nr_pages=n) for first, n in zip(firsts, nr_pages)]
            return attempt(lambda: client.call("mark_dirty", pb.MarkDirty(cookie=cookie, runs=runs))).status

        def hammer():
            with protocol.Client(self.daemon.socket) as client:
                small = {mark(client, 1, MAX_UNCOUNTED_MARKED_PAGES - 1) for _ in range(30)}
                began = time.monotonic()
                large = [mark(client, 2, MAX_UNCOUNTED_MARKED_PAGES - 1) for _ in range(30)]
                took = time.monotonic() - began
                return small, large, took, mark(client, 1)

        small, large, took, last = as_user(BASE + 1, hammer).value
        self.assertEqual((small, last), ({None}, None))
        self.assertEqual(set(large), {None, pb.LIMIT})
        self.assertLessEqual(large.count(None), 10 + 5 * took + 1)
        for _ in range(30):
            self.assertIsNone(mark(self.asker, MAX_UNCOUNTED_MARKED_PAGES + 1))

    def test_creations_that_fail(self):
        """Each starts a worker, whether or not anything comes of it, and leaves nothing that remembers."""
        self.add_domain(1)

        def hammer():
            with protocol.Client(self.daemon.socket) as client:
                began = time.monotonic()
                statuses = [attempt(lambda: client.create(1, VRAM, 0x7000, 1)).status for _ in range(30)]
                return statuses, time.monotonic() - began

        statuses, took = as_user(BASE + 1, hammer).value
        self.assertEqual(set(statuses[:10]), {pb.CONFLICT})
        self.assertLessEqual(set(statuses), {pb.CONFLICT, pb.LIMIT})
        self.assertLessEqual(statuses.count(pb.CONFLICT), 10 + 5 * took + 1)

    def test_new_connections(self):
        self.add_domain(1)

        def hammer():
            began = time.monotonic()
            outcomes = [attempt(lambda: protocol.Client(self.daemon.socket).close()) for _ in range(40)]
            took = time.monotonic() - began
            return [o for o in outcomes if o.status is not None], took

        refused, took = as_user(BASE + 1, hammer).value
        self.assertLessEqual(40 - len(refused), 8 + 4 * took + 1)
        self.assertTrue(all(o.refused and o.os_error == errno.EUSERS for o in refused))
        for word in (f"uid {BASE + 1}", "4 a second", "connections-per-second of [limits]"):
            self.assertIn(word, refused[0].message)
        for _ in range(40):
            protocol.Client(self.daemon.socket).close()

    def test_connections_of_device_models_by_their_uid(self):
        """It says of a domain, and they are counted for both."""
        self.daemon.configure(f"[access]\ndomain-uid-base = {BASE}\n[limits]\nconnections-per-uid = 2\n")
        self.daemon.reload()
        self.add_domain(1)

        def connect():
            clients = []
            outcomes = [attempt(lambda: clients.append(protocol.Client(self.daemon.socket))) for _ in range(3)]
            for client in clients:
                client.close()
            return [outcome.message for outcome in outcomes]

        messages = as_user(BASE + 1, connect).value
        self.assertEqual(messages[:2], ["", ""])
        self.assert_says(messages[2], f"uid {BASE + 1}", "2 connections", 2, "connections-per-uid")

    def test_connections_of_device_models(self):
        self.add_domain(1)

        def connect():
            clients = []
            outcomes = [attempt(lambda: clients.append(protocol.Client(self.daemon.socket))) for _ in range(4)]
            for client in clients:
                client.close()
            return [outcome.message for outcome in outcomes]

        messages = as_user(BASE + 1, connect).value
        self.assertEqual(messages[:3], ["", "", ""])
        self.assert_says(messages[3], "domain 1", "3 connections", 3, "connections-per-domain")


if __name__ == "__main__":
    unittest.main()
