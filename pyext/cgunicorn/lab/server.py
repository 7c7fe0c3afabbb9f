# SPDX-License-Identifier: MIT
"""Starts and ends the server of one cell. Its socket is made here, so that the kernel chooses the
port, and its whole session is ended with it."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from cgunicorn import _cgunicorn
from cgunicorn.lab.grid import Cell
from cgunicorn.lab.subject import HEADER, READY, SLOW, Order

#: Seconds until all workers must be ready, and until a server that was asked to stop has.
START_S = 60
_STOP_S = 5

_BACKLOG = 2048
_LOG_LINES_MAX = 30
_LOG_BYTES_MAX = 16384
_POLL_S = 0.05
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ServerError(Exception):
    """The server does not do what it should. `details` is the end of what it printed."""

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details


class Server:
    """One running server. A context manager; `arguments` are those of the command `cgunicorn`,
    `settings` what the lab wants besides the cell, `life_s` bounds its life in any case."""

    def __init__(
        self,
        cell: Cell,
        arguments: Sequence[str],
        settings: dict[str, Any],
        sleep_s: float,
        life_s: float,
    ) -> None:
        self._cell = cell
        self._secret = secrets.token_hex(16)
        self._counts: Counter[bytes] = Counter()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._report_fd, report_fd = os.pipe()
        os.set_blocking(self._report_fd, False)
        os.set_blocking(report_fd, False)
        with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
            self.address: tuple[str, int] = listener.getsockname()
            wanted = {**_cell_settings(cell), **settings, "bind": [f"fd://{listener.fileno()}"]}
            order = Order(wanted, self._secret, sleep_s, START_S + int(life_s) + 1, report_fd)
            self._process = self._start(order, arguments, (listener.fileno(), report_fd))
        os.close(report_fd)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()
        os.close(self._report_fd)
        self._log.close()

    def request(self, path: str, slow: bool = False) -> bytes:
        """A GET; a slow one is announced by the server when it enters the application."""
        host, port = self.address
        fields = f"{HEADER}: {self._secret}\r\n" if slow else ""
        return f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{fields}\r\n".encode("latin-1")

    def wait_ready(self, tick: Callable[[], None]) -> None:
        """Until all workers are there. ServerError."""
        deadline_s = time.monotonic() + START_S
        while self._counts[READY] < self._cell.workers:
            if self._process.poll() is not None:
                raise self.error(f"The server of {self._cell} did not start, see above.")
            if time.monotonic() > deadline_s:
                raise self.error(f"The server of {self._cell} was not ready within {START_S} s.")
            self._hear(_POLL_S)
            tick()

    def slow_n(self) -> int:
        """How many slow requests have entered the application, since the start."""
        self._hear(0)
        return self._counts[SLOW]

    def error(self, sentence: str) -> ServerError:
        """With the end of what the server printed."""
        self._log.seek(max(self._log.seek(0, os.SEEK_END) - _LOG_BYTES_MAX, 0))
        lines = self._log.read(_LOG_BYTES_MAX).decode(errors="replace").splitlines(keepends=True)
        return ServerError(sentence, "".join(lines[-_LOG_LINES_MAX:]))

    def _start(
        self, order: Order, arguments: Sequence[str], fds: tuple[int, ...]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - this interpreter, and what the user wrote
            [sys.executable, "-m", "cgunicorn.lab.subject", str(order), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=_environment(),
            pass_fds=fds,
            start_new_session=True,
        )

    def _hear(self, timeout_s: float) -> None:
        """Counts what the server reports. The end of the pipe is not waited for."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._report_fd, selectors.EVENT_READ)
            if selector.select(timeout_s):
                with contextlib.suppress(BlockingIOError):
                    said = os.read(self._report_fd, 4096)
                    self._counts.update(said[i : i + 1] for i in range(len(said)))

    def _stop(self) -> None:
        """Signals that would end the lab wait meanwhile: no second Ctrl-C leaves a process."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            self._end()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _cell_settings(cell: Cell) -> dict[str, Any]:
    return {"worker_class": cell.worker_class, "workers": cell.workers, "threads": cell.threads}


def _environment() -> dict[str, str]:
    """Ours without what was said to this process alone: sockets, and who waits for it."""
    own = {"NOTIFY_SOCKET", *(name for name, _ in _cgunicorn.inherited_variables)}
    return {name: value for name, value in os.environ.items() if name not in own}
