# SPDX-License-Identifier: MIT
"""A server under measurement: its processes, what they have used, its start and its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from peers import Peer

APPS = Path(__file__).resolve().parent / "apps"
#: The server and the load generator get a processor each.
SERVER_CPU, LOAD_CPU = 0, 1


class ServerError(Exception):
    """A server did not start, or gave wrong answers."""


@dataclass
class Running:
    """All processes of one server."""

    process: subprocess.Popen[bytes]
    port: int

    def pids(self) -> list[int]:
        """The first process and all that descend from it."""
        found = [self.process.pid]
        for pid in found:  # grows meanwhile
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found.extend(int(p) for p in children.read_text().split())
        return found

    def cpu_seconds(self) -> float:
        """User and system time spent so far, by all threads that live now: as the scheduler counts
        it, in nanoseconds, which the clock ticks of /proc/PID/stat are too coarse for."""
        return sum(int(s.read_text().split()[0]) for s in self._tasks("schedstat")) / 1e9

    def pss_mib(self) -> float:
        """Proportional set size of all processes."""
        return sum(self._status("smaps_rollup", "Pss")) / 1024

    def peak_mib(self) -> float:
        """The most memory that each process has ever had, summed up."""
        return sum(self._status("status", "VmHWM")) / 1024

    def switches(self) -> int:
        """How often a thread of the server has gone to sleep so far: each time it was woken."""
        pattern = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)
        found = (pattern.search(status.read_text()) for status in self._tasks("status"))
        return sum(int(f.group(1)) for f in found if f)

    def _tasks(self, file: str) -> Iterator[Path]:
        """A file of every thread of every process."""
        for pid in self.pids():
            yield from Path(f"/proc/{pid}/task").glob(f"*/{file}")

    def _status(self, file: str, name: str) -> Iterator[int]:
        for pid in self.pids():
            text = Path(f"/proc/{pid}/{file}").read_text()
            found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
            yield int(found.group(1)) if found else 0


def free_port() -> int:
    """A TCP port that nobody uses right now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def answers(port: int) -> bool:
    """Whether a request on a connection of its own is answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return s.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@contextlib.contextmanager
def serving(peer: Peer, way: str, app: str, workers: int = 1) -> Iterator[Running]:
    """Starts a server, waits for its first answer, and takes it down at the end. ServerError."""
    port = free_port()
    argv = peer.argv(way, app, port, workers)
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CPU), *argv],
        cwd=APPS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"does not answer: {' '.join(argv)}")
            time.sleep(0.001)
        yield Running(process, port)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGINT, because it ends all of them; those that hang are killed with their children."""
    pids = Running(process, 0).pids() if process.poll() is None else []
    process.send_signal(signal.SIGINT)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
