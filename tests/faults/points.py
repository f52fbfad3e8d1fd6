# SPDX-License-Identifier: LGPL-2.1-or-later
"""The operations, what can happen to them, and all points at which it can."""

import itertools

from failing import failure_points
from killing import death_points, kill_points, recovery_points
from operations import REGION_OPERATIONS
from raw_operations import RAW_OPERATIONS
from sequels import resent_points, unwritten_points
from strangers import stranger_points

OPERATIONS = REGION_OPERATIONS + RAW_OPERATIONS
CATEGORIES = ("fail", "kill", "death", "recovery", "unwritten", "resent", "stranger")
# What processes make good of each other's deaths, and of their own, is the same on every host; so is what they probe.
OF_ONE_HOST = ("recovery", "unwritten", "resent", "stranger")


def points_of(category, stage, operation, sample):
    """All, or every so many of them."""
    if category == "recovery":
        return recovery_points(stage, operation, 2 * sample)
    functions = {
        "fail": failure_points,
        "kill": kill_points,
        "death": death_points,
        "unwritten": unwritten_points,
        "resent": resent_points,
        "stranger": stranger_points,
    }
    return itertools.islice(functions[category](stage, operation), 0, None, sample)
