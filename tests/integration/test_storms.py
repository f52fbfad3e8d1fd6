# SPDX-License-Identifier: LGPL-2.1-or-later
"""Readers and heads that come and go all the time: the hypervisor's range changes no more often than it may."""

import os
import random
import time

import xenvram_pb2 as pb
from harness import Follower, SimTest, now
from waiting import wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 300
# Heads that come and go, on both sides of the one that stays, and one adopted in place.
LEFT, LEFT_BACKING = VRAM - 1000, 0x600
RIGHT, RIGHT_BACKING = VRAM + 1000, 0x700
HEAD_PAGES = 40

STORM_S = 4
RANGE_CHANGE_S = 0.1
LINGER_S = 5
PERIODS_US = (0, 1000, 3000, 20000)


class Storm(Follower):
    """Does something that may change the range, again and again."""

    def __init__(self, test, seed):
        super().__init__()
        self.client = test.client()
        self.random = random.Random(seed)
        self.done = 0


class SubscribeStorm(Storm):
    """Parts of a region are followed, asked for once, and let go."""

    def __init__(self, test, seed, cookie):
        super().__init__(test, seed)
        self.cookie = cookie
        self.subscriptions = []

    def step(self):
        first = self.random.randrange(NR_PAGES)
        part = {"first": first, "nr_pages": self.random.randint(1, NR_PAGES - first)}
        what = self.random.random()
        if what < 0.2:
            self.client.snapshot(self.cookie, sync=what < 0.1, **part)
        elif what < 0.6 or not self.subscriptions:
            subscription = self.client.subscribe(self.cookie, self.random.choice(PERIODS_US), **part)
            os.close(subscription.log_fd)
            self.subscriptions.append(subscription)
        if len(self.subscriptions) > 3 or (self.subscriptions and what >= 0.6):
            self.client.unsubscribe(self.subscriptions.pop(self.random.randrange(len(self.subscriptions))))
        self.done += 1


class HeadStorm(Storm):
    """A mode switch after the other: a head appears, has a reader, and is gone."""

    def __init__(self, test, seed, vram, backing):
        super().__init__(test, seed)
        self.vram = vram
        self.backing = backing

    def step(self):
        nr_pages = self.random.randint(1, HEAD_PAGES)
        if self.backing is None:
            cookie = self.client.create(1, self.vram, 0, nr_pages, adopt=True).cookie
        else:
            cookie = self.client.create(1, self.vram, self.backing, nr_pages).cookie
        if self.random.random() < 0.7:
            os.close(self.client.subscribe(cookie, self.random.choice(PERIODS_US)).log_fd)
        if self.random.random() < 0.5:
            self.client.snapshot(cookie, sync=True)
        time.sleep(self.random.uniform(0, 0.01))
        self.client.destroy(cookie)
        self.done += 1
        if self.random.random() < 0.02:
            time.sleep(0.3)  # a lull, in which bits are exact


class Witness(Follower):
    """Writes pages of the head that stays, and has each of three readers tell them, whatever else goes on."""

    def __init__(self, test, seed):
        super().__init__()
        self.random = random.Random(seed)
        self.guest = test.guest
        self.cookie = test.cookie
        self.log = test.open_log(test.client().subscribe(test.cookie, period_us=5000))
        self.client = test.client()
        self.cursors = [0, 0, 0]
        self.rounds = 0
        self.exact = 0

    def step(self):
        written = set(self.random.sample(range(NR_PAGES), self.random.randint(1, 20)))
        self.guest.write([VRAM + page for page in written], self.rounds)
        self.rounds += 1
        found = self.client.snapshot(self.cookie, self.cursors[0], sync=True)
        self.take(0, written, *found)
        self.take(1, written, *self.log.scan(self.cursors[1]))
        first = self.random.randrange(NR_PAGES)
        pages, cursor = self.client.snapshot(self.cookie, self.cursors[2], first=first)
        self.take(2, {page for page in written if page >= first}, {first + page for page in pages}, cursor)
        self.exact += set(found[0]) == written
        time.sleep(self.random.uniform(0, 0.01))

    def take(self, reader, written, pages, cursor):
        lost = written - set(pages)
        if lost:
            raise AssertionError(f"round {self.rounds}: reader {reader} lost pages {sorted(lost)}")
        self.cursors[reader] = cursor


