# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon whose broker fails to write to the journal when a test says so."""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../faults"))
from stage import Steps

MAX_STEPS = 40  # more than any request here takes


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

    def fail_step(self, nth):
        """The broker's nth step from now on fails, if it is a write to the journal."""
        self.steps.arm("broker", "before", nth, Steps.FAIL)
