# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Random operations of several clients, guests and toolstacks, with roles killed in between, against a small
reference model. What every request must be answered is predicted, and after every step the host must be as the
model says. XENVRAM_MODEL_SEED chooses another run, XENVRAM_MODEL_EXAMPLES how long it is.
"""

import os
import shutil
import tempfile
import time
import unittest

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from guest import Host
from harness import Build
from sim_view import View
from steps import Failure, expect
from steps_clients import ClientSteps
from steps_deaths import DeathSteps, ToolstackSteps
from steps_raw import MoveSteps, PinSteps
from steps_readers import ReaderSteps
from steps_regions import RegionSteps
from waiting import SLOWNESS

SEED = int(os.environ.get("XENVRAM_MODEL_SEED", "1"))
# A sanitized daemon is slower by the factor, so it gets fewer steps in the same time.
EXAMPLES = int(os.environ.get("XENVRAM_MODEL_EXAMPLES", str(int(330 / SLOWNESS))))
STEPS_AN_EXAMPLE = 50
MIN_STEPS = EXAMPLES * 10000 // 300  # a step that finds nothing to do is none


class Service(RegionSteps, PinSteps, MoveSteps, ReaderSteps, ClientSteps, ToolstackSteps, DeathSteps):
    @invariant()
    def host_is_as_the_model_says(self):
        for domain in self.model.domains.values():
            found = self.view.pages(domain.domid)
            if found != domain.frames:
                wrong = [hex(g) for g in sorted(set(found) | set(domain.frames)) if found.get(g) != domain.frames.get(g)]
                raise Failure(f"domain {domain.domid}: pages differ at {len(wrong)} gfns: {wrong[:10]}")
            expect(self.view.pins(domain.domid), domain.pins, f"pins of domain {domain.domid}")

    @invariant()
    def listing_is_as_the_model_says(self):
        self.expect_regions(self.clients[0], self.clients[0].regions())


class ModelTest(unittest.TestCase):
    def test_against_the_model(self):
        directory = tempfile.mkdtemp(prefix="xenvram-model-")
        self.addCleanup(shutil.rmtree, directory)
        Service.directory = directory
        Service.build = Build(os.environ["XENVRAM_BUILD_DIR"])
        Service.host = Host(Service.build, os.path.join(directory, "host"))
        Service.view = View(Service.build, Service.host.path)
        self.addCleanup(Service.view.close)
        began = time.monotonic()
        run_state_machine_as_test(
            seed(SEED)(Service),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS_AN_EXAMPLE,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                print_blob=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
        print(f"{Service.n_steps} steps in {time.monotonic() - began:.0f} s, XENVRAM_MODEL_SEED={SEED}")
        self.assertGreaterEqual(Service.n_steps, MIN_STEPS)


if __name__ == "__main__":
    unittest.main()
