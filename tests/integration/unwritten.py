# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon whose broker fails to write to the journal when a test says so."""

import itertools
import os
import sys

from harness import kill
from waiting import wait_for

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../faults"))
from stage import Steps


class Unwritten:
    """For a SimTest."""

    def use_steps(self):
        path = os.path.join(self.directory, "steps")
        self.steps = Steps(path)
        self.addCleanup(self.steps.close)
        self.daemon.environment.update(
            LD_PRELOAD=os.path.join(self.build.directory, "tests/faults/libsteps.so"),
            XENVRAM_STEPS=path,
            ASAN_OPTIONS="verify_asan_link_order=0",
        )
        self.fresh_daemon()

    def fail_write(self, nth):
        """The broker's nth write to the journal from now on fails."""
        self.steps.arm("broker", "before", nth, Steps.FAIL)

    def fail_no_more(self):
        """What has not failed by now does not."""
        self.struck = self.steps.was_struck()
        self.steps.disarm()

    def each_write(self):
        """1, 2 and so on, until there are not so many writes."""
        for nth in itertools.count(1):
            self.struck = False
            yield nth
            if not self.struck:
                return

    def restart_broker(self):
        pid = self.daemon.broker_pid()
        kill(pid)
        wait_for(lambda: self.daemon.role_pids("broker") not in ([], [pid]), "there is another broker")
        self.asker = self.client()
