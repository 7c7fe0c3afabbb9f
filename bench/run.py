# SPDX-License-Identifier: MIT
"""Compares servers side by side: interleaved rounds, pinned alike, medians and ratios.

    ./dev bench                      every scenario
    ./dev bench hello-close -n 9     one scenario, nine rounds

The figure to compare is CPU per request: user and system seconds of all the server's processes
divided by the requests that were answered. It is far steadier on a shared machine than requests
per second. The first server named is the one that the ratios are about.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
#: The server and the load generator get a processor each.
SERVER_CPU, LOAD_CPU = 0, 1


@dataclass(frozen=True)
class Peer:
    """A server that can be measured: its name and the command that serves an application."""

    name: str
    command: tuple[str, ...]

    def argv(self, app: str, port: int, workers: int) -> list[str]:
        """The command line that serves bench/apps/<module>:<name> on a TCP port."""
        values = {"app": app, "bind": f"127.0.0.1:{port}", "workers": str(workers)}
        return [sys.executable, *(part.format(**values) for part in self.command)]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("cgunicorn", ("-m", "cgunicorn", "{app}", "-b", "{bind}", "-w", "{workers}")),
        Peer("gunicorn", ("-m", "gunicorn", "{app}", "-b", "{bind}", "-w", "{workers}")),
    )
}


@dataclass
class Running:
    """A server under measurement."""

    process: subprocess.Popen[bytes]
    port: int

    def pids(self) -> list[int]:
        """The master's pid and those of its workers."""
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [pid, *(int(p) for p in text.split())]

    def cpu_seconds(self) -> float:
        """User and system time spent so far, by all processes that live now."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_SECOND

    def pss_mib(self) -> float:
        """Proportional set size of all processes, MiB."""
        kib = 0
        for pid in self.pids():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
            kib += int(found.group(1)) if found else 0
        return kib / 1024


def free_port() -> int:
    """A TCP port that nobody uses right now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def answer(port: int) -> bytes:
    """One request on a connection of its own; b"" when nobody answers yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return s.recv(4096)
    except OSError:
        return b""


@contextlib.contextmanager
def serving(peer: Peer, app: str, workers: int = 1) -> Iterator[Running]:
    """Starts a server, waits for its first answer, and takes it down at the end."""
    port = free_port()
    argv = peer.argv(app, port, workers)
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CPU), *argv],
        cwd=HERE / "apps",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not answer(port).startswith(b"HTTP/1.1 200"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{peer.name} does not answer: {' '.join(argv)}")
            time.sleep(0.001)
        yield Running(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Load:
    """What the load generator sends."""

    connections: int = 32
    close: bool = False

    def run(self, port: int, seconds: int) -> int:
        """Drives a server for a while; returns the number of requests answered."""
        argv = ["taskset", "-c", str(LOAD_CPU), "wrk", "-t1", f"-c{self.connections}"]
        argv += [f"-d{seconds}s"]
        if self.close:
            argv += ["-H", "Connection: close"]
        out = subprocess.run(
            [*argv, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
        ).stdout
        if "Non-2xx" in out:
            raise SystemExit(f"errors under load:\n{out}")
        found = re.search(r"(\d+) requests in", out)
        if found is None:
            raise SystemExit(f"wrk said something unexpected:\n{out}")
        return int(found.group(1))


@dataclass
class Figures:
    """One server's figures over all rounds of one scenario."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:9.2f}  ({min(self.values):.2f} .. {max(self.values):.2f})"


@dataclass(frozen=True)
class Scenario:
    """One row of the table: what is measured, in which unit; smaller is better in all of them."""

    name: str
    what: str
    unit: str
    measure: Callable[[Peer, int], float]


def cpu_per_request(app: str, load: Load) -> Callable[[Peer, int], float]:
    """Microseconds of CPU per request under a load, one worker, after a short warm-up."""

    def measure(peer: Peer, seconds: int) -> float:
        with serving(peer, app) as server:
            load.run(server.port, 1)
            before = server.cpu_seconds()
            requests = load.run(server.port, seconds)
            return (server.cpu_seconds() - before) * 1e6 / requests

    return measure


def memory(workers: int) -> Callable[[Peer, int], float]:
    """MiB of master and workers after every worker has answered something."""

    def measure(peer: Peer, seconds: int) -> float:
        with serving(peer, "hello:app", workers) as server:
            Load(connections=16, close=True).run(server.port, 1)
            return server.pss_mib()

    return measure


def first_answer(peer: Peer, seconds: int) -> float:
    """Milliseconds from the start of the command to the first answer."""
    start = time.monotonic()
    with serving(peer, "hello:app"):
        return (time.monotonic() - start) * 1e3


SCENARIOS = [
    Scenario(
        "hello-close",
        "hello world, a connection per request",
        "us CPU/request",
        cpu_per_request("hello:app", Load(close=True)),
    ),
    Scenario(
        "flask-close",
        "Flask hello, a connection per request",
        "us CPU/request",
        cpu_per_request("flask_hello:app", Load(close=True)),
    ),
    Scenario("memory", "PSS of master and 4 workers", "MiB", memory(4)),
    Scenario("first-answer", "start to first answer", "ms", first_answer),
]


def compare(scenario: Scenario, peers: list[Peer], rounds: int, seconds: int) -> None:
    """Measures one scenario in interleaved rounds and prints its rows."""
    figures = {peer.name: Figures() for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            figures[peer.name].values.append(scenario.measure(peer, seconds))
    print(f"\n{scenario.name}: {scenario.what} [{scenario.unit}], {rounds} rounds")
    first = figures[peers[0].name]
    for name, figure in figures.items():
        ratio = statistics.median(a / b for a, b in zip(first.values, figure.values))
        print(f"  {name:12} {figure}   {peers[0].name}/{name} = {ratio:.3f}")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [s.name for s in SCENARIOS]
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("-n", "--rounds", type=int, default=5)
    parser.add_argument("-s", "--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("-p", "--peers", default=",".join(PEERS), help="comma-separated")
    args = parser.parse_args()
    unknown = set(args.scenarios) - set(names)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if not shutil.which("wrk") or not shutil.which("taskset"):
        parser.error("needs wrk and taskset (Debian packages wrk and util-linux)")
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("needs two processors: one for the server, one for the load")
    peers = [PEERS[name] for name in args.peers.split(",")]
    for scenario in SCENARIOS:
        if not args.scenarios or scenario.name in args.scenarios:
            compare(scenario, peers, args.rounds, args.seconds)


if __name__ == "__main__":
    main()
