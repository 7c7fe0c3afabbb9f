# SPDX-License-Identifier: MIT
"""`timeout` bounds each request, whatever it is stuck in: the log tells which one it was, whose,
and where in the code; its client gets an end, and all others are served."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

import pytest
from harness import Client, Server, poll

Serve = Callable[..., Server]

APP = """
import ctypes, threading, time

libc = ctypes.CDLL(None)    # its functions are called without the interpreter lock
held = ctypes.PyDLL(None)   # its functions are called with it

def sleep():
    time.sleep(60)

def spin():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass

def wait_in_c():
    libc.sleep(60)

def hold_the_lock():
    for _ in range(60):
        held.usleep(1000000)

def drip():
    yield b"first"
    time.sleep(60)
    yield b"second"

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/drip":
        return drip()
    if path == "/pause":
        time.sleep(1.2)
    stuck = {"/sleep": sleep, "/spin": spin, "/c": wait_in_c, "/lock": hold_the_lock}.get(path)
    if stuck:
        stuck()
    return [path.encode()]
"""

#: What each path is stuck in.
STUCK = {"/sleep": "sleep", "/spin": "spin", "/c": "wait_in_c", "/lock": "hold_the_lock"}

#: Where somebody else notices: the arbiter for the only thread of a sync worker, else the worker.
WORKERS = {
    "sync": ("-k", "sync"),
    "async-1": ("-k", "async"),
    "async-4": ("-k", "gthread", "--threads", "4"),
}


@pytest.fixture(params=list(WORKERS))
def stuck_server(request: pytest.FixtureRequest, serve: Serve) -> Server:
    args = ("--timeout", "1", "--access-logfile", "-", *WORKERS[request.param])
    server: Server = serve(APP, *args)
    server.in_worker = request.param != "sync"  # type: ignore[attr-defined]
    return server


def ask(client: Client, target: str) -> str:
    client.send_request("GET", target)
    return client.response().body.decode()


@pytest.mark.parametrize("path", list(STUCK))
def test_stuck_request_is_named_with_its_stack_and_the_worker_replaced(
    stuck_server: Server, path: str
) -> None:
    server = stuck_server
    (pid,) = server.wait_workers(1)
    with server.connect() as client:
        client.send_request("GET", f"{path}?a")
        server.wait_log(
            rf'\[CRITICAL\] WORKER TIMEOUT \(pid:{pid}\): request "GET {path}\?a HTTP/1\.1" '
            r"from 127\.0\.0\.1 is running for 1 s"
        )
        server.wait_log(rf'File ".*app\.py", line \d+ in {STUCK[path]}')
        if server.in_worker:  # type: ignore[attr-defined]
            response = client.response()
            assert (response.status, response.field("connection")) == (504, "close")
            server.wait_log(rf'"GET {path}\?a HTTP/1\.1" 504 ')
        assert client.rest() == b""
    assert server.get("/a").body == b"/a"
    server.wait_log(rf"Worker \(pid:{pid}\) was ended for its timeout: ")
    poll(lambda: pid not in server.workers(), "the stuck process is gone")
    assert server.log.count("WORKER TIMEOUT") == 1
    assert len(re.findall(rf'" 504 |"GET {path}.* 200 ', server.log)) <= 1


def test_others_are_finished_and_told_to_close(serve: Serve) -> None:
    """Those in the application, those that wait for a thread, and the next ones of kept clients."""
    server = serve(APP, "--threads", "2", "--timeout", "2")
    with server.connect() as stuck, server.connect() as kept, server.connect() as busy:
        assert ask(kept, "/a") == "/a"
        stuck.send_request("GET", "/sleep")
        time.sleep(1.5)
        busy.send_request("GET", "/pause")
        assert stuck.response().status == 504
        kept.send_request("GET", "/b")
        for client, path in ((kept, b"/b"), (busy, b"/pause")):
            response = client.response()
            assert (response.body, response.field("connection")) == (path, "close")


def test_response_that_has_begun_is_cut(serve: Serve) -> None:
    server = serve(APP, "--threads", "2", "--timeout", "1", "--access-logfile", "-")
    with server.connect() as client:
        client.send_request("GET", "/drip")
        head_and_rest = client.rest()
        assert b"first" in head_and_rest
        assert not head_and_rest.endswith(b"0\r\n\r\n")
    server.wait_log('"GET /drip HTTP/1.1" 200 5 ')


def test_application_that_stalls_between_chunks_for_less_than_timeout_goes_on(
    serve: Serve, worker_class: str
) -> None:
    app = """
import time
def app(environ, start_response):
    start_response("200 OK", [])
    for _ in range(5):
        time.sleep(0.5)
        yield b"x" if environ["PATH_INFO"] == "/" else b""
"""
    server = serve(app, "-k", worker_class, "--timeout", "2")
    assert server.get("/").body == b"xxxxx"
    assert server.get("/empty").body == b""
    assert "TIMEOUT" not in server.log


def test_import_is_bounded(serve: Serve, worker_class: str) -> None:
    server = serve("import time; time.sleep(60)", "-k", worker_class, "--timeout", "1")
    server.wait_log(r"\[CRITICAL\] WORKER TIMEOUT \(pid:\d+\): while booting")
    server.wait_log(r'File ".*app\.py", line 1 in <module>')


def test_process_that_stood_still_gives_up_no_request(serve: Serve) -> None:
    """Suspended as a laptop is: worker and arbiter, for longer than timeout."""
    server = serve(APP, "--threads", "2", "--timeout", "3")
    (pid,) = server.wait_workers(1)
    with server.connect() as client:
        client.send_request("GET", "/pause")
        time.sleep(0.3)
        for process in (server.pid, pid):
            os.kill(process, signal.SIGSTOP)
        time.sleep(4)
        for process in (server.pid, pid):
            os.kill(process, signal.SIGCONT)
        assert client.response().body == b"/pause"
    assert "TIMEOUT" not in server.log
