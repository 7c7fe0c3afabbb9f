# SPDX-License-Identifier: MIT
"""The load: wrk for the requests that are measured, clients.py for those that are in their way."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from running import LOAD_CPU, ServerError

HERE = Path(__file__).resolve().parent
PIN = ("taskset", "-c", str(LOAD_CPU))
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


@dataclass(frozen=True)
class Result:
    """What wrk saw: requests answered, each second, and the latency that 99 % of them kept."""

    requests: int
    per_second: float
    p99_ms: float


@dataclass(frozen=True)
class Load:
    """What wrk sends: to which path, over how many connections; `close`: a new one for each
    request; `script`: a file of load/, which may make it other than a plain GET."""

    path: str = "/"
    connections: int = 32
    close: bool = False
    script: str = ""

    def run(self, port: int, seconds: int) -> Result:
        """Drives a server for a while. ServerError when it answers wrongly."""
        argv = [*PIN, "wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--latency"]
        argv += ["--timeout", "20s"]
        if self.close:
            argv += ["-H", "Connection: close"]
        if self.script:
            argv += ["-s", str(HERE / "load" / self.script)]
        argv.append(f"http://127.0.0.1:{port}{self.path}")
        process = subprocess.run(argv, capture_output=True, text=True)
        out = process.stdout
        if process.returncode != 0:
            raise ServerError("does not accept connections any more")
        requests = _number(r"(\d+) requests in", out)
        if "Non-2xx" in out or requests == 0:
            raise ServerError(
                "fails under load" + out[out.find("requests in") :].replace("\n", " ")
            )
        p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", out)
        return Result(
            int(requests),
            _number(r"Requests/sec:\s+([\d.]+)", out),
            float(p99.group(1)) * _MS[p99.group(2)] if p99 else 0.0,
        )


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise ServerError(f"wrk said something unexpected:\n{text}")
    return float(found.group(1))


@contextlib.contextmanager
def clients(kind: str, port: int, count: int, *args: str) -> Iterator[None]:
    """Keeps clients of a kind of clients.py at work beside the load."""
    argv = [*PIN, sys.executable, str(HERE / "clients.py"), kind, str(port), str(count), *args]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            if not process.stdout or process.stdout.readline() != b"ready\n":
                raise ServerError(f"does not hold {count} {kind} clients")
            yield
        finally:
            process.kill()
