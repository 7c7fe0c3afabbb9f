# SPDX-License-Identifier: MIT
"""What this process got from whoever started it, and how to start the same command once more."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import NoReturn

from cgunicorn import _cgunicorn


def take_inherited(environ: MutableMapping[str, str]) -> dict[str, str]:
    """The variables with which sockets are passed on. Those that are meant for this process alone
    are gone from the environment then: no child may take them for its own."""
    found = {}
    for name, stays in _cgunicorn.inherited_variables:
        if name in environ:
            found[name] = environ[name] if stays else environ.pop(name)
    return found


def command() -> list[str]:
    """The command of this process, to be executed in the folder that it was started in."""
    return [sys.executable, *_arguments()]


def _arguments() -> list[str]:
    original: list[str] | None = getattr(sys, "orig_argv", None)
    if original:
        return original[1:]
    # Python 3.9 does not keep it.
    import subprocess

    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return [*flags, *sys.argv]
    name = spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name
    return [*flags, "-m", name, *sys.argv[1:]]


def execute(directory: str, environ: Mapping[str, str]) -> NoReturn:
    """Becomes the command anew, in this folder and with this environment. OSError."""
    os.chdir(directory)
    os.execve(sys.executable, command(), environ)  # noqa: S606
