# SPDX-License-Identifier: MIT
"""`timeout` bounds each request, whatever it is stuck in: the log tells which one it was, whose,
and where in the code; its client gets an end, and all others are served."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import FREE_THREADED, PATIENCE, Client, Server, poll

Serve = Callable[..., Server]

#: More than a busy machine lets a worker stand still, which would be told like a request.
TIMEOUT = ("--timeout", "3", "--boot-timeout", "60")

APP = """
import ctypes, os, pathlib, threading, time

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
    if path == "/pause":  # until there is a file "go"
        pathlib.Path("entered").touch()
        while not os.path.exists("go"):
            time.sleep(0.01)
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
    args = (*TIMEOUT, "--access-logfile", "-", *WORKERS[request.param])
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
            r"from 127\.0\.0\.1 is running for \d+ s"
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


@pytest.mark.parametrize("args", list(WORKERS.values()), ids=list(WORKERS))
def test_thread_that_does_not_answer_is_named_without_its_stack(
    serve: Serve, args: tuple[str, ...]
) -> None:
    app = """
import signal, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
        time.sleep(60)
    start_response("200 OK", [])
    return [b"here"]
"""
    server = serve(app, *args, *TIMEOUT)
    (pid,) = server.wait_workers(1)
    with server.connect() as client:
        client.send_request("GET", "/deaf")
        server.wait_log(
            rf'WORKER TIMEOUT \(pid:{pid}\): request "GET /deaf HTTP/1\.1" from 127\.0\.0\.1 '
            r"is running for \d+ s \(no stack: it does not answer\)\n"
        )
        assert server.get("/").body == b"here"
    poll(lambda: pid not in server.workers(), "the stuck process is gone")


#: Starts the command with a socket of datagrams for standard error: each write is one.
INTO_DATAGRAMS = """
import os, socket, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.connect("log.sock")
os.dup2(log.fileno(), 2)
os.execv(sys.executable, [sys.executable, "-m", "cgunicorn", *sys.argv[1:]])
"""


@pytest.mark.parametrize("args", list(WORKERS.values()), ids=list(WORKERS))
@pytest.mark.parametrize("path", ["/spin", "/c", "/lock"])
def test_line_and_stack_are_one_write(
    serve: Serve, tmp_path: Path, args: tuple[str, ...], path: str
) -> None:
    """So that no line of another process or thread gets between them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log.sock"))
        log.settimeout(PATIENCE)
        command = (sys.executable, "-c", INTO_DATAGRAMS)
        server = serve(APP, *args, *TIMEOUT, command=command, bind="unix:app.sock", wait=False)

        def told(what: str) -> list[str]:
            """All that is written until then."""
            texts = [log.recv(1 << 20).decode()]
            while what not in texts[-1]:
                texts.append(log.recv(1 << 20).decode())
            return texts

        told("Booting worker")
        with server.connect_unix("app.sock") as client:
            client.send_request("GET", path)
            text = told("WORKER TIMEOUT")[-1]
            first, *stack = text.splitlines()
            assert re.search(r" is running for \d+ s$", first), text
            assert re.search(rf'File ".*app\.py", line \d+ in {STUCK[path]}$', text, re.M), text
            assert len([line for line in stack if " in app" in line]) == 1, text
            rest = "".join(told("Booting worker"))
            assert 'app.py"' not in rest, "the stack is told once"


def test_others_are_finished_and_told_to_close(serve: Serve) -> None:
    """Those in the application, those that wait for a thread, and the next ones of kept clients."""
    server = serve(APP, "--threads", "2", "--timeout", "12", "--boot-timeout", "60")
    with contextlib.ExitStack() as stack:
        stuck, busy, waiting, kept = (stack.enter_context(server.connect()) for _ in range(4))
        for client in (waiting, kept):
            assert ask(client, "/a") == "/a"
        stuck.send_request("GET", "/sleep")
        time.sleep(6)  # so that the next one has time left when this one has none
        busy.send_request("GET", "/pause")
        poll((server.directory / "entered").exists, "the request is in the application")
        waiting.send_request("GET", "/b")
        kept.send(b"GET /kept HTTP/1.1\r\n")  # idle clients are closed after half a second
        assert stuck.response().status == 504
        kept.send(b"Host: a\r\n\r\n")
        (server.directory / "go").touch()
        for client, path in ((busy, b"/pause"), (waiting, b"/b"), (kept, b"/kept")):
            response = client.response()
            assert (response.body, response.field("connection")) == (path, "close")


@pytest.mark.skipif(FREE_THREADED, reason="nobody can keep all others from Python")
def test_requests_that_no_thread_came_to_are_declined(serve: Serve) -> None:
    """The interpreter lock is held for ever, so nobody can serve them."""
    app = """
