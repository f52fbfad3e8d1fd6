# SPDX-License-Identifier: LGPL-2.1-or-later
"""
When the broker is about to have something done, a stranger appears: a page that somebody else populates, where one of
the operation's pages has just left or is to go. None may be moved onto it, neither ahead nor, after a failure, back.
"""

import itertools

from attempt import Attempt, Held, Point
from failing import Fault, count_calls
from places import BACKING, NEW_VRAM, NR_PAGES, PART, VRAM

HOME_AND_VRAM, BOTH_VRAMS, ALL_THREE = (BACKING, VRAM), (VRAM, NEW_VRAM), (BACKING, VRAM, NEW_VRAM)
# Where the pages of an operation are, come from, and go to.
PLACES = {
    "create": HOME_AND_VRAM,
    "destroy": HOME_AND_VRAM,
    "destroy-stuck": HOME_AND_VRAM,
    "move": BOTH_VRAMS,
    "move-stuck": BOTH_VRAMS,
    "destroy-stuck-move": ALL_THREE,
    "destroy-stuck-twice": ALL_THREE,
    "destroy-adopted-stuck-move": (BACKING, NEW_VRAM),
    "part": HOME_AND_VRAM,
    "part-stuck": HOME_AND_VRAM,
    "destroy-stuck-part": HOME_AND_VRAM,
    "move-ram": HOME_AND_VRAM,
}
# One of these comes first.
FAILURES = (
    Fault("relocate", 1, "ENOMEM", 20),
    Fault("relocate", 2, "EINVAL", 20),
    Fault("relocate", 2, "ENXIO", lasting=True),
    Fault("pin", 1, "EPERM"),
)
ENDS = {"first": 0, "last": -1}


class StrangerPoint(Point):
    """Before a step of the broker, while no worker does anything; and after a hypercall has failed, or none."""

    def __init__(self, fault, nth, place, end):
        self.fault, self.nth, self.place, self.end = fault, nth, place, end

    def __str__(self):
        after = f"{self.fault}," if self.fault else ""
        return f"stranger/{after}before-broker{self.nth}-{self.end}-of-{self.place:#x}"

    def gfn(self, stage, operation):
        """Of the holes in this place whose pages are at another; None: there is none."""
        found = stage.pages()
        at = {frame: gfn for gfn, frame in found.items()}
        concerned = PART if operation.name.startswith("part") else range(NR_PAGES)
        elsewhere = [place for place in PLACES[operation.name] if place != self.place]
        holes = [
            self.place + i
            for i in concerned
            if self.place + i not in found and at[stage.home[BACKING + i]] - i in elsewhere
        ]
        return holes[ENDS[self.end]] if holes else None

    def run(self, stage, operation):
        held = Held(stage, operation, self)
        if self.fault:
            self.fault.arm(stage.view)
        if not held.run_to("broker", "before", self.nth):
            held.judge(held.reply())
            return False
        gfn = self.gfn(stage, operation)
        if gfn is not None:
            stage.add_stranger(gfn)
        stage.steps.release()
        held.judge(held.reply())
        return True


def count_broker_steps(stage, operation, fault):
    attempt = Attempt(stage, operation)
    if fault:
        fault.arm(stage.view)
    attempt.await_quiet()
    before = stage.steps.count("broker")
    attempt.start()
    attempt.await_quiet()
    n_steps = stage.steps.count("broker") - before
    attempt.judge(attempt.reply())
    return n_steps


def stranger_points(stage, operation):
    if operation.name not in PLACES:
        return
    counts = count_calls(stage, operation)
    for fault in (None, *(fault for fault in FAILURES if fault.nth <= counts[fault.kind])):
        steps = range(1, count_broker_steps(stage, operation, fault) + 1)
        for nth, place, end in itertools.product(steps, PLACES[operation.name], ENDS):
            yield StrangerPoint(fault, nth, place, end)
