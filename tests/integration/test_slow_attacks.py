# SPDX-License-Identifier: MIT
"""Clients that mean to hold the server up: hundreds that send or read too slowly, while a normal
client goes on getting its answers.
"""

from __future__ import annotations

import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from harness import Client, Server, poll

Serve = Callable[..., Server]
Start = Callable[..., Server]

ATTACKERS = 500
PROBES = 20
#: Seconds in which a normal client gets its answer on a machine that is busy with much else; if it
#: had to wait for its turn behind the attackers, they would be minutes.
SOON = 10.0
#: Those who never read come by it: the kernel stores 200 kB for each. By TCP it may store 4 MB.
SOCKET = "app.sock"

APP = """
BIG = b"x" * 2_000_000

def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/whole":
        return [BIG]
    if environ["PATH_INFO"] == "/parts":
        return (BIG[:20_000] for _ in range(100))
    return [b"small"]
"""
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Dribble: "
BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Room for all attackers, here and, by inheritance, in the server."""
    needed = ATTACKERS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY, -1) and hard < needed:
        pytest.skip(f"{needed} descriptors are needed, the hard limit (ulimit -Hn) is {hard}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def start(serve: Serve, worker_class: str) -> Start:
    def server(*args: str) -> Server:
        return serve(APP, "-k", worker_class, *args, bind=["127.0.0.1:0", f"unix:{SOCKET}"])

    return server


def connect(n: int, open_one: Callable[[], Client], data: bytes, stack: ExitStack) -> list[Client]:
    """n clients that have sent the data; they are closed with the stack."""
    clients = []
    for _ in range(n):
        clients.append(stack.enter_context(open_one()))
        clients[-1].send(data)
    return clients


def non_readers(server: Server, n: int, target: str, stack: ExitStack) -> list[Client]:
    data = f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    return connect(n, lambda: server.connect_unix(SOCKET), data, stack)


@contextmanager
def dribbling(clients: list[Client]) -> Iterator[None]:
    """Every client sends a byte, again and again."""
    done = threading.Event()

    def dribble() -> None:
        while not done.wait(0.05):
            for client in clients:
                with suppress(OSError):
                    client.sock.send(b"x")

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def check_answers_come_soon(server: Server, soon: float = SOON) -> None:
    """Nine of ten probes within the time: one may meet a hiccup of the machine."""
    times = []
    for _ in range(PROBES):
        began = time.monotonic()
        # Who stood still before it has sent its head is told 408 as attackers are, and asks again.
        while (response := server.get("/small")).status == 408:
            assert time.monotonic() - began < soon
        assert response.body == b"small"
        times.append(time.monotonic() - began)
    assert statistics.quantiles(times, n=10)[-1] < soon, sorted(times)


@pytest.mark.parametrize(
    ("data", "option"),
    [
        (HEAD, "--client-header-timeout"),
        (BODY, "--client-body-timeout"),
        (CHUNKED, "--client-body-timeout"),
    ],
    ids=["head", "length", "chunked"],
)
def test_hundreds_that_dribble_hold_nobody_and_are_dropped(
    start: Start, data: bytes, option: str
) -> None:
    server = start(option, "2")
    with ExitStack() as stack:
        clients = connect(ATTACKERS, server.connect, data, stack)
        with dribbling(clients):
            check_answers_come_soon(server)
        for client in clients:
            assert client.response().status == 408
            assert client.at_end()
    assert len(server.workers()) == 1


def test_dribbling_does_not_extend_the_time_for_a_head(start: Start) -> None:
    server = start("--client-header-timeout", "1")
    with ExitStack() as stack:
        clients = connect(1, server.connect, HEAD, stack)
        with dribbling(clients):
            assert clients[0].response().status == 408


def test_hundreds_that_never_read_a_finished_response_hold_nobody(
    start: Start,
) -> None:
    server = start()
    with ExitStack() as stack:
        non_readers(server, ATTACKERS, "/whole", stack)
        check_answers_come_soon(server)
    assert len(server.workers()) == 1


def test_clients_that_never_read_a_generator_hold_nobody_for_long(
    start: Start, worker_class: str
) -> None:
    """The sync worker is in the application until the generator has ended: there, each such client
    costs send_timeout, once."""
    attackers_n, soon = (3, 3 * (1 + SOON)) if worker_class == "sync" else (ATTACKERS, SOON)
    server = start("--send-timeout", "1")
    with ExitStack() as stack:
        non_readers(server, attackers_n, "/parts", stack)
        check_answers_come_soon(server, soon)
    assert len(server.workers()) == 1


@pytest.mark.parametrize("target", ["whole", "parts"])
def test_reader_that_stops_is_cut_after_send_timeout(start: Start, target: str) -> None:
    server = start("--send-timeout", "1", "--access-logfile", "-")
    with ExitStack() as stack:
        began = time.monotonic()
        (client,) = non_readers(server, 1, f"/{target}", stack)
        server.wait_log(f'"GET /{target} HTTP/1.1" 499')
        assert time.monotonic() - began > 0.9
        with pytest.raises((EOFError, ConnectionResetError)):
            client.response()
    poll(lambda: server.get("/small").body == b"small", "an answer for the next client")
