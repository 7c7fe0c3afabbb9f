# SPDX-License-Identifier: MIT
"""Commands that run as somebody who may nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import PATIENCE, server_environment

#: In front of a command.
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def _nobody_can_run_us() -> bool:
    if os.geteuid() != 0:
        return False
    command = [*AS_NOBODY, sys.executable, "-c", "import cgunicorn._cgunicorn"]
    return subprocess.run(command, cwd="/", capture_output=True).returncode == 0


def run_as_nobody(
    *args: str, folder: Path = Path("/"), within: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs `cgunicorn ARGS` to its end (it must end by itself). `within` comes before all."""
    return subprocess.run(
        [*within, *AS_NOBODY, sys.executable, "-m", "cgunicorn", *args],
        cwd=folder,
        env=server_environment(),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


#: For tests that start a server so.
as_nobody = pytest.mark.skipif(
    not _nobody_can_run_us(),
    reason="needs root, and an interpreter and a clone that every user may read",
)
