# SPDX-License-Identifier: MIT
"""Trying something in a process that is thrown away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import NoReturn

from cgunicorn.errors import ConfigError

_DONE = "\0"


def rehearse(act: Callable[[], object], what: str) -> None:
    """Does it in a copy of this process: what fails halfway has then changed nothing here. Raises
    the ConfigError that it raised there; `what` begins the sentence about any other failure."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _act(act, writer)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        told = file.read()
    # Code of the user's in this process may wait for children too, or ignore their ends.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    if told != _DONE:
        raise ConfigError(told or f"{what} ended the process that tried it.")


def _act(act: Callable[[], object], writer: int) -> NoReturn:
    try:
        act()
        os.write(writer, _DONE.encode())
    except ConfigError as error:
        os.write(writer, str(error).encode("utf-8", "backslashreplace"))
    finally:
        os._exit(0)
