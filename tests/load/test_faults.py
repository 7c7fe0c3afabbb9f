# SPDX-License-Identifier: MIT
"""Each scenario of `./dev load` in its short form: what may not fail does not, and processes,
descriptors and memory are what they were."""

from __future__ import annotations

import os
from pathlib import Path

import play
import pytest
from scenarios import SCENARIOS, Scenario, memory

#: One of each kind of worker and one of each kind of connection; `./dev load` plays all four.
PAIRS = [("sync", "close"), ("async", "keep-alive")]

ROWS = [
    pytest.param(scenario, driver, mode, id=f"{scenario.name}-{driver}-{mode}")
    for scenario in SCENARIOS
    for driver, mode in PAIRS
    if mode in scenario.modes
]


@pytest.mark.parametrize(("scenario", "driver", "mode"), ROWS)
def test_only_what_must_fail_fails(
    scenario: Scenario, driver: str, mode: str, tmp_path: Path
) -> None:
    if scenario.disk and not play.may_mount():
        pytest.skip("needs to mount a small file system")
    if scenario.act is memory and os.environ.get("CGUNICORN_TEST_ENV"):
        pytest.skip("sanitizers need address space of their own")
    row = play.play(scenario, tmp_path, driver, mode, full=False)
    assert row.complaints == []
    assert row.tally.answered >= 20
