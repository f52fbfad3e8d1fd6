# SPDX-License-Identifier: LGPL-2.1-or-later
"""What polling may cost on the whole host, and who yields when it is too much."""

import os
import signal
import threading
import time

import region_log
import xenvram_pb2 as pb
from harness import SimTest
from waiting import wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 64
SLOW_US = 2000  # what a poll of an expensive domain takes
PERIOD_US = 5000


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        user, system = file.read().rpartition(b")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Budget(SimTest):
    config = "[tracking]\npoll-budget-percent = 5\n"

    def setUp(self):
        super().setUp()
        self.asker = self.client()
        self.subscribed, self.logs = {}, {}

    def follow(self, domid, poll_us=None, period_us=PERIOD_US):
        self.add_domain(domid)
        if poll_us:
            self.host.fault("track", domid, "every", "delay", poll_us)
        cookie = self.asker.create(domid, VRAM, BACKING, NR_PAGES).cookie
        # Marked all the time, so that it is never idle.
        self.subscribed[domid] = self.asker.subscribe(cookie, period_us=period_us)
        self.logs[domid] = self.open_log(self.subscribed[domid])
        return cookie

    def stir(self, *cookies):
        for cookie in cookies:
            self.asker.call("mark_dirty", pb.MarkDirty(cookie=cookie, runs=[pb.Run(first=0, nr_pages=1)]))

    def reach(self, condition, what, *cookies):
        def reached():
            self.stir(*cookies)
            time.sleep(0.05)
            return condition()

        wait_for(reached, what)

    def period_us(self, domid):
        return self.logs[domid].counters()["period_ns"] / 1000

    def stretch(self, domid):
        return self.logs[domid].counters()["stretch"]

    def as_wanted(self, domid):
        return (self.stretch(domid), self.period_us(domid)) == (region_log.AS_WANTED, PERIOD_US)

    def budget(self):
        return self.asker.call("list_domains", pb.ListDomains()).list_domains.budget

    def used_ns(self, *cookies):
        """What polls of all domains have cost so far."""
        self.stir(*cookies)
        return sum(log.counters()["poll_ns"] for log in self.logs.values())

    def use(self, seconds, *cookies):
        """The share of a CPU that the polls of all domains take in this time."""
        begun, before = time.monotonic(), self.used_ns()
        while time.monotonic() - begun < seconds:
            self.stir(*cookies)
            time.sleep(0.05)
        return (self.used_ns() - before) / 1e9 / (time.monotonic() - begun)

    def test_those_who_want_most_yield(self):
        cheap = self.follow(1)
        big = self.follow(2, SLOW_US)
        self.reach(lambda: self.stretch(2) == region_log.STRETCHED_BUDGET, "the expensive one yields", cheap, big)
        # It has what the other leaves: a poll of 2 ms every 40 ms is 5 %.
        self.reach(
            lambda: 30000 < self.period_us(2) < 80000 and self.as_wanted(1), "it has all the rest", cheap, big
        )
        (alone,) = [d for d in self.asker.domains() if d.domid == 2]
        self.assertEqual((alone.wanted_period_us, alone.stretch), (PERIOD_US, pb.BUDGET))

        bigger = self.follow(3, 2 * SLOW_US)
        # 5 % for two: the one with the cheaper polls gets more of them for the same time.
        everyone = (cheap, big, bigger)
        self.reach(lambda: 60000 < self.period_us(2) < 130000, "the two share", *everyone)
        self.reach(lambda: 120000 < self.period_us(3) < 260000, "by time, not by polls", *everyone)
        self.reach(lambda: self.as_wanted(1), "the cheap one is let be", *everyone)
        self.reach(lambda: self.budget().share_ppm < 30000, "each may take a part", *everyone)
        # Where the machine is busy with something else a poll takes longer than it should, until that is noticed.
        self.assertLess(self.use(2, *everyone), 0.1)
        self.assertIn("periods are stretched", self.daemon.log())

    def test_those_who_ask_for_single_polls_are_bound_as_well(self):
        cookies = []
        for domid in (1, 2, 3):
            self.add_domain(domid)
            self.host.fault("track", domid, "every", "delay", SLOW_US)
            cookies.append(self.asker.create(domid, VRAM, BACKING, NR_PAGES).cookie)
        stop = threading.Event()

        def ask(cookie):
            client = self.client()
            while not stop.is_set():
                client.snapshot(cookie, sync=True)

        threads = [threading.Thread(target=ask, args=(cookie,)) for cookie in cookies]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: self.budget().share_ppm < 20000, "the three share")
            begun, before = time.monotonic(), self.host.calls(1)["track"]
            time.sleep(3)
            polls = (self.host.calls(1)["track"] - before) / (time.monotonic() - begun)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        # A third of 5 % is 8 polls of 2 ms a second.
        self.assertLess(polls, 11)

    def test_a_new_broker_counts_only_what_it_sees(self):
        cookies = [self.follow(domid, 1500, 50000) for domid in (1, 2)]
        # In its first second that would be far more than they use.
        wait_for(lambda: self.used_ns(*cookies) > 300e6, "polls cost something")
        begun = self.daemon.log().count("serving")
        os.kill(self.daemon.broker_pid(), signal.SIGKILL)
        wait_for(lambda: self.daemon.log().count("serving") > begun, "there is another broker")
        self.asker = self.client()
        wait_for(lambda: 0 < self.budget().used_ppm, "use is measured")
        self.assertLess(self.budget().used_ppm, 200000)

    def test_what_cannot_be_tracked_is_not_for_free(self):
        cookie = self.follow(1, period_us=1000)
        worker = self.daemon.worker_pid(1)
        begun, before = time.monotonic(), cpu_seconds(worker)
        # Far more than one call of the hypervisor covers: all the rest is dirty whenever it is looked at.
        for i in range(8):
            self.asker.track_dirty(1, 0x1000000 * (i + 1), 262144)
        while time.monotonic() - begun < 4:
            self.stir(cookie)
            time.sleep(0.05)
        used = (cpu_seconds(worker) - before) / (time.monotonic() - begun)
        self.assertLess(used, 0.2)

    def test_ranges_that_come_and_go_are_bound_as_well(self):
        domids = (1, 2, 3, 4)
        for domid in domids:
            self.add_domain(domid)
            self.host.fault("track", domid, "every", "delay", 10 * SLOW_US)
            # Its worker stays.
            self.asker.create(domid, VRAM, BACKING, NR_PAGES)
        stop = threading.Event()

        def track(domid):
            client = self.client()
            while not stop.is_set():
                client.track_dirty(domid, BACKING + NR_PAGES, 1)
                client.call("track_dirty", pb.TrackDirty(domid=domid))

        threads = [threading.Thread(target=track, args=(domid,)) for domid in domids]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: self.budget().share_ppm < 40000, "they share")
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def test_a_domains_polls_are_counted_whichever_region_they_are_for(self):
        self.follow(1)
        second = self.asker.create(1, VRAM + NR_PAGES, BACKING + NR_PAGES, NR_PAGES).cookie
        first_log = self.logs[1]
        wait_for(lambda: first_log.counters()["polls"] > 100, "the first is polled")
        self.asker.unsubscribe(self.subscribed[1])
        second_log = self.open_log(self.asker.subscribe(second, period_us=PERIOD_US))

        def count():
            (domain,) = self.asker.domains()
            return first_log.counters()["polls"], second_log.counters()["polls"], domain.polls, domain.poll_ns

        def only_the_second():
            nonlocal before, after
            before = count()
            wait_for(lambda: second_log.counters()["polls"] >= before[1] + 20, "the second is polled")
            after = count()
            return after[0] == before[0]

        before = after = None
        wait_for(only_the_second, "the first is not polled any more")
        self.assertGreaterEqual(after[2], before[2] + 20)
        self.assertGreater(after[3], before[3])

    def test_a_budget_for_all_leaves_everybody_alone(self):
        self.daemon.configure("[tracking]\npoll-budget-percent = 100\n")
        self.daemon.reload()
        cookies = [self.follow(domid, 100) for domid in (1, 2)]
        self.reach(lambda: 0 < self.budget().used_ppm < 1000000, "their use is measured", *cookies)
        self.reach(lambda: self.as_wanted(1) and self.as_wanted(2), "both are let be", *cookies)
        budget = self.budget()
        self.assertEqual((budget.budget_ppm, budget.share_ppm), (1000000, 1000000))

    def test_a_new_budget_holds_at_once(self):
        cookie = self.follow(1, SLOW_US)
        self.reach(lambda: self.stretch(1) == region_log.STRETCHED_BUDGET, "it is too expensive", cookie)
        self.daemon.configure("[tracking]\npoll-budget-percent = 100\n")
        self.daemon.reload()
        self.reach(lambda: self.stretch(1) != region_log.STRETCHED_BUDGET, "it is not any more", cookie)

    def test_the_guest_has_its_share_whatever_the_budget(self):
        self.daemon.configure("[tracking]\npoll-budget-percent = 100\n")
        self.daemon.reload()
        cookie = self.follow(1, 2 * PERIOD_US)
        self.reach(lambda: self.stretch(1) == region_log.STRETCHED_GUEST, "half of the time is the guest's", cookie)
        self.assertGreaterEqual(self.period_us(1), 4 * PERIOD_US)

    def test_everything_is_dirty_every_so_often_if_so_configured(self):
        self.daemon.configure("[tracking]\nrefresh-interval-ms = 300\n")
        self.daemon.reload()
        self.follow(1)
        log = self.logs[1]
        wait_for(lambda: log.state == region_log.TRACKED, "tracking begins")
        forced, begun = log.counters()["dirty_forced"], time.monotonic()
        time.sleep(2)
        refreshed = (log.counters()["dirty_forced"] - forced) / NR_PAGES
        expected = (time.monotonic() - begun) / 0.3
        self.assertTrue(expected / 3 <= refreshed <= expected + 2, f"{refreshed} times, not {expected}")
