# SPDX-License-Identifier: MIT
"""Several threads of the application use one response: what they send arrives whole, whoever is too
late is told so, and nobody waits for ever.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Client, Server, alive, poll

Serve = Callable[..., Server]

#: A line when the request is over, which may be a while behind its response.
LOG_ENDS = ("--access-logfile", "-", "--access-logformat", "over %(U)s")

PRELUDE = """
import contextlib, os, pathlib, re, socket, sys, threading, time
sys.setswitchinterval(1e-5)

def wait_for(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.005)

def note(name, text=""):
    pathlib.Path(name + ".new").write_text(str(text))
    os.rename(name + ".new", name)

def outcome(call, *args):
    try:
        call(*args)
    except Exception as e:
        return type(e).__name__
    return "done"

def start(target, *args):
    thread = threading.Thread(target=target, args=args)
    thread.start()
    return thread

def piece(writer, number, length):
    return b"<%d.%d:%s>" % (writer, number, bytes([97 + writer]) * length)
"""

#: What piece() makes.
PIECE = re.compile(rb"<(\d+)\.(\d+):(\w+)>")


def pieces(body: bytes) -> dict[int, list[int]]:
    """The numbers of each writer's pieces, in their order; nothing else may be in the body."""
    found: dict[int, list[int]] = {}
    at = 0
    while at < len(body):
        match = PIECE.match(body, at)
        assert match, body[at : at + 100]
        assert set(match[3]) == {97 + int(match[1])}, "a piece within a piece"
        found.setdefault(int(match[1]), []).append(int(match[2]))
        at = match.end()
    return found


@contextlib.contextmanager
def slow_client(server: Server) -> Iterator[Client]:
    """One whose window takes little at a time."""
    with socket.socket() as sock:
        sock.settimeout(60)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        with Client(sock) as client:
            yield client


WRITERS = """
LENGTHS = [1, 100, 70_000, 5, 300_000, 8000] * 2

def app(environ, start_response):
    path = environ["PATH_INFO"]
    total = sum(len(piece(w, n, l)) for w in range(6) for n, l in enumerate(LENGTHS))
    fields = [("Content-Length", str(total))] if path == "/length" else []
    write = start_response("200 OK", fields)
    begin = threading.Barrier(6)

    def write_all(writer):
        begin.wait()
        for number, length in enumerate(LENGTHS):
            write(piece(writer, number, length))

    threads = [start(write_all, writer) for writer in range(5)]
    begin.wait()
    for number, length in enumerate(LENGTHS):
        if path == "/writes":
            write(piece(5, number, length))
        else:
            yield piece(5, number, length)
    for thread in threads:
        thread.join()
"""


@pytest.mark.parametrize("path", ["/writes", "/yields", "/length"])
def test_what_several_threads_write_arrives_in_whole_pieces(
    serve: Serve, worker_class: str, path: str
) -> None:
    server = serve(PRELUDE + WRITERS, "-k", worker_class)
    with slow_client(server) as client:
        client.send_request("GET", path)
        found = pieces(client.response().body)
    assert found == {writer: list(range(12)) for writer in range(6)}
    assert "Traceback" not in server.log
    assert server.get("/writes").status == 200


def test_who_writes_behind_the_end_is_told_so(serve: Serve, worker_class: str) -> None:
    app = """
def app(environ, start_response):
    write = start_response("200 OK", [])
    threads, ends = [], []

    def go_on(writer):
        for number in range(1_000_000):
            end = outcome(write, piece(writer, number, 30_000))
            if end != "done":
                ends.append(end)
                break

    def tell():
        for thread in threads:
            thread.join()
        note("ends", " ".join(ends))

    threads += [start(go_on, writer) for writer in range(4)]
    start(tell)
    for number in range(20):
        yield piece(4, number, 30_000)
"""
    server = serve(PRELUDE + app, "-k", worker_class)
    with slow_client(server) as client:
        client.send_request("GET")
        found = pieces(client.response().body)
    assert found[4] == list(range(20))
    assert all(numbers == list(range(len(numbers))) for numbers in found.values())
    ends = server.directory / "ends"
    poll(ends.exists, "the end of all writers")
    assert ends.read_text().split() == ["RuntimeError"] * 4
    assert "Traceback" not in server.log


def test_who_writes_between_two_chunks_waits_for_the_next(serve: Serve, worker_class: str) -> None:
    app = """
def app(environ, start_response):
    write = start_response("200 OK", [])

    def late():
        wait_for("written")
        note("end", outcome(write, piece(1, 0, 10)))
        note("end2", outcome(write, piece(1, 1, 10)))

    start(late)
    note("written")
    yield piece(0, 0, 8_000_000)
    wait_for("end")
    yield piece(0, 1, 10)
"""
    server = serve(PRELUDE + app, "-k", worker_class)
    with slow_client(server) as client:
        client.send_request("GET")
        found = pieces(client.response().body)
    assert found[0] == [0, 1]
    assert 0 in found[1]
    end = server.directory / "end2"
    poll(end.exists, "the end of the writer")
    assert end.read_text() in ("done", "RuntimeError")


