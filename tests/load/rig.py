# SPDX-License-Identifier: MIT
"""A server under load: its masters as they replace each other, its load generator, and what its
processes hold according to /proc."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import Server, alive, children, descriptors, poll
from tally import Records, Tally, count

HERE = Path(__file__).parent

#: For what was closed to be gone from the server's side too.
SETTLE_S = 30.0

#: More than any client waits for an answer.
LONGEST_S = 150.0

#: What selects them.
WORKER_CLASSES = {
    "sync": ("-k", "sync"),
    "async": ("-k", "async"),
    "async-4": ("-k", "async", "--threads", "4"),
}

#: The port stays the same when the configuration is read again.
CONF = "bind = ['{bind}']\nclient_body_buffer_size = 65536\n"
#: Instead of a port.
SOCKET = "app.sock"
UPLOADS_ON_DISK = "tmp_upload_dir = 'disk'\n"


def family(pid: int) -> list[int]:
    """A process and all that came of it, as far as they live."""
    if not alive(pid):
        return []
    return [pid, *(p for child in children(pid) for p in family(child))]


@dataclass(frozen=True)
class Holding:
    """What a family of processes holds."""

    processes: int
    descriptors: int
    memory_kib: int


def memory_kib(pid: int) -> int:
    """Its share of the memory that is not that of files: those it shares with whoever else has
    them open on this machine."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss_Anon:\s+(\d+)", text, re.M).group(1))  # type: ignore[union-attr]


def holding(pids: Sequence[int]) -> Holding:
    """Of processes that stand still."""
    open_n = sum(len(descriptors(p)) for p in pids)
    return Holding(len(pids), open_n, sum(memory_kib(p) for p in pids))


@dataclass(frozen=True)
class Idle:
    """A worker that nobody asks."""

    free_fd: int
    mapped_bytes: int


