# SPDX-License-Identifier: MIT
"""A server that nobody asks anything sleeps, and is awake when it must be."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from harness import Server, poll

Serve = Callable[..., Server]

#: Seconds by which a busy machine may be late.
BUSY_S = 30.0

APP = """
import time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        time.sleep(600)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def wake_ups(pid: int) -> int:
    """How often the process has gone to sleep so far: each time it was woken."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)
    assert found
    return int(found.group(1))


def sleeps(pid: int, seconds: float) -> bool:
    before = wake_ups(pid)
    time.sleep(seconds)  # what is tested: time passes, and nothing happens
    return wake_ups(pid) == before


def test_the_master_of_an_idle_server_does_not_wake_up(serve: Serve, worker_class: str) -> None:
    server = serve(APP, "-k", worker_class, "-w", "2", "--timeout", "60")
    assert server.get().status == 200
    poll(lambda: sleeps(server.pid, 3), "the master sleeps")
    assert server.get().status == 200
    poll(lambda: sleeps(server.pid, 3), "the master sleeps again")


def test_a_request_after_an_idle_time_wakes_the_master(serve: Serve, worker_class: str) -> None:
    server = serve(APP, "-k", worker_class)
    assert server.get().status == 200
    poll(lambda: sleeps(server.pid, 3), "the master sleeps")
    before = wake_ups(server.pid)
    with server.connect() as client:
        client.send_request("GET", "/hang")
        poll(lambda: wake_ups(server.pid) >= before + 3, "the master looks every second")


def test_a_request_after_an_idle_time_has_its_exact_timeout(
    serve: Serve, worker_class: str
) -> None:
    server = serve(APP, "-k", worker_class, "--timeout", "8")
    assert server.get().status == 200
    poll(lambda: sleeps(server.pid, 3), "the master sleeps")
    with server.connect() as client:
        began = time.monotonic()
        client.send_request("GET", "/hang")
        server.wait_log("TIMEOUT")
        assert 7.5 < time.monotonic() - began < 8 + BUSY_S


def test_idle_workers_live_on_while_the_master_sleeps(serve: Serve, worker_class: str) -> None:
    args = ("--timeout", "5", "--boot-timeout", "60")
    server = serve(APP, "-k", worker_class, "-w", "2", *args)
    workers = server.wait_workers(2)
    assert server.get().status == 200
    time.sleep(11)  # what is tested: more than twice the timeout
    assert server.workers() == workers
    assert "TIMEOUT" not in server.log


def test_lifetimes_end_in_an_idle_server(serve: Serve) -> None:
    server = serve(APP, "--max-worker-lifetime", "4", "--timeout", "0")
    server.wait_log("is to be replaced: its lifetime is over", count=2)
