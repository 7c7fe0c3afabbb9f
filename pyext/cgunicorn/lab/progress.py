# SPDX-License-Identifier: MIT
"""Shows on standard error what is going on: a line for each cell, which a terminal sees change, and
which is written once anywhere else."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from typing import TextIO

_REDRAW_S = 0.2


class Progress:
    """`cells_n`: how many there will be."""

    def __init__(self, cells_n: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._rewrites = self._stream.isatty()
        self._cells_n = cells_n
        self._cell_n = 0
        self._name = ""
        self._doing = ""
        self._drawn_s = 0.0

    def begin(self, name: str) -> None:
        self._cell_n += 1
        self._name = name
        self._doing = ""

    def show(self, doing: str, share: float) -> None:
        """Called often; draws seldom."""
        now_s = time.monotonic()
        if not self._rewrites or (doing == self._doing and now_s - self._drawn_s < _REDRAW_S):
            return
        self._doing, self._drawn_s = doing, now_s
        self._write(f"\r\x1b[K{self._line(f'{doing} {share:.0%}' if share else doing)}")

    def end(self, outcome: str) -> None:
        """The cell's last line, which stays."""
        self._write(f"{self._start()}{self._line(outcome)}\n")

    def give_up(self) -> None:
        """Leaves no line half-written behind."""
        if self._doing:
            self._write(self._start())

    def _start(self) -> str:
        return "\r\x1b[K" if self._rewrites else ""

    def _line(self, text: str) -> str:
        line = f"[{self._cell_n}/{self._cells_n}] {self._name}: {text}"
        return line[: shutil.get_terminal_size().columns - 1] if self._rewrites else line

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody looks any more
            self._stream.write(text)
            self._stream.flush()