class Storms(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.seed = random.randrange(1 << 32)
        print(f"seed {self.seed}", flush=True)

    def changes(self):
        """(times that tracking began, times that it ended)"""
        calls = self.host.calls(1)
        return calls["arms"], calls["stops"]

    def rage(self, *storms):
        """(seconds, arms, stops, things done) of a storm, in which nothing was lost"""
        witness = Witness(self, self.seed)
        threads = [witness, *storms]
        (arms_before, stops_before), begun = self.changes(), now()
        for thread in threads:
            thread.start()
            self.addCleanup(thread.stopping.set)
        time.sleep(STORM_S)
        for thread in threads:
            thread.finish()
        (arms, stops), took = self.changes(), now() - begun
        found = (took, arms - arms_before, stops - stops_before, sum(storm.done for storm in storms))
        print(
            "%.1f s: tracking began %d times and ended %d times, for %d things done" % found,
            f"and {witness.rounds} sets of pages written, of which {witness.exact} were told exactly",
            flush=True,
        )
        self.assertGreater(witness.rounds, 5)
        return found

    def assert_debounced(self, took, arms, stops):
        self.assertLessEqual(arms, took / RANGE_CHANGE_S + 1)
        self.assertLessEqual(stops, arms + 1)

    def assert_calm_afterwards(self):
        """What lingers is let go at once, and then nothing changes any more."""
        self.settle(self.asker, self.cookie)
        arms, _ = self.changes()
        time.sleep(LINGER_S + 0.5)
        self.assertLessEqual(self.changes()[0], arms + 1)
        self.assertEqual(self.asker.region(self.cookie).state, pb.ACTIVE)

    def test_readers_of_parts(self):
        storms = [SubscribeStorm(self, self.seed + i, self.cookie) for i in range(3)]
        took, arms, stops, done = self.rage(*storms)
        self.assertGreater(done, 20, "no storm")
        # There is a reader of all of it: their parts are in what is tracked anyhow.
        self.assertLessEqual(arms, 1)
        self.assertEqual(stops, 0)
        self.assert_calm_afterwards()

    def test_heads(self):
        storms = [
            HeadStorm(self, self.seed + 1, LEFT, LEFT_BACKING),
            HeadStorm(self, self.seed + 2, RIGHT, RIGHT_BACKING),
            HeadStorm(self, self.seed + 3, 0x100, None),
        ]
        took, arms, stops, done = self.rage(*storms)
        self.assertGreater(done, 2 * took / RANGE_CHANGE_S, "no storm")
        self.assert_debounced(took, arms, stops)
        self.assert_calm_afterwards()

    def test_heads_and_readers_of_parts(self):
        storms = [
            HeadStorm(self, self.seed + 1, LEFT, LEFT_BACKING),
            HeadStorm(self, self.seed + 2, 0x100, None),
            SubscribeStorm(self, self.seed + 3, self.cookie),
            SubscribeStorm(self, self.seed + 4, self.cookie),
        ]
        took, arms, stops, done = self.rage(*storms)
        self.assertGreater(done, 2 * took / RANGE_CHANGE_S, "no storm")
        self.assert_debounced(took, arms, stops)
        self.assert_calm_afterwards()

    def test_one_head_whose_part_grows_and_shrinks(self):
        """No other reader holds the range: each of these asks for a larger part than the one before."""
        begun, (arms, stops) = now(), self.changes()
        for nr_pages in range(1, NR_PAGES + 1):
            subscription = self.asker.subscribe(self.cookie, 1000, nr_pages=nr_pages)
            os.close(subscription.log_fd)
            time.sleep(0.002)
            self.asker.unsubscribe(subscription)
        took = now() - begun
        found = self.changes()
        self.assertLessEqual(found[0] - arms, took / RANGE_CHANGE_S + 1)
        self.assertEqual(found[1], stops, "tracking ended although somebody came back at once")
        wait_for(lambda: self.domain.tracked() is None, "all is let go")

    def test_the_only_head(self):
        """With each one its domain's worker ends, too, and the next one must not track too early."""
        self.asker.destroy(self.cookie)
        storm = HeadStorm(self, self.seed, VRAM, BACKING)
        begun, (arms, stops) = now(), self.changes()
        storm.start()
        time.sleep(STORM_S)
        storm.finish()
        took = now() - begun
        found = self.changes()
        print(f"{took:.1f} s: tracking began {found[0] - arms} times for {storm.done} heads", flush=True)
        self.assertGreater(found[0], arms)
        self.assert_debounced(took, found[0] - arms, found[1] - stops)


class ShadowStorms(Storms):
    host_options = {"mode": "shadow"}
