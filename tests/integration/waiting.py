# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long to wait for what should happen soon: a bound ends a test that hangs, and judges nobody's speed."""

import os
import time

# Sanitizers make everything slower, not different.
SLOWNESS = float(os.environ.get("XENVRAM_TEST_SLOWNESS", "1"))
PATIENCE_S = 30 * SLOWNESS


def wait_for(condition, what, seconds=PATIENCE_S):
    """`what` is a text, or a function that makes one when it is needed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what() if callable(what) else what}: not within {seconds:.0f} s")
        time.sleep(0.001)
