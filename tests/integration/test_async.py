# SPDX-License-Identifier: MIT
"""What only the async worker promises: other clients go on whatever the application does, slow
readers and idle connections hold no thread, and nothing is lost when a worker stops.

What an application is busy with ends when the test says so: who has an answer before that has not
waited for it, however slow the machine is."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import SHORT_TIMEOUT, Client, Server, poll

Serve = Callable[..., Server]

#: /sleep and /spin tell that they were entered, and last until there is a file "go".
APP = """
import contextvars, ctypes, os, pathlib, threading, time

seen = contextvars.ContextVar("seen", default="nothing")
loaded = contextvars.ContextVar("loaded", default="nothing")
loaded.set("at import")
local = threading.local()
pulled = 0
held = threading.Event()

def drip():
    global pulled
    name = threading.current_thread().ident
    for pulled in range(1, 201):
        assert threading.current_thread().ident == name
        yield b"x" * 65536

def answer(path):
    if path in ("/sleep", "/spin", "/long", "/lock"):
        pathlib.Path(f"entered-{threading.get_ident()}").touch()
    if path == "/sleep":
        while not os.path.exists("go"):
            time.sleep(0.01)
    elif path == "/spin":
        while not os.path.exists("go"):
            for _ in range(1_000_000):  # many times the interpreter's switch interval
                pass
    elif path == "/long":
        time.sleep(60)
    elif path == "/lock":
        ctypes.PyDLL(None).sleep(60)
    elif path == "/hold":
        held.wait(60)
    elif path == "/release":
        held.set()
    elif path == "/pulled":
        return str(pulled)
    elif path == "/context":
        before = seen.get()
        seen.set("something")
        return f"{before} {loaded.get()}"
    elif path == "/local":
        local.n = getattr(local, "n", 0) + 1
        return str(local.n)
    return path

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return drip() if path == "/drip" else [answer(path).encode()]
"""


def wait_entered(server: Server, n: int = 1) -> None:
    """Until n threads are in a long call of the application."""
    poll(lambda: len(list(server.directory.glob("entered-*"))) == n, f"{n} calls are under way")


def let_go(server: Server) -> None:
    (server.directory / "go").touch()


def ask(client: Client, target: str) -> str:
    client.send_request("GET", target)
    return client.response().body.decode()


@pytest.mark.parametrize("name", ["async", "gthread"])
def test_connections_are_kept_alive(serve: Serve, name: str) -> None:
    server = serve(APP, "-k", name)
    with server.connect() as client:
        for _ in range(3):
            client.send_request("GET", "/a")
            response = client.response()
            assert (response.body, response.field("connection")) == (b"/a", "keep-alive")


def test_threads_select_the_engine(serve: Serve) -> None:
    server = serve(APP, "--threads", "4")
    server.wait_log("Using worker: gthread")
    assert server.get("/a").body == b"/a"


@pytest.mark.parametrize("path", ["/sleep", "/spin"])
def test_requests_go_on_beside_a_busy_thread(serve: Serve, path: str) -> None:
    server = serve(APP, "-k", "gthread", "--threads", "2")
    with server.connect() as busy, server.connect() as other:
        assert ask(other, "/a") == "/a"
        busy.send_request("GET", path)
        wait_entered(server)
        for _ in range(5):
            assert ask(other, "/a") == "/a"
        let_go(server)
        assert busy.response().body == path.encode()


@pytest.mark.parametrize("path", ["/sleep", "/spin"])
def test_io_goes_on_while_the_only_thread_is_busy(serve: Serve, path: str) -> None:
    """A fault is answered without the application, so it shows that the loop is turned."""
    server = serve(APP, "-k", "async")
    with server.connect() as busy, server.connect() as other:
        assert ask(other, "/a") == "/a"
        busy.send_request("GET", path)
        wait_entered(server)
        other.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        assert other.response().status == 400
        let_go(server)
        assert busy.response().body == path.encode()


def test_busy_worker_leaves_new_clients_to_another(serve: Serve) -> None:
    server = serve(APP, "-k", "async", "-w", "2")
    server.wait_workers(2)
    with server.connect() as busy:
        busy.send_request("GET", "/sleep")
        wait_entered(server)
        for _ in range(20):
            assert server.get("/a").body == b"/a"
        let_go(server)
        assert busy.response().body == b"/sleep"


def test_iterator_is_pulled_only_as_the_client_drains(serve: Serve) -> None:
    server = serve(APP, "-k", "async", "--threads", "2")
    with server.connect() as slow, server.connect() as other:
        slow.send_request("GET", "/drip", "Connection: close")
        poll(lambda: int(ask(other, "/pulled")) > 0, "the iterator has begun")
        time.sleep(0.2)
        assert int(ask(other, "/pulled")) < 200
        assert len(slow.response().body) == 200 * 65536
        assert int(ask(other, "/pulled")) == 200


EVENTS = """
import threading

