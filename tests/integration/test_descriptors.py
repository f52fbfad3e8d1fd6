# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fewer descriptors than clients may use by their quotas: whoever comes too late has less, and nobody else notices."""

import errno
import os
import re
import time
import unittest

import protocol
import xenvram_pb2 as pb
from harness import OldKernel, SimTest, count_fds, kill
from people import attempt
from waiting import PATIENCE_S, wait_for

VRAM, BACKING = 0xF0000, 0x400
PERIOD_US = 1000


class Descriptors(OldKernel, SimTest):
    host_options = {"domains": 6}
    open_files = 256
    most_kept = open_files // 4

    def subscribe_to_all(self, client, cookie, n=64):
        """Wake descriptors of as many subscriptions as a connection may have; the logs are not looked at."""
        wakes = []
        for _ in range(n):
            subscription = client.subscribe(cookie, PERIOD_US, want_wake=True)
            os.close(subscription.log_fd)
            self.addCleanup(os.close, subscription.wake_fd)
            wakes.append(subscription.wake_fd)
        return wakes

    def wakes_end(self, wake_fd, seconds=PATIENCE_S):
        """Has the other end been closed?"""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if not os.read(wake_fd, 4096):
                    return True
            except BlockingIOError:
                time.sleep(0.001)
        return False

    def not_kept(self):
        return [int(n) for n in re.findall(r"too few for (\d+) more", self.daemon.log())]

    def restart_broker(self):
        broker, before = self.daemon.broker_pid(), self.daemon.log().count("serving")
        kill(broker)
        wait_for(lambda: self.daemon.log().count("serving") > before, "the next broker serves")

    def test_what_does_not_fit_is_not_kept(self):
        self.add_domain(1)
        self.add_domain(2)
        first, other = self.client(), self.client()
        cookie = first.create(1, VRAM, BACKING, 4).cookie
        broker, worker = self.daemon.broker_pid(), self.daemon.worker_pid(1)
        kept = self.subscribe_to_all(first, cookie)
        late = self.client()
        lost = self.subscribe_to_all(late, cookie)
        self.assertEqual(len(late.regions()), 1)
        wait_for(self.not_kept, "it is said")
        self.assertLessEqual(len(self.not_kept()), 3)
        self.assertLess(count_fds(self.daemon.process.pid), self.most_kept + 16)

        # There is room for other regions, and their workers.
        self.assertEqual(other.snapshot(other.create(2, VRAM, BACKING, 4).cookie)[0], [0, 1, 2, 3])
        self.assertEqual((self.daemon.broker_pid(), self.daemon.worker_pid(1)), (broker, worker))
        self.assertEqual((first.events, late.events, other.events), ([], [], []))

        self.restart_broker()
        for client in (first, other):
            client.take_events("restarted")
        self.assertEqual(len(other.regions()), 2)
        other.destroy(cookie)
        other.create(1, VRAM, BACKING, 4)
        with self.assertRaises(protocol.Closed):
            late.regions()

    def test_the_broker_has_as_few(self):
        """It takes what its clients may have until it has no more, and lives on."""
        for domid in range(1, 5):
            self.add_domain(domid)
        clients = [self.client() for _ in range(4)]
        cookies = [client.create(i + 1, VRAM, BACKING, 4).cookie for i, client in enumerate(clients)]
        broker = self.daemon.broker_pid()
        refused = []
        for client, cookie in zip(clients, cookies):
            outcome = attempt(lambda: self.subscribe_to_all(client, cookie))
            if outcome.status is not None:
                refused.append((outcome.status, outcome.os_error))
        self.assertEqual(set(refused), {(pb.INTERNAL, errno.EMFILE)})

        # Nor does what comes for it from the supervisor fit.
        self.add_domain(5)
        wait_for(lambda: count_fds(broker) >= self.open_files - 1, "it has no more")
        self.assertEqual(attempt(lambda: clients[0].create(5, VRAM, BACKING, 4)).status, pb.INTERNAL)
        self.assertEqual(self.daemon.broker_pid(), broker)
        for client, cookie in zip(clients, cookies):
            self.assertEqual(len(client.regions(1)), 1)
            client.snapshot(cookie, sync=True)
            self.assertEqual(client.events, [])
        clients.pop().close()
        wait_for(lambda: count_fds(broker) < self.open_files - 32, "there is room again")
        clients[0].create(5, VRAM, BACKING, 4)

    def test_a_wake_descriptor_that_was_lost(self):
        """The subscription goes on, and whoever sleeps on the descriptor hears that nothing will come."""
        domain = self.add_domain(1)
        guest = self.add_guest(domain)
        client, filling = self.client(), self.client()
        cookie = client.create(1, VRAM, BACKING, 4).cookie
        filled = self.subscribe_to_all(filling, cookie)
        wait_for(self.not_kept, "no more is kept")
        subscription = client.subscribe(cookie, PERIOD_US, want_wake=True)
        self.addCleanup(os.close, subscription.wake_fd)
        log = self.open_log(subscription)
        self.restart_broker()
        client.take_events("restarted")
        self.assertTrue(self.wakes_end(subscription.wake_fd))
        self.assertFalse(self.wakes_end(filled[0], 0.1))
        filling.close()
        wait_for(lambda: client.region(cookie).subscriptions == 1, "it is the only one")
        since = self.exact_since(client, cookie)
        guest.write([VRAM + 2], 1)
        wait_for(lambda: log.scan(since)[0] == [2], "what is written is in the log")

    def test_a_client_that_sends_some(self):
        """With no room for them it is told so, and not that they were too many."""
        self.add_domain(1)
        client, other = self.client(), self.client()
        cookie = client.create(1, VRAM, BACKING, 4).cookie
        while attempt(lambda: self.subscribe_to_all(client, cookie, 1)).status is None:
            if client.region(cookie).subscriptions % 64 == 0:
                client = self.client()
        other.send("list_regions", pb.ListRegions(), fds=[0, 0])
        other.expect_close()
        wait_for(lambda: "operation=Close" in self.daemon.log(), "there is a record")
        self.assertIn("it sent file descriptors, which no request carries", self.daemon.log())


if __name__ == "__main__":
    unittest.main()
