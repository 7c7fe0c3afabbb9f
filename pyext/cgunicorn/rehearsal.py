# SPDX-License-Identifier: MIT
"""Trying something in a process that is thrown away."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

from cgunicorn.errors import ConfigError


def rehearse(act: Callable[[], object]) -> None:
    """Does it in a copy of this process: what fails halfway has then changed nothing here. Raises
    the ConfigError that it raised there. Python's logging closes all handlers there are before it
    looks at a new configuration."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _act(act, writer)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        why = file.read()
    _, status = os.waitpid(pid, 0)
    if why or status:
        raise ConfigError(why or "The new logging configuration ended the process that tried it.")


def _act(act: Callable[[], object], writer: int) -> NoReturn:
    code = 1
    try:
        act()
        code = 0
    except ConfigError as error:
        os.write(writer, str(error).encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)