told = threading.Condition()
streams = events = 0

def listen():
    global streams
    with told:
        streams += 1
        seen = events  # before the client can know that it listens
    yield b": hello\\n\\n"
    while True:
        with told:
            told.wait_for(lambda: events != seen)
        seen = events
        yield b"data: %d\\n\\n" % seen

def app(environ, start_response):
    global events
    path = environ["PATH_INFO"]
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return listen()
    if path == "/tell":
        with told:
            events += 1
            told.notify_all()
    start_response("200 OK", [])
    return [b"%d" % streams]
"""


def next_event(client: Client) -> bytes:
    """The chunk that carries it."""
    data = client.reader.read(int(client.line(), 16))
    assert client.line() == b""
    return data


PIECES_N = 100
#: For so long, or up to 200 ms, the kernel would hold each piece back.
HELD_S = 0.04

PIECES = """
import os, time

def pieces():
    for n in range({n}):
        yield b"piece"
        while not os.path.exists("{folder}/%d" % n):
            time.sleep(0.001)

def app(environ, start_response):
    start_response("200 OK", [])
    return pieces()
"""


@pytest.mark.parametrize("threads", ["1", "4"])
def test_piece_leaves_while_the_next_is_made(serve: Serve, tmp_path: Path, threads: str) -> None:
    """Each is made only when the client has had the one before (PEP 3333, "Buffering and
    Streaming")."""
    server = serve(PIECES.format(n=PIECES_N, folder=tmp_path), "-k", "async", "--threads", threads)
    with server.connect() as client:
        client.send_request("GET", "/")
        client.head()
        took = []
        for n in range(PIECES_N):
            begun = time.monotonic()
            assert next_event(client) == b"piece"
            took.append(time.monotonic() - begun)
            (tmp_path / str(n)).touch()
    # A busy machine delays many of them, the kernel would delay each one but for the first few.
    assert statistics.quantiles(took[PIECES_N // 4 :], n=10)[0] < HELD_S, took


def test_event_streams_hold_up_nobody(serve: Serve) -> None:
    """Ten listeners and four threads; each event reaches all of them."""
    server = serve(EVENTS, "--threads", "4")
    streams = [server.connect() for _ in range(10)]
    for client in streams:
        client.send_request("GET", "/events")
    for client in streams:
        client.head()
        assert next_event(client) == b": hello\n\n"
    for n in range(1, 4):
        assert server.get("/").body == b"10"
        assert server.get("/tell").status == 200
        assert [next_event(client) for client in streams] == [b"data: %d\n\n" % n] * 10
    for client in streams:
        client.close()


def test_thousand_idle_connections(serve: Serve) -> None:
    server = serve(APP, "-k", "async", "--worker-connections", "1100")
    clients = [server.connect() for _ in range(1000)]
    try:
        for client in clients:
            assert ask(client, "/a") == "/a"
        assert server.get("/b").body == b"/b"
        for client in clients[::50]:
            assert ask(client, "/c") == "/c"
    finally:
        for client in clients:
            client.close()


def test_each_request_has_a_fresh_context(serve: Serve) -> None:
    server = serve(APP, "-k", "async")
    with server.connect() as client:
        assert [ask(client, "/context") for _ in range(3)] == ["nothing at import"] * 3


def test_thread_locals_last(serve: Serve) -> None:
    server = serve(APP, "-k", "async")
    with server.connect() as client:
        assert [ask(client, "/local") for _ in range(3)] == ["1", "2", "3"]


def was_closed(client: Client) -> bool:
    """Whether no byte of an answer comes."""
    try:
        return not client.reader.peek(1)
    except ConnectionError:
        return True


def ask_until_closed(client: Client) -> None:
    """Each request is answered until the server has the client close, or closes an idle one."""
    while True:
        client.send_request("GET", "/a")
        if was_closed(client):
            return
        response = client.response()
        assert response.body == b"/a"
        if response.field("connection") == "close":
            return


def test_timeout_kills_and_names_the_stuck_request(serve: Serve) -> None:
    server = serve(APP, "-k", "gthread", "--threads", "2", *SHORT_TIMEOUT)
    with server.connect() as stuck, server.connect() as other:
        assert ask(other, "/a") == "/a"
        stuck.send_request("GET", "/hold?stuck")
        ask_until_closed(other)
        server.wait_log(r'request "GET /hold\?stuck HTTP/1.1" from 127.0.0.1 is running for')
        server.wait_log(r'File ".*app.py", line \d+ in answer')
    poll(lambda: server.get("/a").body == b"/a", "the next worker serves")


#: For so long a worker that leaves waits for who has an idle connection.
SILENT_S = 0.5


def load(server: Server, failures: list[str], stop: threading.Event) -> None:
    """Requests on kept connections, until stop; a new connection when one was closed, which an idle
    one may be if the machine was too busy to ask in time."""
    while not stop.is_set():
        asked = time.monotonic()
        with server.connect() as client:
            while not stop.is_set():
                before = asked
                client.send_request("GET", "/a")
                asked = time.monotonic()
                if asked - before > SILENT_S and was_closed(client):
                    break
                response = client.response()
                if response.body != b"/a":
                    failures.append(repr(response))
                if response.field("connection") == "close":
                    break


def run_load(server: Server, action: Callable[[], None]) -> list[str]:
    """What fails for four clients while the action is under way."""
    failures: list[str] = []
    stop = threading.Event()

    def run() -> None:
        try:
            load(server, failures, stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shall fail of it
            failures.append(repr(error))

    clients = [threading.Thread(target=run) for _ in range(4)]
    for thread in clients:
        thread.start()
    try:
        action()
    finally:
        stop.set()
        for thread in clients:
            thread.join()
    return failures


def test_max_requests_loses_nothing(serve: Serve) -> None:
    args = ("--max-requests", "100", "--max-requests-jitter", "50")
    server = serve(APP, "-k", "gthread", "--threads", "3", "-w", "2", *args)
    server.wait_workers(2)
    restarts = r"Autorestarting worker after current request"
    assert run_load(server, lambda: server.wait_log(restarts, count=6)) == []


@pytest.mark.parametrize("threads", ["1", "4"])
def test_reload_scaling_and_reopening_lose_nothing(serve: Serve, threads: str) -> None:
    """With more clients than threads, on connections that live as long as the server lets them."""
    server = serve(APP, "-k", "async", "--threads", threads, "-w", "2")
    server.wait_workers(2)

    def act() -> None:
        for n in range(1, 4):
            server.send_signal(signal.SIGTTIN)
            server.wait_workers(3)
            server.send_signal(signal.SIGUSR1)
            server.send_signal(signal.SIGHUP)
            server.wait_log("Reloaded", count=n)
            server.wait_workers(2)
        server.send_signal(signal.SIGTTOU)
        server.wait_workers(1)

    assert run_load(server, act) == []


@pytest.mark.parametrize("threads", ["1", "4"])
def test_term_closes_behind_the_request_under_way(serve: Serve, threads: str) -> None:
    server = serve(APP, "-k", "async", "--threads", threads)
    with server.connect() as client:
        client.send(
            b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        wait_entered(server)
        server.send_signal(signal.SIGTERM)
        server.wait_refused()
        let_go(server)
        response = client.response()
        assert (response.body, response.field("connection")) == (b"/sleep", "close")
        assert client.rest() == b""
    assert server.wait() == 0


@pytest.mark.parametrize("threads", ["1", "3"])
def test_term_finishes_the_requests_of_all_threads(serve: Serve, threads: str) -> None:
    server = serve(APP, "-k", "async", "--threads", threads)
    clients = [server.connect() for _ in range(int(threads))]
    for client in clients:
        client.send_request("GET", "/sleep")
    wait_entered(server, int(threads))
    server.send_signal(signal.SIGTERM)
    server.wait_refused()
    let_go(server)
    for client in clients:
        response = client.response()
        assert (response.body, response.field("connection")) == (b"/sleep", "close")
    assert server.wait() == 0


@pytest.mark.parametrize("path", ["/long", "/spin", "/lock"])
def test_quit_does_not_wait_for_the_application(serve: Serve, path: str) -> None:
    server = serve(APP, "-k", "gthread", "--threads", "2")
    with server.connect() as busy:
        busy.send_request("GET", path)
        wait_entered(server)
        assert server.stop(signal.SIGQUIT) == 0


ENDS = """
import threading, time

lock = threading.Lock()
open_n = most_n = 0

def add(n):
    global open_n, most_n
    with lock:
        open_n += n
        most_n = max(most_n, open_n)

class Body(list):
    def close(self):
        add(-1)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/most":
        start_response("200 OK", [])
        return [str(most_n).encode()]
    start_response("200 OK", [("Content-Length", "4")])
    add(1)
    time.sleep(0.002)
    return Body([b"done"])
"""


@pytest.mark.parametrize("threads", ["1", "4"])
def test_new_requests_do_not_keep_old_ones_from_their_end(serve: Serve, threads: str) -> None:
    """Each call takes its thread's share of time, so that close() is left for the next one."""
    server = serve(ENDS, "-k", "async", "--threads", threads)
    clients, answered = 8, []

    def come_and_go() -> None:
        for _ in range(25):
            with server.connect() as client:
                client.send_request("GET", "/", "Connection: close")
                answered.append(client.response().body)

    callers = [threading.Thread(target=come_and_go) for _ in range(clients)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert answered == [b"done"] * 25 * clients
    with server.connect() as client:
        assert int(ask(client, "/most")) <= 4 * clients
