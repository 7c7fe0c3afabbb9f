# SPDX-License-Identifier: MIT
"""The way into the background.

The process that the user started forks, and waits until the daemon has opened its sockets: so its
exit code says whether there is a server, and what goes wrong before is still said on the terminal.

    user's process --fork--> session leader --fork--> daemon: loads, binds, detach()
         |  <------------------- pipe: its pid, then READY ----'
         `-- exits 0 at READY, 1 when the pipe ends without it
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

_READY = b"+"
_UMASK = 0o22


class Daemon:
    """A server that is still bound to the terminal of its user."""

    def __init__(self, inherits_stdio: bool) -> None:
        """Forks; returns in the daemon only."""
        self._inherits_stdio = inherits_stdio
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        reader, self._writer = os.pipe()
        pid = os.fork()
        if pid:
            os.close(self._writer)
            with contextlib.suppress(ChildProcessError):  # whoever started us may ignore their ends
                os.waitpid(pid, 0)
            _wait(reader)
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(reader)
        os.umask(_UMASK)
        os.write(self._writer, b"%d\n" % os.getpid())

    def detach(self) -> None:
        """Lets go of the terminal, and of the process that waits there."""
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            if fd == 0 or not self._inherits_stdio or os.isatty(fd):
                os.dup2(null, fd)
        os.close(null)
        os.write(self._writer, _READY)
        os.close(self._writer)


def _wait(reader: int) -> NoReturn:
    """In the user's process. An interrupt is passed on to the daemon, which is in no terminal."""
    told = b""
    try:
        while part := os.read(reader, 64):
            told += part
    except KeyboardInterrupt:
        if told:
            os.kill(int(told.split()[0]), signal.SIGINT)
    os._exit(0 if told.endswith(_READY) else 1)