def idle(pid: int) -> Idle:
    used = set(descriptors(pid))
    size = re.search(r"VmSize:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    if not size:
        raise ProcessLookupError(f"{pid} has ended")
    return Idle(min(set(range(len(used) + 1)) - used), 1024 * int(size.group(1)))


class Rig:
    """A server in `directory`, and at most one generator at a time."""

    def __init__(
        self,
        directory: Path,
        worker_class: str,
        *,
        keep_alive: bool,
        args: Sequence[str] = (),
        workers: int = 2,
        work_s: float = 0.002,
        disk: Path | None = None,
        unix: bool = False,
    ) -> None:
        self.directory = directory
        self.keep_alive = keep_alive
        self.workers = workers
        self.disk = disk
        self.unix = unix
        self.journal = directory / "journal"
        self.conf = directory / "conf.py"
        shutil.copy(HERE / "site_app.py", directory)
        self.configure(UPLOADS_ON_DISK if disk else "")
        kept = ["--keep-alive", "5"] if keep_alive else []
        logs = ["--error-logfile", "disk/error.log", "--access-logfile", "disk/access.log"]
        on_disk = logs if disk else []
        common = [*WORKER_CLASSES[worker_class], "-w", str(workers), "-c", "conf.py"]
        self.server = Server(
            directory,
            None,
            [*common, *kept, *on_disk, *args],
            bind=(),
            spec="site_app:app",
            env={"JOURNAL": str(self.journal), "WORK_S": str(work_s)},
            wait=False,
        )
        self.masters = [self.server.pid]
        self.killed: list[tuple[float, float, int]] = []
        self.records = Records(directory / "records")
        #: The workers before anything was done to them.
        self.before: dict[int, Idle] = {}
        #: When the fault, or what was there before it, had its end.
        self.marked_s = 0.0
        self._runs = 0
        self._generator: subprocess.Popen[bytes] | None = None

    def configure(self, more: str) -> None:
        bind = f"unix:{SOCKET}" if self.unix else "127.0.0.1:0"
        self.conf.write_text(CONF.format(bind=bind) + more)

    # Processes.

    @property
    def master(self) -> int:
        """The newest that lives."""
        return next((p for p in reversed(self.masters) if alive(p)), 0)

    def worker_pids(self) -> list[int]:
        """The living children of the newest master: its workers, while no upgrade is under way."""
        return [p for p in children(self.master) if alive(p)]

    def ready(self) -> None:
        """Waits until all workers, and nobody else, are there."""
        if self.disk:
            self.server.wait_listening_in(self.disk / "error.log")
        else:
            self.server.wait_listening()
        poll(lambda: len(self.worker_pids()) == self.workers, f"{self.workers} workers")

    def signal(self, signum: int, pid: int = 0) -> None:
        os.kill(pid or self.master, signum)

    def mark(self) -> None:
        self.marked_s = time.monotonic()

    def kill(self, pid: int) -> None:
        """kill -9 of a worker, remembered: when, until it had gone, and whom."""
        began_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        # A zombie's threads may still have its sockets; one that has been reaped has none.
        poll(lambda: not Path(f"/proc/{pid}").exists(), f"{pid} is reaped")
        self.killed.append((began_s, time.monotonic(), pid))

    def end_master(self, pid: int, signum: int) -> None:
        os.kill(pid, signum)
        poll(lambda: not alive(pid), f"master {pid} ends")

    # The log.

    def logged(self, pattern: str) -> list[str]:
        return [m.group(m.lastindex or 0) for m in re.finditer(pattern, self.server.log)]

    def after(self, pattern: str, cause: int, pid: int = 0) -> str:
        """Sends a signal and waits for the next line of the log that has the pattern."""
        before = len(self.logged(pattern))
        self.signal(cause, pid)
        poll(lambda: len(self.logged(pattern)) > before, f"{pattern!r} in\n{self.server.log}")
        return self.logged(pattern)[before]

    # Load.

    def ask(self, *options: str) -> None:
        """Starts the generator and waits for the first answers."""
        command = [sys.executable, HERE / "generator.py", self.records.path, *options]
        to = str(self.directory / SOCKET) if self.unix else str(self.server.port)
        command += ["--to", to, "--run", str(self._runs)]
        self._runs += 1
        self._generator = subprocess.Popen(
            [*command, *(["--keep-alive"] if self.keep_alive else [])], stdin=subprocess.PIPE
        )
        self.answers(20)

    def answers(self, n: int) -> None:
        """Waits for n more answers."""
        wanted = self._answered() + n
        poll(lambda: self._answered() >= wanted, f"{n} more answers, of {len(self.records.all)}")

    def _answered(self) -> int:
        return sum(r.outcome == "answered" for r in self.records.read())

    def quiet(self) -> None:
        """Ends the generator when each of its requests has had its end."""
        if self._generator:
            assert self._generator.stdin
            self._generator.stdin.close()
            assert self._generator.wait(LONGEST_S) == 0
            self._generator = None

    def tally(self) -> Tally:
        return count(self.records.read(), self.journal)

    # Before and after.

    def hold(self) -> Holding:
        """What is held before anything is done."""
        held = self.holding()
        self.before = {}
        for pid in self.worker_pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # recycled just now
                self.before[pid] = idle(pid)
        return held

    def holding(self, before: Holding | None = None) -> Holding:
        """What is held when nobody asks and connections have been closed: as much as before, or
        what is still held when that does not come."""
        deadline = time.monotonic() + SETTLE_S
        seen: list[tuple[int, int]] = []
        while True:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                now = holding(family(self.master))
                seen.append((now.processes, now.descriptors))
                if before and seen[-1] == (before.processes, before.descriptors):
                    return now
                # Nobody comes or goes.
                is_calm = now.processes == 1 + self.workers and len(set(seen[-3:])) == 1
                if not before and len(seen) > 2 and is_calm:
                    return now
            if seen and time.monotonic() > deadline:
                return now
            time.sleep(0.05)

    def close(self) -> None:
        """Ends whatever is left."""
        if self._generator:
            self._generator.kill()
            self._generator.wait()
        left = [p for master in reversed(self.masters) for p in [*family(master)]]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.close()