def test_writers_are_told_that_the_client_has_left(serve: Serve, worker_class: str) -> None:
    app = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/ok":
        start_response("200 OK", [])
        return [b"ok"]
    write = start_response("200 OK", [])
    ends = []

    def go_on():
        end = "done"
        while end == "done":
            end = outcome(write, b"x" * 100_000)
        ends.append(end)

    threads = [start(go_on) for _ in range(4)]
    for thread in threads:
        thread.join()
    note("ends", " ".join(ends))
    return []
"""
    server = serve(PRELUDE + app, "-k", worker_class)
    with slow_client(server) as client:
        client.send_request("GET")
        client.head()
    ends = server.directory / "ends"
    poll(ends.exists, "the end of all writers")
    assert ends.read_text().split() == ["ClientDisconnected"] * 4
    assert server.get("/ok").body == b"ok"
    assert "Traceback" not in server.log


@pytest.mark.parametrize("call", ["start_response", "early_hints"])
def test_headers_that_come_when_the_request_is_over_are_too_late(
    serve: Serve, worker_class: str, call: str
) -> None:
    app = f"""
def lazy():
    note("begun")
    wait_for("over")
    yield ("X-Late", "1")

def app(environ, start_response):
    if environ["PATH_INFO"] == "/next":
        note("over")
        wait_for("end")
        start_response("200 OK", [])
        return [pathlib.Path("end").read_bytes()]
    calls = {{
        "start_response": lambda: start_response("500 Late", lazy()),
        "early_hints": lambda: environ["wsgi.early_hints"](lazy()),
    }}
    start(lambda: note("end", outcome(calls["{call}"])))
    wait_for("begun")
    start_response("200 OK", [("X-A", "1")])
    return [b"a"]
"""
    server = serve(PRELUDE + app, "-k", worker_class, *LOG_ENDS)
    r = server.get("/")
    assert (r.status, r.field("x-a"), r.body) == (200, "1", b"a")
    server.wait_log("over /\n")
    r = server.get("/next")
    assert (r.status, r.field("x-late"), r.body) == (200, None, b"RuntimeError")
    assert server.log.count("Booting worker") == 1


def test_another_thread_may_start_the_response(serve: Serve, worker_class: str) -> None:
    app = """
def app(environ, start_response):
    got = []
    start(lambda: got.append(start_response("201 OK", [("X-A", "1")]))).join()
    start(got[0], b"a").join()
    return [b"b"]
"""
    server = serve(PRELUDE + app, "-k", worker_class)
    r = server.get()
    assert (r.status, r.field("x-a"), r.body) == (201, "1", b"ab")


def test_hints_of_several_threads_arrive_whole(serve: Serve, worker_class: str) -> None:
    app = """
def app(environ, start_response):
    hint = environ["wsgi.early_hints"]

    def hints(n):
        for i in range(20):
            hint([("Link", "<%d.%d>" % (n, i)), ("X-Pad", "p" * 50_000)])

    threads = [start(hints, n) for n in range(4)]
    for thread in threads[:2]:
        thread.join()
    write = start_response("200 OK", [])
    write(b"a")
    for thread in threads:
        thread.join()
    note("end", outcome(hint, [("Link", "<late>")]))
    return [b"b"]
"""
    server = serve(PRELUDE + app, "-k", worker_class)
    with slow_client(server) as client:
        client.send_request("GET")
        seen: dict[str, list[int]] = {}
        while (r := client.head()).status == 103:
            assert r.field("x-pad") == "p" * 50_000
            n, _, i = str(r.field("link")).strip("<>").partition(".")
            seen.setdefault(n, []).append(int(i))
        assert b"".join(client._chunks()) == b"ab"
    assert seen["0"] == seen["1"] == list(range(20))
    assert all(numbers == list(range(len(numbers))) for numbers in seen.values())
    assert (server.directory / "end").read_text() == "done"


def test_the_clients_socket_is_one_for_all_threads(serve: Serve, worker_class: str) -> None:
    app = """
begin = threading.Barrier(4)

class Meeting(socket.socket):
    # All make their socket at the same time.
    def settimeout(self, value):
        begin.wait()
        super().settimeout(value)

def inode(fd):
    try:
        return os.fstat(int(fd)).st_ino
    except OSError:  # closed meanwhile
        return 0

def app(environ, start_response):
    client, numbers = environ["gunicorn.socket"], []
    plain, socket.socket = socket.socket, Meeting
    threads = [start(lambda: numbers.append(client.fileno())) for _ in range(4)]
    for thread in threads:
        thread.join()
    socket.socket = plain
    start_response("200 OK", [])
    here = [inode(fd) for fd in os.listdir("/proc/self/fd")]
    return [b"%d socket, %d descriptors" % (len(set(numbers)), here.count(inode(client.fileno())))]
