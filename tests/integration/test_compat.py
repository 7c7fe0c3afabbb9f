# SPDX-License-Identifier: MIT
"""Gunicorn from PyPI and cgunicorn do the same, or docs/differences.md says what and why."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import compat
import compat_config
import compat_life
import compat_logs
import compat_objects
import compat_projects
import compat_values
import compat_wire
import pytest
from compat import Findings, Scenario, Subject

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 10), reason="Gunicorn 27, which cgunicorn is compared with, needs 3.10"
)

SCENARIOS: dict[str, Scenario] = {
    "print-config": compat_config.print_config,
    "sources": compat_config.sources,
    "mistakes": compat_config.mistakes,
    "application": compat_config.application,
    "command": compat_config.command,
    "environ": compat_wire.environ,
    "responses": compat_wire.responses,
    "access-log": compat_wire.access_log,
    **compat_life.SCENARIOS,
    **compat_objects.SCENARIOS,
    **compat_logs.SCENARIOS,
    **compat_projects.SCENARIOS,
    **compat_values.SCENARIOS,
}


def findings(scenario: Scenario, name: str, folder: Path) -> Findings:
    folder.mkdir()
    (folder / "app.py").write_text(compat.APP)
    subject = Subject(name, folder)
    try:
        return scenario(subject)
    finally:
        subject.close()


@pytest.mark.parametrize("name", SCENARIOS)
def test_difference_is_listed_and_nothing_else_is(name: str, tmp_path: Path) -> None:
    def run(subject: str) -> Findings:
        found = findings(SCENARIOS[name], subject, tmp_path / subject)
        return {f"{name}/{key}": lines for key, lines in found.items()}

    with ThreadPoolExecutor(2) as pool:
        found = compat.compare(*pool.map(run, ["gunicorn", "cgunicorn"]))
    stale = compat.explain(found, [row.only(name) for row in compat.rows()])
    unlisted = [difference.row(key) for key, difference in found.items() if difference]
    assert not unlisted, "not in docs/differences.md:\n" + "\n".join(unlisted)
    assert not stale, "in docs/differences.md, but there is no such difference"


def test_every_row_is_about_a_scenario() -> None:
    names = {name.partition("/")[0] for row in compat.rows() for name in row.names}
    assert names <= SCENARIOS.keys()


def test_every_test_that_the_document_names_exists() -> None:
    folder = Path(__file__).parent
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", compat.DIFFERENCES.read_text("utf-8"))
    assert named
    assert not [test for file, test in named if f"def {test}(" not in (folder / file).read_text()]
