# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hypercalls fail."""

import errno
import itertools

from attempt import Attempt, Point
from stage import DOMID

ALL_PAGES = 0xFFFFFFFF

# What each call can answer, by Xen and by Linux. Left out are those that would be a lie here: ESRCH is for domains that
# die, and those really do (killing.py); ENOENT of a pin says that there is none, and where there is one Xen would not.
ERRORS = {
    "track": ("ENODATA", "EINVAL", "ENOMEM", "EFAULT", "E2BIG", "EPERM", "EOPNOTSUPP"),
    "relocate": (
        "EINVAL",
        "EACCES",
        "EXDEV",
        "EPERM",
        "EOVERFLOW",
        "ENOMEM",
        "ENOENT",
        "ENXIO",
        "EFAULT",
        "EOPNOTSUPP",
    ),
    "pin": ("EBUSY", "ENOSPC", "EINVAL", "EPERM", "ENOMEM", "EOPNOTSUPP"),
    "modified": ("EINVAL", "EPERM", "ENOMEM", "EOPNOTSUPP"),
    "map": ("EPERM", "EINVAL", "ENOMEM", "EFAULT"),
}
# How much of the call was done before it failed.
PROGRESS = {"relocate": (0, 1, 20, ALL_PAGES), "track": (0, ALL_PAGES), "map": (0,), "pin": (0,), "modified": (0,)}
# A page that a map call is refused, neither RAM nor hole.
PAGE_ERRORS = ("ENOENT", "ENOMEM")

# Where pages are moved one by one: which of the calls of a kind fail second, besides the last.
FIRST_CALLS = 5


class Fault:
    """The nth call of a kind fails."""

    def __init__(self, kind, nth, error, pages=0, lasting=False, of_page=False):
        self.kind, self.nth, self.error, self.pages = kind, nth, error, pages
        self.lasting, self.of_page = lasting, of_page

    def __str__(self):
        pages = "all" if self.pages == ALL_PAGES else self.pages
        where = f"page{pages}" if self.of_page else f"after{pages}"
        return f"{self.kind}{self.nth}{'+' if self.lasting else ''}-{self.error}-{where}"

    def arm(self, view):
        """Its number there."""
        error = getattr(errno, self.error)
        return view.fault(self.kind, DOMID, self.nth, error, self.pages, self.lasting, self.of_page)


def faults_of(counts, lasting, first_calls=None):
    """Every failure of every call that an operation makes, {kind: how many}; or of the first so many, and the last."""
    for kind, n in counts.items():
        calls = range(1, n + 1)
        for nth in sorted({*calls[:first_calls], *calls[-1:]}):
            for error, pages in itertools.product(ERRORS[kind], PROGRESS[kind]):
                yield Fault(kind, nth, error, pages, lasting)
            if kind == "map":
                for error, page in itertools.product(PAGE_ERRORS, (0, 1)):
                    yield Fault(kind, nth, error, page, lasting, of_page=True)


def count_calls(stage, operation, faults=()):
    """{kind: hypercalls that the operation makes}"""
    attempt = Attempt(stage, operation)
    before = stage.view.calls(DOMID)
    for fault in faults:
        fault.arm(stage.view)
    attempt.start()
    reply = attempt.reply()
    # A call that fails before anything is done is not counted by the host.
    after = stage.view.calls(DOMID)
    counts = {kind: after[kind] - before[kind] + sum(f.kind == kind and not f.pages for f in faults) for kind in after}
    attempt.judge(reply)
    return counts


class FailurePoint(Point):
    """One or two hypercalls fail."""

    def __init__(self, *faults):
        self.faults = faults
        # Tracking is polled, and begins anew, when it is time; and a call that maps one page has no second one.
        self.may_not_come = any(fault.kind == "track" or fault.of_page and fault.pages > 0 for fault in faults)

    def __str__(self):
        return "fail/" + ",".join(map(str, self.faults))

    def run(self, stage, operation):
        """False if not all of them have failed."""
        attempt = Attempt(stage, operation, self)
        armed = [fault.arm(stage.view) for fault in self.faults]
        attempt.start()
        attempt.judge(attempt.reply())
        return all(stage.view.has_struck(fault) for fault in armed)


def failure_points(stage, operation):
    counts = count_calls(stage, operation)
    for lasting in (False, True):
        for fault in faults_of(counts, lasting):
            yield FailurePoint(fault)
    # What undoes the operation fails as well.
    for first in (Fault("relocate", 1, "ENOMEM", 20), Fault("relocate", 2, "EINVAL", 20), Fault("pin", 1, "EPERM")):
        if counts[first.kind] < first.nth:
            continue
        more = count_calls(stage, operation, [first])
        for lasting in (False, True):
            for second in faults_of(more, lasting, FIRST_CALLS):
                # Calls that the first lets happen as they did were dealt with above.
                if second.nth > counts[second.kind] or (second.kind, second.nth) > (first.kind, first.nth):
                    yield FailurePoint(first, second)