"""
    server = serve(PRELUDE + app, "-k", worker_class)
    for _ in range(3):
        assert server.get().body == b"1 socket, 2 descriptors"


def test_a_socket_that_is_made_when_the_request_is_over_is_none(
    serve: Serve, worker_class: str
) -> None:
    app = """
class Late(socket.socket):
    def settimeout(self, value):
        made.append(self)
        note("begun")
        wait_for("over")
        super().settimeout(value)

made = []

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/next":
        note("over")
        wait_for("end")
        return [pathlib.Path("end").read_bytes(), b" %d" % made[0].fileno()]
    client = environ["gunicorn.socket"]
    plain, socket.socket = socket.socket, Late
    start(lambda: note("end", outcome(lambda: client.fileno())))
    wait_for("begun")
    socket.socket = plain
    return [b"a"]
"""
    server = serve(PRELUDE + app, "-k", worker_class, *LOG_ENDS)
    assert server.get("/").body == b"a"
    server.wait_log("over /\n")
    assert server.get("/next").body == b"OSError -1"


def test_a_thread_may_ask_whether_the_client_is_gone(serve: Serve, worker_class: str) -> None:
    app = """
def app(environ, start_response):
    gone = environ["cgunicorn.client_disconnected"]
    write = start_response("200 OK", [])

    def watch():
        while not gone():
            time.sleep(0.005)
        note("seen", outcome(write, b"x"))

    watcher = start(watch)
    with contextlib.suppress(ConnectionError):
        while watcher.is_alive():
            write(b"x" * 100_000)
    watcher.join()
    return []
"""
    server = serve(PRELUDE + app, "-k", worker_class)
    with slow_client(server) as client:
        client.send_request("GET")
        client.head()
    seen = server.directory / "seen"
    poll(seen.exists, "the watcher sees it")
    assert seen.read_text() == "ClientDisconnected"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT])
def test_writers_do_not_keep_a_worker_that_stops(
    serve: Serve, worker_class: str, signum: signal.Signals
) -> None:
    app = """
def app(environ, start_response):
    write = start_response("200 OK", [])

    def go_on():
        while outcome(write, b"x" * 100_000) == "done":
            pass

    threads = [start(go_on) for _ in range(3)]
    for _ in range(100):
        yield b"x" * 100_000
"""
    server = serve(PRELUDE + app, "-k", worker_class, "--graceful-timeout", "1")
    with slow_client(server) as client:
        client.send_request("GET")
        client.head()
        (worker,) = server.wait_workers(1)
        assert server.stop(signum) == 0
    assert not alive(worker)
    assert "SIGSEGV" not in server.log and "SIGABRT" not in server.log


def test_a_request_that_ends_while_it_is_read_is_read_whole_or_not_at_all(
    serve: Serve, worker_class: str, tmp_path: Path
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "def pre_request(worker, req):\n    import app\n    app.kept = req\n"
    )
    app = """
import gc

def read(req):
    def stop(phase, info):
        # Garbage is collected again and again while the list of headers is made.
        collected.append(phase)
        if threading.current_thread() is reader and len(collected) == 41:
            note("begun")
            wait_for("over")
    collected, spare = [], [(n, n) for n in range(5000)] # no tuple is used again
    gc.callbacks.append(stop)
    gc.set_threshold(1)
    try:
        n = sum(name.startswith("X-") for name, _ in req.headers)
    except RuntimeError as e:
        n = type(e).__name__
    gc.set_threshold(700)
    note("end", n)
    note("begun")

def app(environ, start_response):
    global reader
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/next":
        note("over")
        wait_for("end")
        return [pathlib.Path("end").read_bytes()]
    reader = threading.Thread(target=read, args=(kept,))
    reader.start()
    wait_for("begun")
    return [b"a"]
"""
    server = serve(PRELUDE + app, "-k", worker_class, *LOG_ENDS)
    assert server.get("/", *(f"X-{n}: {n}" for n in range(50))).body == b"a"
    server.wait_log("over /\n")
    assert server.get("/next").body in (b"50", b"RuntimeError")


def test_several_threads_read_one_body_between_them(serve: Serve, worker_class: str) -> None:
    app = """
def app(environ, start_response):
    body, lines = environ["wsgi.input"], []

    def read():
        for line in body:
            lines.append(line)

    threads = [start(read) for _ in range(4)]
    for thread in threads:
        thread.join()
    start_response("200 OK", [])
    return sorted(lines)
"""
    server = serve(PRELUDE + app, "-k", worker_class)
    body = b"".join(b"%08d\n" % n for n in range(200_000))  # more than is kept in memory
    with server.connect() as client:
        client.send_request("POST", body=body)
        assert client.response().body == body
