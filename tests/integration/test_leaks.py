# SPDX-License-Identifier: MIT
"""Many requests leave objects, memory, descriptors and threads where they were."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Client, Server, poll
from uwsgi import packet

Serve = Callable[..., Server]

APP = """
import gc, io, sys

class Body:
    def __iter__(self): return iter([b"a", b"b"])
    def close(self): pass

def failing():
    yield b"begun"
    raise RuntimeError("expected")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/objects":
        gc.collect()
        start_response("200 OK", [])
        blocks = sys.getallocatedblocks()
        return [f"{len(gc.get_objects())} {blocks}".encode()]
    if path == "/input":
        environ["wsgi.input"].readline()
    if path == "/raise":
        raise RuntimeError("expected")
    if path == "/bad":
        start_response("200 OK", [("X", "a\\r\\nb")])
    if path == "/retry":
        try:
            1 // 0
        except ZeroDivisionError:
            start_response("500 Sorry", [], sys.exc_info())
        return [b"sorry"]
    if path == "/socket":
        environ["gunicorn.socket"].getpeername()
    write = start_response("200 OK", [("X-Path", path)])
    if path == "/write":
        write(b"w")
    if path == "/generator":
        return (c for c in (b"a", b"b"))
    if path == "/failing":
        return failing()
    if path == "/close":
        return Body()
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "/stream":
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 10000))
    return [b"hello"]
"""
PATHS = ["/", "/input", "/raise", "/bad", "/retry", "/socket", "/write", "/generator"]
PATHS += ["/failing", "/close", "/file", "/stream"]
REQUESTS = 10_000
#: Caches fill and lists grow a little; a leak of one object per request would show as thousands.
SLACK_OBJECTS, SLACK_KIB = 200, 4096


def one(server: Server, path: str, body: bytes) -> bytes:
    with server.connect() as client:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nCookie: c=1\r\nConnection: close\r\n{length}\r\n"
        client.send(head.encode() + body)
        return client.rest()


def measure(server: Server) -> tuple[int, int, int, int]:
    """Objects, allocated blocks, resident KiB and descriptors of the one worker."""
    objects, blocks = map(int, one(server, "/objects", b"").rpartition(b"\r\n")[2].split())
    (worker,) = server.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    rss = int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
    return objects, blocks, rss, len(list(Path(f"/proc/{worker}/fd").iterdir()))


def check_flat(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    told = f"before {before}, after {after}"
    assert after[0] - before[0] < SLACK_OBJECTS, told
    assert after[1] - before[1] < SLACK_OBJECTS * 5, told
    assert after[2] - before[2] < SLACK_KIB, told
    assert after[3] <= before[3], told


def test_nothing_leaks(serve: Serve, worker_class: str) -> None:
    server = serve(
        APP, "-k", worker_class, "--error-logfile", "/dev/null", wait=False, bind="unix:app.sock"
    )

    def connect() -> Client:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(60)
        sock.connect(str(server.directory / "app.sock"))
        return Client(sock)

    server.connect = connect  # type: ignore[method-assign]
    poll((server.directory / "app.sock").is_socket, "listening")

    def round_of(n: int) -> None:
        for i in range(n):
            one(server, PATHS[i % len(PATHS)], b"line\nrest" if i % 3 else b"")

    round_of(1000)
    before = measure(server)
    round_of(REQUESTS)
    check_flat(before, measure(server))


#: On a kept connection, a pipeline of everything that leaves it open.
KEPT = [path for path in PATHS if path not in ("/raise", "/bad", "/failing")]
MANY = [("-k", "sync", "--keep-alive", "5"), ("-k", "async"), ("-k", "async", "--threads", "4")]


@pytest.mark.parametrize("args", MANY, ids=["sync", "async-1", "async-4"])
def test_hundred_thousand_pipelined_requests_leak_nothing(
    serve: Serve, args: tuple[str, ...]
) -> None:
    server = serve(APP, *args, "--access-logfile", "/dev/null")
    batch = "".join(f"GET {KEPT[i % len(KEPT)]} HTTP/1.1\r\nHost: a\r\n\r\n" for i in range(100))

    def round_of(n: int) -> None:
        for _ in range(n // 100):
            with server.connect() as client:
                client.send(batch.encode())
                client.shut()
                assert client.rest().count(b"HTTP/1.1 ") == 100

    def threads() -> int:
        (worker,) = server.workers()
        return len(list(Path(f"/proc/{worker}/task").iterdir()))

    round_of(5000)
    before, threads_before = measure(server), threads()
    round_of(100_000)
    check_flat(before, measure(server))
    assert threads() == threads_before


HOOKS = """
from cgunicorn.glogging import Logger

