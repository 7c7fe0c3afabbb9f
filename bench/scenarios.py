# SPDX-License-Identifier: MIT
"""What is measured: a row each, which says how a server is to serve and returns its figures."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from load import HERE, PIN, Load, clients
from peers import CLOSE, KEEP, THREADS, Peer
from running import Running, ServerError, serving

CPU, RATE, P99 = "us CPU/request", "requests/s", "p99 ms"
#: Of these units more is better.
MORE = (RATE, "share of requests/s")

Figures = dict[str, float]
Measure = Callable[[Peer, int], Figures]

PATHS = "paths:app"


@dataclass(frozen=True)
class Scenario:
    """One row. `way`: how a server serves for it; those that cannot take no part."""

    name: str
    what: str
    way: str
    measure: Measure


def _drive(server: Running, load: Load, seconds: int) -> Figures:
    before = server.cpu_seconds()
    result = load.run(server.port, seconds)
    used = server.cpu_seconds() - before
    return {CPU: used * 1e6 / result.requests, RATE: result.per_second, P99: result.p99_ms}


def under(app: str, way: str, load: Load) -> Measure:
    """One worker under a load, after a short warm-up."""

    def measure(peer: Peer, seconds: int) -> Figures:
        with serving(peer, way, app) as server:
            load.run(server.port, 1)
            return _drive(server, load, seconds)

    return measure


def beside(kind: str, count: int, *args: str, way: str = KEEP, load: Load) -> Measure:
    """The same server under the same load, first alone and then beside other clients: how the
    figures change."""

    def measure(peer: Peer, seconds: int) -> Figures:
        with serving(peer, way, PATHS) as server:
            load.run(server.port, 1)
            alone = _drive(server, load, seconds)
            with clients(kind, server.port, count, *args):
                both = _drive(server, load, seconds)
        return {
            P99: both[P99],
            "CPU/request, of what it is alone": both[CPU] / alone[CPU],
            "share of requests/s": both[RATE] / alone[RATE],
        }

    return measure


def uploads(peer: Peer, seconds: int) -> Figures:
    """As under(), and how much memory the uploads cost at their worst."""
    load = Load(script="post_1024.lua")
    with serving(peer, KEEP, PATHS) as server:
        before = server.peak_mib()
        figures = _drive(server, load, seconds)
        return {**figures, "MiB more at the peak": server.peak_mib() - before}


def paced(peer: Peer, seconds: int) -> Figures:
    """One request every 10 ms, where waking up is what costs."""
    with serving(peer, KEEP, PATHS) as server:
        before = server.cpu_seconds()
        argv = [*PIN, sys.executable, str(HERE / "clients.py"), "paced", str(server.port), "1"]
        out = subprocess.run([*argv, str(seconds)], capture_output=True, text=True).stdout
        used = server.cpu_seconds() - before
    if not out.split()[1:]:
        raise ServerError("does not answer a request every 10 ms")
    return {CPU: used * 1e6 / int(out.split()[1])}


def asleep(peer: Peer, seconds: int) -> Figures:
    """How often an idle server wakes up, its supervising processes included."""
    with serving(peer, KEEP, PATHS) as server:
        time.sleep(2)
        before = server.switches()
        time.sleep(seconds)
        return {"wake-ups/s": (server.switches() - before) / seconds}


def memory(peer: Peer, seconds: int) -> Figures:
    """Master and four workers, after every worker has answered something."""
    with serving(peer, CLOSE, "hello:app", 4) as server:
        Load(connections=16, close=True).run(server.port, 1)
        return {"MiB PSS": server.pss_mib()}


def first_answer(peer: Peer, seconds: int) -> Figures:
    start = time.monotonic()
    with serving(peer, CLOSE, "hello:app"):
        return {"ms": (time.monotonic() - start) * 1e3}


_HELLO = Load()
_QUICK = Load(connections=62)

SCENARIOS = (
    Scenario("hello", "hello world, keep-alive", KEEP, under("hello:app", KEEP, _HELLO)),
    Scenario(
        "headers",
        "10 request and 8 response fields, 4 KiB",
        KEEP,
        under(PATHS, KEEP, Load(script="headers.lua")),
    ),
    Scenario("post", "POST of 16 KiB", KEEP, under(PATHS, KEEP, Load(script="post_16.lua"))),
    Scenario(
        "sleepers",
        "quick requests beside 2 clients whose requests sleep for a second, 4 threads",
        THREADS,
        beside("repeat", 2, "/sleep", way=THREADS, load=_QUICK),
    ),
    Scenario(
        "spinner",
        "quick requests beside a client whose requests compute for 200 ms, 4 threads",
        THREADS,
        beside("repeat", 1, "/compute", way=THREADS, load=_QUICK),
    ),
    Scenario(
        "chunks", "64 chunks of 16 KiB", KEEP, under(PATHS, KEEP, Load("/chunks", connections=8))
    ),
    Scenario("mib", "a body of 1 MiB", KEEP, under(PATHS, KEEP, Load("/mib", connections=8))),
    Scenario("file", "a file of 10 MiB", KEEP, under(PATHS, KEEP, Load("/file", connections=8))),
    Scenario("idle", "hello beside 1,000 idle clients", KEEP, beside("idle", 1000, load=_HELLO)),
    Scenario(
        "dribble",
        "hello beside 200 clients that dribble their heads",
        KEEP,
        beside("dribble", 200, load=_HELLO),
    ),
    Scenario(
        "idle-10k", "hello beside 10,000 idle clients", KEEP, beside("idle", 10000, load=_HELLO)
    ),
    Scenario("upload", "POST of 1 MiB", KEEP, uploads),
    Scenario("paced", "a request every 10 ms", KEEP, paced),
    Scenario("asleep", "no request", KEEP, asleep),
    Scenario(
        "hello-close",
        "hello world, a connection per request",
        CLOSE,
        under("hello:app", CLOSE, Load(close=True)),
    ),
    Scenario(
        "flask-close",
        "Flask, a connection per request",
        CLOSE,
        under("flask_hello:app", CLOSE, Load(close=True)),
    ),
    Scenario("flask", "Flask, keep-alive", KEEP, under("flask_hello:app", KEEP, _HELLO)),
    Scenario("django", "Django, keep-alive", KEEP, under("django_hello:app", KEEP, _HELLO)),
    Scenario("memory", "master and 4 workers", CLOSE, memory),
    Scenario("first-answer", "from start to the first answer", CLOSE, first_answer),
)
