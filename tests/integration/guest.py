# SPDX-License-Identifier: LGPL-2.1-or-later
"""Simulated domains: their memory as dom0 sees it, and their guest, driven by tests/guest_ctl.h."""

import ctypes
import json
import mmap
import signal
import subprocess

from waiting import wait_for

CTL_GFN = 0x200
DRAWN_GFN = 0x201
CTL_MAGIC = 0x31474D58
MAX_LIST = 256
IDLE, PAINT, SWEEP = range(3)
OP_WRITE, OP_READ = range(2)
PAGE_BYTES = 4096
WORDS_PER_PAGE = PAGE_BYTES // 4

# Word indices in the control page.
_MAGIC, _MODE, _MODE_NOW, _BASE, _NR_PAGES, _BAND, _PACE, _BEAT, _CURSOR, _FRAMES = range(10)
_REQUEST, _DONE, _OP, _COUNT, _VALUE = range(10, 15)
_LIST = 16
_OUT = _LIST + MAX_LIST


PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def end_with_us():
    """For a child to call before it becomes a program: a test that is killed leaves nothing running."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def outlive_us():
    """For a child that leaves nothing running any more, and must not die while it holds a lock that others need."""
    libc.prctl(PR_SET_PDEATHSIG, 0)


class Host:
    """A simulated Xen host in a file."""

    def __init__(self, build, path, xen="4.17", mode="hap", domains=4, frames=40000):
        self.build = build
        self.path = path
        self.environment = {"SIMXEN_HOST": path}
        settings = ("--xen", xen, "--mode", mode, "--domains", str(domains), "--frames", str(frames))
        self.simxen("create-host", path, *settings)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def _run(self, program, *arguments):
        done = subprocess.run(
            [program, *arguments], env=self.build.environment(self.environment), text=True, capture_output=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def simxen(self, *arguments):
        return self._run(self.build.simxen, *arguments)

    def inspect(self, domid):
        return json.loads(self._run(self.build.inspect, str(domid)))

    def fault(self, kind, domid, when, *action):
        self.simxen("fault", kind, str(domid), str(when), *map(str, action))

    def clear_faults(self):
        self.simxen("fault", "clear")

    def calls(self, domid):
        """{kind: hypercalls so far}, and how often tracking has begun ("arms") and ended ("stops")"""
        return json.loads(self.simxen("stats", "--json"))["domains"][str(domid)]

    def begun(self, kind):
        """How many such hypercalls have begun, in all domains. Those of a domain are counted when a delay is over."""
        return json.loads(self.simxen("stats", "--json"))["total"][kind]

    def await_begun(self, kind, calls):
        wait_for(lambda: self.begun(kind) >= calls, f"{kind} call {calls} begins")


class Domain:
    def __init__(self, host, domid, kind="pvh", ram_mib=8):
        self.host = host
        self.domid = domid
        self.ram_pages = ram_mib * 256
        host.simxen("create", str(domid), "--kind", kind, "--ram-mib", str(ram_mib))

    def destroy(self, unheard=False):
        """unheard: xenstore has not told yet that a domain was released."""
        self.host.simxen("destroy", str(self.domid), *(["unheard"] if unheard else []))

    def pages(self):
        """{gfn: offset of the page in the host file}"""
        return dict(self.host.inspect(self.domid)["pages"])

    def pins(self):
        return [tuple(pin) for pin in self.host.inspect(self.domid)["pins"]]

    def tracked(self):
        """(first gfn, pages), or None when nothing is tracked."""
        first, nr_pages = self.host.inspect(self.domid)["tracked"]
        return (first, nr_pages) if nr_pages else None

    def read(self, offset):
        return self.host.memory[offset : offset + PAGE_BYTES]

    def contents(self):
        """{gfn: bytes} of all memory but the guest's own pages, which change by themselves."""
        own = range(CTL_GFN, DRAWN_GFN + 8)
        return {gfn: self.read(offset) for gfn, offset in self.pages().items() if gfn not in own}

    def fill(self):
        """Makes every page different, so that one that is lost or exchanged is noticed."""
        for gfn, offset in self.pages().items():
            if gfn < CTL_GFN or gfn >= DRAWN_GFN + 8:
                self.host.memory[offset : offset + 8] = (gfn << 16 | self.domid).to_bytes(8, "little")


class Guest:
    """The guest of a domain, running."""

    def __init__(self, domain):
        self.domain = domain
        host = domain.host
        self.process = subprocess.Popen(
            [host.build.simxen, "guest", str(domain.domid)],
            env=host.build.environment(host.environment),
            preexec_fn=end_with_us,
        )
        pages = domain.pages()
        self.ctl = self._words(pages[CTL_GFN])
        self.drawn = [self._words(pages[DRAWN_GFN + i]) for i in range(8)]
        wait_for(lambda: self.ctl[_MAGIC] == CTL_MAGIC, "the guest starts")

    def _words(self, offset):
        return memoryview(self.domain.host.memory)[offset : offset + PAGE_BYTES].cast("I")

    def set_picture(self, base, nr_pages, band_pages=4, pace=0):
        """Which gfns it draws on, and which the draw counts are of. The guest must be idle."""
        for counts in self.drawn:
            for i in range(WORDS_PER_PAGE):
                counts[i] = 0
        for word, value in ((_CURSOR, 0), (_BASE, base), (_NR_PAGES, nr_pages), (_BAND, band_pages), (_PACE, pace)):
            self.ctl[word] = value

    def start(self, mode):
        self.ctl[_MODE] = mode
        wait_for(lambda: self.ctl[_MODE_NOW] == mode, "the guest changes its mode")

    def paint(self):
        self.start(PAINT)

    def sweep(self):
        self.start(SWEEP)

    def idle(self):
        """From here on the draw counts are exact."""
        self.start(IDLE)

    def frames(self):
        return self.ctl[_FRAMES]

    def counts(self, nr_pages):
        return [self.drawn[i // WORDS_PER_PAGE][i % WORDS_PER_PAGE] for i in range(nr_pages)]

    def request(self, op, gfns, value=0):
        for at in range(0, len(gfns), MAX_LIST):
            part = gfns[at : at + MAX_LIST]
            for i, gfn in enumerate(part):
                self.ctl[_LIST + i] = gfn
            self.ctl[_OP] = op
            self.ctl[_COUNT] = len(part)
            self.ctl[_VALUE] = (value + at) & 0xFFFFFFFF
            number = (self.ctl[_REQUEST] + 1) & 0xFFFFFFFF
            self.ctl[_REQUEST] = number
            wait_for(lambda: self.ctl[_DONE] == number, "the guest answers")

    def write(self, gfns, value):
        """Word 0 of page gfns[i] becomes value + i, written by the guest itself."""
        self.request(OP_WRITE, gfns, value)

    def read(self, gfns):
        """Word 0 of each page, at most MAX_LIST, as the guest sees it; a hole reads as ~0."""
        self.request(OP_READ, gfns)
        return [self.ctl[_OUT + i] for i in range(len(gfns))]

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.ctl.release()
        for counts in self.drawn:
            counts.release()
