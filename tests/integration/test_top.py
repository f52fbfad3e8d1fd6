# SPDX-License-Identifier: LGPL-2.1-or-later
"""xenvramctl top: what polling costs, and whose periods are stretched, and why."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import region_log
import xenvram_pb2 as pb
from harness import Follower, SimTest, kill
from waiting import PATIENCE_S, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 64
SLOW_US = 20000  # what a poll of the expensive domain takes
QUIET, EXPENSIVE = 1, 2
# The quiet one is stretched to 200 ms while it is idle: a poll that loses its CPU for a while does not take so
# much of the budget that this would count instead.
PERIOD_US = {QUIET: 50000, EXPENSIVE: 5000}


class Stirrer(Follower):
    """So that a region is never idle: 20 pages a second are marked."""

    def __init__(self, client, cookie):
        super().__init__()
        self.asker = client
        self.cookie = cookie

    def step(self):
        self.asker.call("mark_dirty", pb.MarkDirty(cookie=self.cookie, runs=[pb.Run(first=0, nr_pages=1)]))
        time.sleep(0.05)


class Top(SimTest):
    config = "[tracking]\npoll-budget-percent = 50\n"

    def setUp(self):
        super().setUp()
        self.asker = self.client()
        self.host.fault("track", EXPENSIVE, "every", "delay", SLOW_US)
        self.cookies, self.logs = {}, {}
        for domid in (QUIET, EXPENSIVE):
            self.add_domain(domid)
            self.cookies[domid] = self.asker.create(domid, VRAM, BACKING, NR_PAGES).cookie
            self.logs[domid] = self.open_log(self.asker.subscribe(self.cookies[domid], period_us=PERIOD_US[domid]))
        self.stirrer = Stirrer(self.client(), self.cookies[EXPENSIVE])
        self.stirrer.start()
        self.addCleanup(self.end_stirrer)
        for domid, stretch in ((QUIET, region_log.STRETCHED_IDLE), (EXPENSIVE, region_log.STRETCHED_BUDGET)):
            wait_for(lambda: self.logs[domid].counters()["stretch"] == stretch, f"{domid} is stretched")

    def end_stirrer(self):
        self.stirrer.stopping.set()
        self.stirrer.join(PATIENCE_S)

    def command(self, *arguments):
        return [self.build.xenvramctl, "--socket", self.daemon.socket, *map(str, arguments)]

    def run_ctl(self, *arguments):
        done = subprocess.run(
            self.command(*arguments),
            env=self.daemon.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def follow(self, *arguments):
        """top, while it runs."""
        process = subprocess.Popen(
            self.command("--json", "top", "--interval", 50, *arguments),
            env=self.daemon.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for cleanup in (process.wait, process.kill, process.stderr.close, process.stdout.close):
            self.addCleanup(cleanup)
        return process

    def until(self, process, condition, what):
        """Reads frames up to the first that is as it should be, which it returns."""
        frame = None

        def reached():
            nonlocal frame
            line = process.stdout.readline()
            self.assertTrue(line, f"{what}: it has ended")
            frame = json.loads(line)
            return condition({domain["domid"]: domain for domain in frame["domains"]})

        wait_for(reached, what)
        return frame

    def test_stretches_and_rates(self):
        before, begun = self.logs[EXPENSIVE].counters(), time.monotonic()
        out = self.run_ctl("--json", "top", "--frames", 3)
        seconds = time.monotonic() - begun
        polls = self.logs[EXPENSIVE].counters()["polls"] - before["polls"]
        frames = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(frames), 3)
        for frame in frames:
            self.assertEqual([d["domid"] for d in frame["domains"]], [EXPENSIVE, QUIET], "most time first")
            self.assertEqual(frame["budget_ppm"], 500000)
            expensive, quiet = frame["domains"]
            self.assertEqual((expensive["wanted_period_us"], expensive["stretch"]), (PERIOD_US[EXPENSIVE], "budget"))
            self.assertEqual((quiet["wanted_period_us"], quiet["stretch"]), (PERIOD_US[QUIET], "idle"))
            self.assertEqual((quiet["regions"], quiet["subscriptions"]), (1, 1))
            for domain in frame["domains"]:
                self.assertGreater(domain["period_us"], PERIOD_US[domain["domid"]])
            self.assertEqual(quiet["dirty_device_model_pages_per_s"], 0)
        rates = [frame["domains"][0] for frame in frames]
        mean = {key: sum(r[key] for r in rates) / 3 for key in rates[0] if key.endswith(("_per_s", "_percent"))}
        self.assertAlmostEqual(mean["polls_per_s"], polls / seconds, delta=0.3 * polls / seconds)
        # A poll takes what it is delayed by, and a little; it may be counted before its time is.
        self.assertGreater(mean["cpu_percent"], mean["polls_per_s"] * SLOW_US / 1e6 * 100 * 0.95)
        self.assertLess(mean["cpu_percent"], 75)
        self.assertTrue(0 < mean["dirty_device_model_pages_per_s"] < 21, mean)

    def test_domains_and_watch_say_it_too(self):
        domains = json.loads(self.run_ctl("--json", "domains"))
        self.assertEqual(
            [(d["domid"], d["wanted_period_us"], d["stretch"]) for d in domains],
            [(QUIET, PERIOD_US[QUIET], "idle"), (EXPENSIVE, PERIOD_US[EXPENSIVE], "budget")],
        )
        frame = json.loads(self.run_ctl("--json", "watch", hex(self.cookies[EXPENSIVE]), "--frames", 1))
        self.assertEqual((frame["wanted_period_us"], frame["stretch"]), (PERIOD_US[EXPENSIVE], "budget"))

    def check_table(self, lines):
        self.assertRegex(lines[0], r"^polling: budget 50\.00 %  used \d+\.\d\d %  one domain \d+\.\d\d %$")
        self.assertEqual(
            lines[1].split(),
            ["DOMID", "REGIONS", "READERS", "WANTED", "PERIOD", "WHY", "POLLS/S", "CPU%", "DIRTY/S"],
        )
        self.assertEqual([line.split()[:4] + line.split()[5:6] for line in lines[2:4]], [
            [str(EXPENSIVE), "1", "1", "5.0", "budget"],
            [str(QUIET), "1", "1", "50.0", "idle"],
        ])  # fmt: skip
        for line in lines[2:4]:
            self.assertRegex(line, r" \d+\.\d +\d+\.\d\d  \d+/\d+/\d+$")

    def test_lines(self):
        lines = self.run_ctl("top", "--frames", 2, "--interval", 500).splitlines()
        self.assertEqual(len(lines), 8)
        self.check_table(lines[:4])
        self.check_table(lines[4:])

    def show_on_terminal(self, rows):
        """The lines of its first frame on a terminal of so many rows, where it ends on q."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        termios.tcsetwinsize(theirs, (rows, 80))
        process = subprocess.Popen(
            self.command("top", "--interval", 500),
            env=self.daemon.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
        )
        for cleanup in (process.wait, process.kill, process.stderr.close):
            self.addCleanup(cleanup)
        os.close(theirs)
        shown = b""

        def two_frames():
            nonlocal shown
            if select.select([ours], [], [], 1)[0]:
                shown += os.read(ours, 65536)
            return shown.count(b"q quits") >= 2

        wait_for(two_frames, "it shows frames")
        os.write(ours, b"q")
        _, err = process.communicate(timeout=PATIENCE_S)
        self.assertEqual((process.returncode, err), (0, ""))
        while b"\033[?1049l" not in shown:
            shown += os.read(ours, 65536)
        frame = shown.decode().split("\033[H")[1]
        # The terminal puts a carriage return of its own before each newline.
        return [re.sub(r"\033\[\??\d*[A-Za-z]", "", line) for line in frame.split("\r\r\n")]

    def test_on_a_terminal(self):
        self.check_table(self.show_on_terminal(24))

    def test_on_a_small_terminal(self):
        lines = self.show_on_terminal(7)
        self.assertEqual(len(lines), 7, "nothing scrolls")
        self.assertEqual(lines[2].split()[0], str(EXPENSIVE))
        self.assertEqual(lines[3], "and 1 more")

    def test_domains_come_and_go(self):
        process = self.follow()
        self.until(process, lambda domains: len(domains) == 2, "both are there")
        self.add_domain(3)
        cookie = self.asker.create(3, VRAM, BACKING, NR_PAGES).cookie
        new = self.until(process, lambda domains: 3 in domains, "a new one")
        (domain,) = [d for d in new["domains"] if d["domid"] == 3]
        self.assertIsNone(domain["polls_per_s"], "it has been seen only once")
        self.assertEqual((domain["wanted_period_us"], domain["stretch"]), (0, None))
        self.until(process, lambda domains: domains[3]["polls_per_s"] == 0, "nobody has it polled")
        self.asker.destroy(cookie)
        self.until(process, lambda domains: sorted(domains) == [QUIET, EXPENSIVE], "it has gone")
        process.terminate()
        self.assertEqual(process.wait(PATIENCE_S), 0)

    def test_it_goes_on_when_the_broker_does_not(self):
        process = self.follow()
        self.until(process, lambda domains: len(domains) == 2, "both are there")
        self.end_stirrer()
        broker = self.daemon.broker_pid()
        # So that top is waiting for an answer, which does not come.
        os.kill(broker, signal.SIGSTOP)
        time.sleep(0.5)
        kill(broker)
        self.assertIn("restarted before it answered", process.stderr.readline())
        self.assertIn("restarted", process.stderr.readline())
        self.until(
            process,
            lambda domains: len(domains) == 2 and all(d["polls_per_s"] for d in domains.values()),
            "both are there again",
        )
        process.terminate()
        self.assertEqual(process.wait(PATIENCE_S), 0)

    def test_it_ends_with_the_service(self):
        process = self.follow()
        self.until(process, lambda domains: len(domains) == 2, "both are there")
        self.end_stirrer()
        self.assertEqual(self.daemon.stop(), 0)
        _, err = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 1)
        # As it finds out: between frames, or with a question on the way.
        self.assertRegex(err, "closed the connection|reset by peer")
