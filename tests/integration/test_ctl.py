# SPDX-License-Identifier: LGPL-2.1-or-later
"""xenvramctl, and with it libxenvram, on the service."""

import json
import subprocess
import unittest

import protocol
from harness import SimTest, kill
from waiting import PATIENCE_S, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 100


class Ctl(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.before = self.domain.contents()

    def command(self, *arguments):
        return [self.build.xenvramctl, "--socket", self.daemon.socket, *map(str, arguments)]

    def run_ctl(self, *arguments, status=0):
        """(standard output, standard error)"""
        done = subprocess.run(
            self.command(*arguments),
            env=self.daemon.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def json(self, *arguments):
        return json.loads(self.run_ctl("--json", *arguments)[0])

    def create_arguments(self, domid=1, vram=VRAM, backing=BACKING, pages=NR_PAGES):
        return (
            "create", "--domid", domid, "--vram-gfn", hex(vram), "--backing-gfn", hex(backing), "--pages", pages,
        )  # fmt: skip

    def says_nothing(self, *arguments):
        self.assertEqual(self.run_ctl("--json", *arguments), ("", ""))

    def create(self):
        return self.run_ctl(*self.create_arguments())[0].strip()

    def dirty(self, snapshot):
        return [p for run in snapshot["runs"] for p in range(run["first"], run["first"] + run["pages"])]

    def test_pins(self):
        pages = ("--domid", 1, "--gfn", "0xe0000", "--pages", 16)
        self.says_nothing("pin", *pages, "--cache-attr", "wc")
        self.says_nothing(*self.create_arguments(), "--dry-run")
        cookie = self.create()
        self.assertEqual(
            [(p["first_gfn"], p["nr_pages"], p["cache_attr"], p["region"]) for p in self.json("pins", "--domid", 1)],
            [(0xE0000, 16, "wc", None), (VRAM, NR_PAGES, "wb", cookie)],
        )
        text, _ = self.run_ctl("pins", "--domid", 1)
        self.assertIn("0xe0000", text)
        self.assertIn(cookie, text)
        self.assertIn("0xe0000", self.run_ctl("unpin", *pages[:-1], 15, status=1)[1])
        self.says_nothing("unpin", *pages)
        self.assertEqual(len(self.json("pins", "--domid", 1)), 1)
        self.run_ctl("pin", "--domid", 1, "--gfn", 5, status=2)
        self.run_ctl("pin", *pages, "--cache-attr", "none", status=2)
        self.run_ctl("pins", status=2)

    def test_move_ram(self):
        move = ("move-ram", "--domid", 1, "--from", hex(BACKING), "--to", "0xe0000", "--pages", NR_PAGES)
        self.says_nothing(*move)
        self.assert_moved(self.before, self.domain, 0xE0000, BACKING, NR_PAGES)
        self.assertIn("source gfn 0x400", self.run_ctl(*move, status=1)[1])
        text, _ = self.run_ctl("map-ram", *move[1:])
        self.assertIn(f"{NR_PAGES} vram      0xe0000", text)
        self.assertEqual(
            self.json("map-ram", *move[1:]), [{"first": 0, "pages": NR_PAGES, "place": "vram", "gfn": 0xE0000}]
        )
        self.run_ctl("map-ram", *move[1:], "--force", status=2)
        back = ("move-ram", "--domid", 1, "--from", "0xe0000", "--to", hex(BACKING + 1), "--pages", NR_PAGES)
        self.assertIn("destination", self.run_ctl(*back, status=1)[1])
        self.run_ctl(*back, "--force")
        self.assertEqual(len(self.domain.contents()), len(self.before) - 1, "a page was dropped")
        self.run_ctl("move-ram", "--domid", 1, status=2)

    def test_a_region_from_birth_to_end(self):
        cookie = self.create()
        self.assert_moved(self.before, self.domain, VRAM, BACKING, NR_PAGES)
        region = self.json("regions")[0]
        self.assertEqual(
            {k: region[k] for k in ("cookie", "domid", "vram_gfn", "backing_gfn", "nr_pages", "cache_attr", "state")},
            {
                "cookie": cookie,
                "domid": 1,
                "vram_gfn": VRAM,
                "backing_gfn": BACKING,
                "nr_pages": NR_PAGES,
                "cache_attr": "wb",
                "state": "active",
            },
        )
        self.assertIn(cookie, self.run_ctl("regions")[0])
        self.assertEqual(self.json("regions", "--domid", 2), [])
        self.assertEqual(self.json("domains")[0]["regions"], 1)

        snapshot = self.json("snapshot", cookie)
        self.assertEqual(self.dirty(snapshot), list(range(NR_PAGES)))
        since = snapshot["generation"]
        self.guest.write([VRAM + i for i in (3, 4, 5, 64, 99)], 1)
        snapshot = self.json("snapshot", cookie, "--since", since, "--sync")
        self.assertEqual(self.dirty(snapshot), [3, 4, 5, 64, 99])
        self.assertEqual(snapshot["dirty_pages"], 5)
        text, _ = self.run_ctl("snapshot", cookie, "--since", since)
        self.assertIn("5 of 100 pages", text)

        self.assertEqual(self.json("destroy", cookie)["cookie"], cookie)
        self.assertEqual(len(self.domain.contents()), len(self.before))
        self.assertEqual(self.json("regions"), [])

    def test_what_the_service_says_is_passed_on(self):
        for arguments, words in (
            (self.create_arguments(domid=77), ("create", "domain 77")),
            (self.create_arguments(vram=0x300), ("0x300", "hole")),
            (self.create_arguments(pages=0), ("nr_pages 0",)),
            (self.create_arguments(vram=(1 << 64) - 1), ("0xffffffffffffffff",)),
            (("destroy", "0x1234"), ("0x1234",)),
            (("snapshot", "0x1234"), ("0x1234",)),
            (("watch", "0x1234"), ("0x1234",)),
            (("map", "0x1234"), ("0x1234",)),
            (("move", "0x1234", "--vram-gfn", "0xe0000"), ("0x1234",)),
            (("destroy", "0x1234", "--first", "1", "--pages", "2"), ("0x1234",)),
        ):
            with self.subTest(arguments):
                out, err = self.run_ctl(*arguments, status=1)
                self.assertEqual(out, "")
                for word in ("xenvramctl", *words):
                    self.assertIn(word, err)
        self.assert_contents(self.before, self.domain)

    def test_parts_moves_and_maps(self):
        cookie = self.create()
        self.run_ctl("destroy", cookie, "--first", "10", "--pages", "5")
        self.run_ctl("move", cookie, "--vram-gfn", "0xe0000")
        out, _ = self.run_ctl("map", cookie)
        lines = [line.split() for line in out.splitlines()]
        last = NR_PAGES - 1
        self.assertEqual(
            lines,
            [
                ["page", "0", "to", "9:", "10", "vram", "0xe0000"],
                ["page", "15", "to", f"{last}:", str(NR_PAGES - 15), "vram", "0xe000f"],
            ],
        )
        runs = [{"first": 0, "pages": 10}, {"first": 15, "pages": NR_PAGES - 15}]
        where = [{"place": "vram", "gfn": 0xE0000}, {"place": "vram", "gfn": 0xE000F}]
        self.assertEqual(self.json("map", cookie), [run | place for run, place in zip(runs, where)])
        region = self.json("regions")[0]
        self.assertEqual((region["nr_pages"], region["live_pages"]), (NR_PAGES, NR_PAGES - 5))
        self.assertEqual((region["vram_gfn"], region["extents"]), (0xE0000, runs))
        out, _ = self.run_ctl("regions")
        self.assertIn(f"{NR_PAGES - 5} pages are left: 0 to 9 15 to {last}", out)
        self.run_ctl("destroy", cookie)
        self.assert_contents(self.before, self.domain)

    def test_a_warning(self):
        self.host.fault("pin", 1, 1, "fail", "EPERM")
        out, err = self.run_ctl(*self.create_arguments(), "--cache-attr", "uc")
        self.assertIn("pin", err)
        self.run_ctl("destroy", out.strip())
        self.host.fault("pin", 1, 1, "fail", "EPERM")
        self.run_ctl(*self.create_arguments(), "--cache-attr", "uc", "--require-cache-attr", status=1)
        self.assert_contents(self.before, self.domain)

    def test_called_wrongly(self):
        for arguments in (
            (),
            ("nonsense",),
            ("destroy",),
            ("destroy", "zzz"),
            ("destroy", "0x1", "0x2"),
            ("destroy", "0x1", "--first", "3"),
            ("destroy", "0x1", "--pages", "3"),
            ("destroy", "0x1", "--first", "3", "--pages", "0"),
            ("move", "0x1"),
            ("map",),
            ("snapshot", "0x1", "--since", "-1"),
            ("regions", "--nonsense"),
            ("create", "--domid", "1"),
            (*self.create_arguments(), "--cache-attr", "purple"),
        ):
            with self.subTest(arguments):
                out, err = self.run_ctl(*arguments, status=2)
                self.assertEqual(out, "")
                self.assertIn("--help", err)
        for arguments, named in (
            (("regions", "-xy"), "-x"),
            (("map", "-1"), "-1"),
            (("-x", "regions"), "-x"),
            (("regions", "--nonsense"), "--nonsense"),
            (("regions", "--json=x"), "--json=x"),
            (("--jso=x", "regions"), "--jso=x"),
        ):
            with self.subTest(arguments):
                self.assertIn(f" {named} is not understood", self.run_ctl(*arguments, status=2)[1])

    def test_a_refused_connection_says_why(self):
        held = [self.connection() for _ in range(256)]
        for _ in range(10):
            _, stderr = self.run_ctl("regions", status=1)
            self.assertIn("256 connections", stderr)
        held[0].close()
        wait_for(lambda: not self.run_ctl_fails("regions"), "there is room again")

    def run_ctl_fails(self, *arguments):
        return subprocess.run(self.command(*arguments), env=self.daemon.environment, capture_output=True).returncode

    def test_no_service(self):
        _, err = self.run_ctl("--socket", "/nonexistent/sock", "regions", status=1)
        self.assertIn("/nonexistent/sock", err)

    def test_dirty(self):
        self.guest.set_picture(0x700, 4, band_pages=4, pace=1000)
        self.guest.paint()
        arguments = ("dirty", "--domid", "1", "--gfn", "0x6fe", "--pages", "10", "--interval", "100")
        found = self.json(*arguments)
        self.assertEqual((found["runs"], found["dirty_pages"]), ([{"first": 2, "pages": 4}], 4))
        out, _ = self.run_ctl(*arguments)
        self.assertIn("gfn 0x700 to 0x703: 4", out)

    def test_watch(self):
        cookie = self.create()
        self.guest.set_picture(VRAM, 20, pace=200000)
        self.guest.paint()
        out, _ = self.run_ctl("--json", "watch", cookie, "--frames", 5, "--interval", 100)
        frames = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(frames), 5)
        painted = set(range(20))
        self.assertLessEqual(set().union(*map(self.dirty, frames[1:])), painted, "nothing else")
        self.assertTrue(any(set(self.dirty(frame)) == painted for frame in frames[1:]), "all of a frame's drawing")
        generations = [frame["generation"] for frame in frames]
        self.assertEqual(generations, sorted(generations))
        out, _ = self.run_ctl("watch", cookie, "--frames", 2, "--interval", 50)
        self.assertEqual(len(out.splitlines()), 2)

    def watch(self, cookie, *arguments):
        watcher = subprocess.Popen(
            self.command("--json", "watch", cookie, "--interval", 20, *arguments),
            env=self.daemon.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(watcher.wait)
        self.addCleanup(watcher.kill)
        self.addCleanup(watcher.stderr.close)
        self.addCleanup(watcher.stdout.close)
        return watcher

    def test_watch_goes_on_while_roles_die(self):
        cookie = self.create()
        self.guest.set_picture(VRAM, 20, pace=200000)
        self.guest.paint()
        watcher = self.watch(cookie)
        for pid in (self.daemon.broker_pid, lambda: self.daemon.await_worker(1)):
            watcher.stdout.readline()
            kill(pid())
            asker = self.client()
            _, generation = protocol.until_answered(lambda: asker.snapshot(int(cookie, 16), sync=True))

            def goes_on():
                frame = json.loads(watcher.stdout.readline())
                return frame["generation"] > generation and self.dirty(frame) == list(range(20))

            wait_for(goes_on, "it shows what is painted from then on")
        watcher.terminate()
        _, err = watcher.communicate(timeout=PATIENCE_S)
        self.assertEqual(watcher.returncode, 0, err)

    def test_watch_ends_with_the_region(self):
        cookie = self.create()
        watcher = self.watch(cookie)
        watcher.stdout.readline()
        self.run_ctl("destroy", cookie)
        _, err = watcher.communicate(timeout=PATIENCE_S)
        self.assertEqual(watcher.returncode, 1)
        self.assertIn("destroyed", err)


if __name__ == "__main__":
    unittest.main()
