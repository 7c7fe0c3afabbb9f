# SPDX-License-Identifier: MIT
"""Metrics for statsd, by Gunicorn's names."""

from __future__ import annotations

import re
import socket
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
        while True:
            found = next((m for m in self.seen if re.fullmatch(pattern, m)), None)
            if found:
                return found
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


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid:8125"])
def test_statsd_that_is_not_there_costs_one_line_at_most(
    serve: Serve, worker_class: str, host: str
) -> None:
    server = serve(APP, "-k", worker_class, "--statsd-host", host)
    for _ in range(5):
        assert server.get("/").status == 201
    assert server.log.count("statsd") == (1 if "invalid" in host else 0)
