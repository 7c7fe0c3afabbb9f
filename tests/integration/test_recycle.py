# SPDX-License-Identifier: MIT
"""Recycling: by requests, age and memory, a worker is replaced without a gap in the service."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest
from harness import Server, alive, poll
from load import Load

Serve = Callable[..., Server]

PID = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""

#: Loads slowly, so that a service that stops before its successor is ready would be seen.
SLOW_TO_LOAD = "import time\ntime.sleep(0.3)\n" + PID

#: /grow takes 256 MiB and keeps them.
GROWS = """
import os
kept = []
def app(environ, start_response):
    if environ["PATH_INFO"] == "/grow":
        kept.append(b"x" * (256 << 20))
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_one_worker_is_recycled_without_a_gap(
    serve: Serve, worker_class: str, keep_alive: bool
) -> None:
    args = ["-k", worker_class, "--max-requests", "50", "--keep-alive", "5"]
    server = serve(SLOW_TO_LOAD, *args)
    with Load(server, 3, keep_alive=keep_alive) as load:
        poll(lambda: len(load.bodies) >= 6 or load.failures, "five successors have served")
    load.check()
    assert load.longest < 20.0  # of a busy machine; nobody waits until a worker is given up
    assert all(n >= 50 for n in list(load.bodies.values())[:-2])
    server.wait_log("Autorestarting worker after current request.", count=5)


def test_a_spent_worker_serves_while_its_successor_loads(serve: Serve, worker_class: str) -> None:
    app = (
        """
import os, pathlib, time
pathlib.Path(f"loading-{os.getpid()}").touch()
while os.path.exists("wait"):
    time.sleep(0.01)
"""
        + PID
    )
    server = serve(app, "-k", worker_class, "--max-requests", "3")
    first = int(server.get().body)
    (server.directory / "wait").touch()

    def loads() -> bool:
        assert int(server.get().body) == first
        return len(list(server.directory.glob("loading-*"))) == 2

    poll(loads, "the successor is being loaded")
    for _ in range(20):
        assert int(server.get().body) == first
    (server.directory / "wait").unlink()
    poll(lambda: int(server.get().body) != first, "the successor serves")


def test_max_requests_draws_its_jitter(serve: Serve) -> None:
    server = serve(PID, "--max-requests", "5", "--max-requests-jitter", "40")
    with Load(server, 1, keep_alive=False) as load:
        poll(lambda: len(load.bodies) >= 8 or load.failures, "seven successors have served")
    load.check()
    # A worker serves until its successor is ready: what it draws is the least that it does.
    assert all(n >= 5 for n in list(load.bodies.values())[:-2])


def test_a_worker_leaves_at_the_end_of_its_lifetime(serve: Serve, worker_class: str) -> None:
    server = serve(PID, "-k", worker_class, "--max-worker-lifetime", "1")
    with Load(server, 1, keep_alive=False) as load:
        poll(lambda: len(load.bodies) >= 3 or load.failures, "two successors have served")
    load.check()
    server.wait_log(r"Worker \(pid:\d+\) is to be replaced: its lifetime is over", count=2)


def test_a_worker_leaves_when_it_has_grown(serve: Serve, worker_class: str) -> None:
    server = serve(GROWS, "-k", worker_class, "--reload-on-rss", "200")
    (first,) = server.wait_workers(1)
    with Load(server, 1, keep_alive=False) as load:
        assert int(server.get("/grow").body) == first
        poll(lambda: set(load.bodies) - {b"%d" % first} or load.failures, "a successor has served")
    load.check()
    line = server.wait_log(r"Worker \(pid:(\d+)\) is to be replaced: (\d+) MiB of memory")
    assert int(line.group(1)) == first
    assert int(line.group(2)) >= 200


def test_a_spent_worker_serves_on_while_its_successor_can_not_boot(serve: Serve) -> None:
    server = serve(PID, "--max-requests", "3")
    (first,) = server.wait_workers(1)
    server.get()
    good = (server.directory / "app.py").read_text()
    (server.directory / "app.py").write_text("import nothing_of_that_name\n")
    for _ in range(10):
        assert int(server.get().body) == first
    server.wait_log("exited with code", count=2)
    assert int(server.get().body) == first
    (server.directory / "app.py").write_text(good)
    poll(lambda: int(server.get().body) != first, "the successor serves")
    poll(lambda: not alive(first), "the old worker has left")
    assert server.process.poll() is None


def test_a_worker_that_somebody_ends_is_replaced_while_it_finishes(
    serve: Serve, worker_class: str
) -> None:
    app = """
import os, pathlib, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/hold":
        pathlib.Path("entered").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
    server = serve(app, "-k", worker_class, "--threads", "2" if worker_class == "async" else "1")
    (first,) = server.wait_workers(1)
    with server.connect() as client:
        client.send_request("GET", "/hold")
        poll((server.directory / "entered").exists, "the request is in the application")
        os.kill(first, signal.SIGTERM)
        if worker_class == "async":  # a sync worker hears it when the request is over
            poll(lambda: int(server.get().body) != first, "the successor serves")
        (server.directory / "go").touch()
        assert int(client.response().body) == first
    poll(lambda: int(server.get().body) != first, "the successor serves")
    poll(lambda: not alive(first), "the worker has left")
    assert not re.search(r"\[(ERROR|CRITICAL)\]", server.log)