import ctypes, sys
held = ctypes.PyDLL(None)  # its functions are called with the interpreter lock
mutex = ctypes.create_string_buffer(64)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/lock":
        sys.setswitchinterval(1000)
        held.creat(b"held", 0o600)
        held.pthread_mutex_lock(mutex)
        held.pthread_mutex_lock(mutex)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"/a"]
"""
    # Time enough for the late ones to ask before the stuck one has none left.
    args = ("--threads", "2", "--timeout", "6", "--boot-timeout", "60", "--graceful-timeout", "1")
    server = serve(app, *args, "--access-logfile", "-")
    with contextlib.ExitStack() as clients:
        kept = [clients.enter_context(server.connect()) for _ in range(3)]
        for client in kept:
            assert ask(client, "/a") == "/a"
        with server.connect() as stuck:
            stuck.send_request("GET", "/lock")
            poll((server.directory / "held").exists, "nobody else gets the lock")
            for client in kept:
                client.send_request("POST", "/late", body=b"x" * 100)
            assert stuck.response().status == 504
            for client in kept:
                response = client.response()
                assert (response.status, response.field("connection")) == (503, "close")
                assert client.rest() == b""
    server.wait_log('"POST /late HTTP/1.1" 503 ', count=3)


def test_response_that_has_begun_is_cut(serve: Serve) -> None:
    server = serve(APP, "--threads", "2", *TIMEOUT, "--access-logfile", "-")
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
    write = start_response("200 OK", [])
    for _ in range(7):
        time.sleep(0.8)
        if environ["PATH_INFO"] == "/write":
            write(b"x")
        else:
            yield b"x" if environ["PATH_INFO"] == "/" else b""
"""
    server = serve(app, "-k", worker_class, "--timeout", "5", "--boot-timeout", "60")
    assert server.get("/").body == b"x" * 7
    assert server.get("/empty").body == b""
    assert server.get("/write").body == b"x" * 7
    assert "TIMEOUT" not in server.log


def test_import_is_bounded(serve: Serve, worker_class: str) -> None:
    server = serve("import time; time.sleep(60)", "-k", worker_class, "--timeout", "1")
    server.wait_log(r"\[CRITICAL\] WORKER TIMEOUT \(pid:\d+\): while booting")
    server.wait_log(r'File ".*app\.py", line 1 in <module>')


def test_process_that_stood_still_gives_up_no_request(serve: Serve) -> None:
    """Suspended as a laptop is: worker and arbiter, for longer than timeout."""
    server = serve(APP, "--threads", "2", "--timeout", "5", "--boot-timeout", "60")
    (pid,) = server.wait_workers(1)
    with server.connect() as client:
        client.send_request("GET", "/pause")
        poll((server.directory / "entered").exists, "the request is in the application")
        for process in (server.pid, pid):
            os.kill(process, signal.SIGSTOP)
        time.sleep(6)
        for process in (server.pid, pid):
            os.kill(process, signal.SIGCONT)
        (server.directory / "go").touch()
        assert client.response().body == b"/pause"
    assert "TIMEOUT" not in server.log
