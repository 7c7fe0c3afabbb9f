# SPDX-License-Identifier: MIT
"""Runs the server with the packages of a virtual environment, as uWSGI does for `virtualenv`."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgunicorn.errors import ConfigError

_SECONDS_TO_ANSWER = 60

#: What is asked of the environment's interpreter.
_QUESTION = """
import importlib.util, json, sys, sysconfig
print(json.dumps({
    "prefix": sys.prefix,
    "version": "%d.%d" % sys.version_info[:2],
    "abi": sysconfig.get_config_var("SOABI"),
    "packages": [sysconfig.get_path(kind) for kind in ("purelib", "platlib")],
    "has_server": importlib.util.find_spec("cgunicorn") is not None,
}))
"""


def enter(home: str, arguments: Sequence[str]) -> None:
    """Goes on in the environment: becomes the same command under its interpreter if that has this
    package, else takes its packages into this process. ConfigError."""
    if _is_here(home):
        return
    python = Path(home, "bin", "python")
    answer = _ask(home, python)
    if answer["has_server"] and Path(answer["prefix"]).samefile(home):
        command = [str(python), "-m", "cgunicorn", *arguments]
        os.execv(python, command)  # noqa: S606
    _take_packages(home, answer)


def _is_here(home: str) -> bool:
    try:
        return Path(home).samefile(sys.prefix)
    except OSError:
        return False


def _ask(home: str, python: Path) -> dict[str, Any]:
    """From the top folder: `-c` would find packages in the working folder too."""
    try:
        done = subprocess.run(  # noqa: S603 - the user's own interpreter
            [str(python.absolute()), "-c", _QUESTION],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_SECONDS_TO_ANSWER,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        raise ConfigError(
            f"{home!r} is no virtual environment: {str(python)!r} can't be run."
        ) from None
    return answer


def _take_packages(home: str, answer: dict[str, Any]) -> None:
    import sysconfig

    if answer["abi"] != sysconfig.get_config_var("SOABI"):
        ours = "{}.{}".format(*sys.version_info)
        raise ConfigError(
            f"The virtual environment {home!r} is for Python {answer['version']}, and this is"
            f" Python {ours}; install cgunicorn in it: {home}/bin/python -m pip install cgunicorn."
        )
    before = list(sys.path)
    for folder in answer["packages"]:
        site.addsitedir(folder)
    # In front of what this process has, which would otherwise win.
    sys.path[:] = [*(path for path in sys.path if path not in before), *before]
    os.environ["VIRTUAL_ENV"] = str(Path(home).absolute())