def pre_request(worker, req):
    req.mine = req.path, req.body
    req.headers.append(("X-ADDED", "1"))

def post_request(worker, req, environ, resp):
    environ["mine"] = req, resp, resp.headers

class logger_class(Logger):
    def atoms(self, resp, req, environ, request_time):
        return {**super().atoms(resp, req, environ, request_time), "mine": (resp, req, environ)}
"""
LOGGED = ("--access-logfile", "/dev/null", "--access-logformat", "json")
LOGGED += ("--error-logfile", "/dev/null", "--protocol", "auto", "-c", "hooks.py")


def asked_in_every_way(connect: Callable[[], Client], i: int) -> None:
    """One request in HTTP or as a packet, by a client that waits, or by one that leaves: with half
    of the request unsent, or before the answer."""
    path = PATHS[i % len(PATHS)]
    body = b"line\nrest"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    )
    request = f"{head}\r\n".encode() + body
    if i % 2:
        request = packet(REQUEST_METHOD="POST", REQUEST_URI=path, PATH_INFO=path, body=body)
    with connect() as client:
        if i % 5 == 0:
            client.send(request[: len(request) // 2])
        else:
            client.send(request)
        if i % 5 > 1:
            client.rest()


def test_hooks_loggers_metrics_packets_and_lost_clients_leak_nothing(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    (tmp_path / "hooks.py").write_text(HOOKS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        metrics = ("--statsd-host", f"127.0.0.1:{statsd.getsockname()[1]}")
        server = serve(APP, "-k", worker_class, *LOGGED, *metrics, wait=False, bind="unix:app.sock")
        poll((tmp_path / "app.sock").is_socket, "listening")
        server.connect = lambda: server.connect_unix("app.sock")  # type: ignore[method-assign]

        def settled() -> tuple[int, ...]:
            """Measured when every client that has left was noticed."""
            poll(lambda: measure(server)[3] <= fds_n, "no descriptor stays")
            return measure(server)

        def round_of(n: int) -> None:
            for i in range(n):
                asked_in_every_way(server.connect, i)

        fds_n = measure(server)[3]
        round_of(2000)
        before = settled()
        round_of(REQUESTS)
        check_flat(before, settled())
        assert statsd.recv(65536)


LOGGER = """
class Logger:
    access_log_enabled = True
    def __init__(self, cfg): pass
    def critical(self, msg, *args, **kwargs): pass
    error = warning = debug = exception = log = critical
    def info(self, msg, *args, **kwargs):
        print(msg)
    def reopen_files(self): pass
    def access(self, resp, req, environ, request_time):
        if environ["PATH_INFO"] == "/close":
            raise RuntimeError("in access()")
"""


@pytest.mark.parametrize("args", MANY, ids=["sync", "async-1", "async-4"])
def test_logger_class_that_is_told_of_exchanges_keeps_none(
    serve: Serve, args: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "loggers.py").write_text(LOGGER)
    server = serve(APP, *args, "--logger-class", "loggers.Logger")

    def round_of(n: int) -> None:
        for _ in range(n // 100):
            with server.connect() as client:
                paths = (KEPT[i % len(KEPT)] for i in range(100))
                client.send("".join(f"GET {p} HTTP/1.1\r\nHost: a\r\n\r\n" for p in paths).encode())
                client.shut()
                assert client.rest().count(b"HTTP/1.1 ") == 100

    def settled() -> tuple[int, ...]:
        """Measured when the thread that logs has caught up."""

        def look() -> bool:
            now = measure(server)
            return now[0] - first[0] < SLACK_OBJECTS and now[3] <= first[3]

        poll(look, "no line waits")
        return measure(server)

    round_of(100)  # what is imported late, and caches
    first = measure(server)
    round_of(2000)
    before = settled()
    round_of(REQUESTS)
    after = settled()  # the memory in use is that of the longest queue
    assert after[0] - before[0] < SLACK_OBJECTS, f"before {before}, after {after}"
    assert after[1] - before[1] < SLACK_OBJECTS * 5, f"before {before}, after {after}"
