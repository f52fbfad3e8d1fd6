#!/usr/bin/python3 -B
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Lets everything go wrong that can, at every point at which it can: every hypercall of an operation fails in every way,
every role is killed, and the domain dies, before and after every step; while one death is made good, there is another;
the journal cannot be written; what a killed worker leaves to the next is refused; and pages of somebody else appear in
the way. After each, the pages of the simulated host are compared with what the service says of them, and the operation
is undone or done again.

faults.py BUILD [--sample N] [PATTERN]: every point, or every Nth, or those whose names match the shell pattern.
"""

import argparse
import fnmatch
import itertools
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback

HOSTS = (("4.17", "hap"), ("4.20", "hap"), ("4.20", "shadow"))

MAX_SHARE_NOT_REACHED = 25  # one of so many: a full run misses one of some 400, a small sample on a busy machine more
MAX_LOG_SHOWN = 4000  # the end of it


class Tally:
    def __init__(self):
        self.n_points = 0
        self.not_reached = []  # (name, is that allowed)
        self.violations = []

    def add(self, other):
        self.n_points += other.n_points
        self.not_reached += other.not_reached
        self.violations += other.violations


def run_group(build, xen, mode, operation_name, category, sample, pattern):
    """All points of one category of one operation on one kind of host."""
    # Here, for the parent needs none of it.
    from guest import end_with_us, outlive_us
    from harness import CRASHES, REPORTS
    from points import OPERATIONS, points_of
    from stage import Stage

    end_with_us()
    tally = Tally()
    group = f"{xen}-{mode}/{operation_name}"
    operation = next(o for o in OPERATIONS if o.name == operation_name)
    directory = tempfile.mkdtemp(prefix="xenvram-faults-")
    stage = Stage(build, directory, xen, mode)

    def attempt(name, function):
        """Its result; a violation is noted, and what follows begins from scratch."""
        try:
            return function()
        except Exception as error:
            log = stage.daemon.log() if stage.daemon else ""
            tally.violations.append((name, f"{type(error).__name__}: {error}", log, traceback.format_exc()))
            renew()
            return None

    def renew():
        nonlocal stage
        try:
            stage.close()
        except Exception as error:  # it is broken already
            print(f"cleaning up after a violation: {error}", file=sys.stderr)
        shutil.rmtree(directory)
        os.mkdir(directory, 0o755)
        stage = Stage(build, directory, xen, mode)
        stage.new_daemon()

    try:
        stage.new_daemon()
        points = attempt(f"{group}/{category}", lambda: list(points_of(category, stage, operation, sample))) or []
        stage.new_daemon()
        for point in points:
            name = f"{group}/{point}"
            if pattern and not fnmatch.fnmatch(name, pattern):
                continue
            reached = attempt(name, lambda: point.run(stage, operation))
            if reached is False:
                tally.not_reached.append((name, point.may_not_come))
            else:
                tally.n_points += 1
        log = stage.daemon.log()
        if REPORTS.search(log) or CRASHES.search(log):
            tally.violations.append((f"{group}/{category}", "a role crashed", log, ""))
        attempt(f"{group}/{category}", stage.close)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        # The pool's thread that has forked us ends when it has our result, while we may still hold the lock of its pipe.
        outlive_us()
    return group, category, tally


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--sample", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("pattern", nargs="?")
    options = parser.parse_intermixed_args()
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path += [os.path.join(here, "../integration"), os.path.join(options.build, "tests/integration")]
    from points import CATEGORIES, OF_ONE_HOST, OPERATIONS

    groups = [
        (options.build, xen, mode, operation.name, category, options.sample, options.pattern)
        for (xen, mode), operation, category in itertools.product(HOSTS, OPERATIONS, CATEGORIES)
        if category not in OF_ONE_HOST or (xen, mode) == HOSTS[0]
        if not options.pattern or fnmatch.fnmatch(f"{xen}-{mode}/{operation.name}/{category}/*", options.pattern)
        or fnmatch.fnmatch(f"{xen}-{mode}/{operation.name}/{category}", "/".join(options.pattern.split("/")[:3]))
    ]
    began = time.monotonic()
    total = Tally()
    with multiprocessing.Pool(options.jobs, maxtasksperchild=1) as pool:
        results = [pool.apply_async(run_group, group) for group in groups]
        for result in results:
            group, category, tally = result.get()
            print(f"{group}/{category}: {tally.n_points} points, {len(tally.violations)} violations", flush=True)
            for name, what, log, trace in tally.violations:
                print(f"VIOLATION {name}: {what}\n  again: ./dev faults '{name}'", flush=True)
                print(log[-MAX_LOG_SHOWN:], trace, sep="\n")
            total.add(tally)
    for name, _ in total.not_reached:
        print(f"not reached: {name}")
    # Some may not come, by the clock above all; more than a few means that nothing is tested. Of those that were asked
    # for by name it may be most.
    n_missed = sum(not is_allowed for _, is_allowed in total.not_reached)
    max_not_reached = sys.maxsize if options.pattern else total.n_points // MAX_SHARE_NOT_REACHED
    print(f"{time.monotonic() - began:.0f} s; {len(total.not_reached)} more points were not reached")
    print(f"fault points: {total.n_points}, violations: {len(total.violations)}")
    too_few = total.n_points == 0 or n_missed > 0 or len(total.not_reached) > max_not_reached
    return 1 if total.violations or too_few else 0


if __name__ == "__main__":
    sys.exit(main())
