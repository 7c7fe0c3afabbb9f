# SPDX-License-Identifier: MIT
"""Metrics for statsd, by Gunicorn's names."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, Server

Serve = Callable[..., Server]

APP = """
import logging
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("in the app")
    start_response("201 Created", [])
    return [b"ok"]
"""


class Sink:
    """A statsd that remembers its datagrams."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)
        self.seen: list[str] = []

    def wait(self, pattern: str) -> str:
        """The first datagram that is like this."""
        self.wait_until(lambda: any(re.fullmatch(pattern, m) for m in self.seen), pattern)
        return next(m for m in self.seen if re.fullmatch(pattern, m))

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what} not among {self.seen}"
            self.seen.append(self.sock.recv(65536).decode())


@pytest.fixture
def udp() -> Iterator[Sink]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield Sink(sock)


def address(sink: Sink) -> str:
    return f"127.0.0.1:{sink.sock.getsockname()[1]}"


def test_each_request_is_three_metrics(serve: Serve, worker_class: str, udp: Sink) -> None:
    server = serve(APP, "-k", worker_class, "-w", "2", "--statsd-host", address(udp))
    udp.wait(r"gunicorn\.workers:2\|g")
    server.get("/")
    udp.wait(r"gunicorn\.request\.duration:\d+\.\d{3}\|ms")
    udp.wait(r"gunicorn\.requests:1\|c\|@1\.0")
    udp.wait(r"gunicorn\.request\.status\.201:1\|c\|@1\.0")
    server.get("/fail")
    udp.wait(r"gunicorn\.log\.exception:1\|c\|@1\.0")
    udp.wait(r"gunicorn\.request\.status\.500:1\|c\|@1\.0")


def test_prefix_and_tags(serve: Serve, udp: Sink) -> None:
    server = serve(
        APP,
        *("--statsd-host", address(udp), "--statsd-prefix", "shop"),
        *("--dogstatsd-tags", "env:test,team:a"),
    )
    server.get("/")
    udp.wait(r"shop\.gunicorn\.requests:1\|c\|@1\.0\|#env:test,team:a")


def test_unix_socket(serve: Serve, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "statsd"))
        sink = Sink(sock)
        server = serve(APP, "--statsd-host", f"unix://{tmp_path}/statsd")
        server.get("/")
        sink.wait(r"gunicorn\.requests:1\|c\|@1\.0")


def test_loggers_send_metrics_too(serve: Serve, udp: Sink, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "def post_worker_init(worker):\n"
        '    worker.log.info("", extra={"metric": "my.size", "value": 7, "mtype": "gauge"})\n'
        '    worker.log.info("", extra={"metric": "my.n", "value": 2, "mtype": "counter"})\n'
        '    worker.log.info("", extra={"metric": "my.h", "value": 5, "mtype": "histogram"})\n'
        '    worker.log.info("", extra={"metric": "my.t", "value": 1.5, "mtype": "timer"})\n'
        '    worker.log.warning("careful")\n'
    )
    server = serve(APP, "--statsd-host", address(udp))
    for pattern in (
        r"my\.size:7\|g",
        r"my\.n:2\|c\|@1\.0",
        r"my\.h:5\|h",
        r"my\.t:1\.5\|ms",
        r"gunicorn\.log\.warning:1\|c\|@1\.0",
    ):
        udp.wait(pattern)
    server.wait_log("careful")
    assert "[INFO] \n" not in server.log


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the length of the queue")
def test_backlog_is_told_when_wanted(serve: Serve, worker_class: str, udp: Sink) -> None:
    app = APP + "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n"
    server = serve(
        app,
        *("-k", worker_class, "--statsd-host", address(udp), "--enable-backlog-metric"),
        *("--timeout", "0"),
        bind=("127.0.0.1:0", "unix:x.sock"),
    )
    udp.wait(r"gunicorn\.backlog:0\|h")
    with server.connect(), server.connect():
        udp.wait(r"gunicorn\.backlog:2\|h")
    for worker in server.workers():
        os.kill(worker, signal.SIGCONT)


def test_backlog_is_not_told_otherwise(serve: Serve, udp: Sink) -> None:
    server = serve(APP, "--statsd-host", address(udp))
    udp.wait(r"gunicorn\.workers:1\|g")
    server.stop()
    udp.wait(r"gunicorn\.workers:0\|g")
    assert not [m for m in udp.seen if "backlog" in m]


# Beside Gunicorn itself

SCENE_CONFIG = """
def post_worker_init(worker):
    for mtype in ("gauge", "counter", "histogram", "timer"):
        worker.log.info("", extra={"metric": "app." + mtype, "value": 3, "mtype": mtype})
    for level in ("warning", "error", "critical"):
        getattr(worker.log, level)("on purpose")
    try:
        1 / 0
    except ZeroDivisionError:
        worker.log.exception("on purpose")
"""

#: What statsd gets of the scene, numbers that vary replaced.
SCENE = {
    "pre.app.counter:3|c|@1.0|#a:b",
    "pre.app.gauge:3|g|#a:b",
    "pre.app.histogram:3|h|#a:b",
    "pre.app.timer:3|ms|#a:b",
    "pre.gunicorn.backlog:0|h|#a:b",
    "pre.gunicorn.log.critical:1|c|@1.0|#a:b",
    "pre.gunicorn.log.error:1|c|@1.0|#a:b",
    "pre.gunicorn.log.exception:1|c|@1.0|#a:b",
    "pre.gunicorn.log.warning:1|c|@1.0|#a:b",
    "pre.gunicorn.request.duration:#.#|ms|#a:b",
    "pre.gunicorn.request.status.201:1|c|@1.0|#a:b",
    "pre.gunicorn.request.status.400:1|c|@1.0|#a:b",
    "pre.gunicorn.requests:1|c|@1.0|#a:b",
    "pre.gunicorn.workers:1|g|#a:b",
}


@pytest.mark.parametrize("name", ["gunicorn", "cgunicorn"])
def test_metrics_are_those_of_gunicorn(serve: Serve, udp: Sink, tmp_path: Path, name: str) -> None:
    if name == "gunicorn":
        pytest.importorskip("gunicorn")
    (tmp_path / "gunicorn.conf.py").write_text(SCENE_CONFIG)
    server = serve(
        APP,
        *("--statsd-host", address(udp), "--statsd-prefix", "pre", "--dogstatsd-tags", "a:b"),
        "--enable-backlog-metric",
        command=(sys.executable, "-m", name),
    )
    server.get("/")
    server.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")

    def forms() -> set[str]:
        return {re.sub(r"duration:[\d.]+", "duration:#.#", metric) for metric in udp.seen}

    udp.wait_until(lambda: forms() >= SCENE, str(SCENE))
    unlisted = {m for m in forms() - SCENE if not re.match(r"pre\.gunicorn\.(backlog|workers):", m)}
    assert not unlisted


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid:8125"])
def test_statsd_that_is_not_there_costs_one_line_at_most(
    serve: Serve, worker_class: str, host: str
) -> None:
    server = serve(APP, "-k", worker_class, "--statsd-host", host)
    for _ in range(5):
        assert server.get("/").status == 201
    assert server.log.count("statsd") == (1 if "invalid" in host else 0)
