# SPDX-License-Identifier: MIT
"""Trying something in a process that is thrown away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import NoReturn

from cgunicorn.errors import ConfigError

#: Ends what is told. The end of the file may be long in coming: whatever was started meanwhile has
#: the pipe, too.
_END = b"\0"


def rehearse(act: Callable[[], object], what: str) -> None:
    """Does it in a copy of this process: what fails halfway has then changed nothing here. Raises
    the ConfigError that it raised there; `what` begins the sentence about any other failure."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _act(act, writer)
    os.close(writer)
    told = _read(reader)
    os.close(reader)
    # Code of the user's in this process may wait for children too, or ignore their ends.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    if told != _END:
        why = told.removesuffix(_END).decode("utf-8", "replace")
        raise ConfigError(why or f"{what} ended the process that tried it.")


def _read(reader: int) -> bytes:
    told = b""
    while not told.endswith(_END):
        piece = os.read(reader, 65536)
        if not piece:
            break
        told += piece
    return told


def _act(act: Callable[[], object], writer: int) -> NoReturn:
    try:
        act()
        os.write(writer, _END)
    except ConfigError as error:
        os.write(writer, str(error).encode("utf-8", "backslashreplace") + _END)
    finally:
        os._exit(0)
