# SPDX-License-Identifier: MIT
"""The load generator tells each way to fail, and a crossed request from a dropped one."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import generator
import pytest
from generator import Record
from harness import PATIENCE, poll
from tally import Records

Peer = Callable[[socket.socket, str], object]


def response(ident: str, status: int = 200) -> bytes:
    body = f"{ident} 77 ".encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


PEERS: dict[str, Peer] = {
    "answered": lambda sock, ident: sock.sendall(response(ident)),
    "reset": lambda sock, ident: reset(sock),
    "dropped": lambda sock, ident: None,
    "cut": lambda sock, ident: sock.sendall(response(ident)[:-1]),
    "wrong": lambda sock, ident: sock.sendall(response("another")),
    "error": lambda sock, ident: sock.sendall(response(ident, 503)),
    "timeout": lambda sock, ident: sock.recv(1),  # until the client has had enough
}


def ident_of(request: bytes) -> str:
    return request.split(b"?")[1].split()[0].decode()


def create_listener(kind: str, folder: Path) -> socket.socket:
    if kind == "tcp":
        return socket.create_server(("127.0.0.1", 0))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "peer.sock"))
    listener.listen()
    return listener


def address_of(listener: socket.socket) -> int | str:
    name = listener.getsockname()
    return name if isinstance(name, str) else int(name[1])


@pytest.fixture(params=["tcp", "unix"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def listen(kind: str, tmp_path: Path) -> Iterator[Callable[[Peer], int | str]]:
    """Starts a peer that reads a request from each connection and then does as told."""
    listeners: list[socket.socket] = []

    def serve(listener: socket.socket, peer: Peer) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                if request := sock.recv(65536):
                    peer(sock, ident_of(request))

    def start(peer: Peer) -> int | str:
        listeners.append(create_listener(kind, tmp_path))
        threading.Thread(target=serve, args=(listeners[-1], peer), daemon=True).start()
        return address_of(listeners[-1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def first_record(path: Path, to: int | str, timeout_s: float = PATIENCE) -> Record:
    """Asks until there is a record, which is returned."""
    command = [sys.executable, generator.__file__, path, "--to", str(to), "--clients", "1"]
    process = subprocess.Popen(
        [*command, "--timeout", str(timeout_s), "--pause", "0.05"], stdin=subprocess.PIPE
    )
    records = Records(path)
    try:
        poll(records.read, "a record")
    finally:
        process.communicate()
    assert process.returncode == 0
    return records.read()[0]


@pytest.mark.parametrize("outcome", PEERS)
def test_an_outcome_is_told(
    outcome: str, kind: str, tmp_path: Path, listen: Callable[[Peer], int | str]
) -> None:
    timeout_s = 0.2 if outcome == "timeout" else PATIENCE
    record = first_record(tmp_path / "records", listen(PEERS[outcome]), timeout_s)
    if (kind, outcome) == ("unix", "reset"):
        outcome = "dropped"  # there is no difference
    assert record.outcome == outcome
    assert record.pid == (77 if outcome == "answered" else 0)
    assert 0 < record.started_s <= record.sent_s <= record.ended_s


def test_a_refusal_is_told(kind: str, tmp_path: Path) -> None:
    with create_listener(kind, tmp_path) as free:
        to = address_of(free)
    record = first_record(tmp_path / "records", to)
    assert (record.outcome, record.sent_s) == ("refused", 0)


@pytest.fixture
def pair(kind: str, tmp_path: Path) -> Iterator[tuple[generator.Connection, socket.socket]]:
    """A kept connection of the generator, and its other end."""
    with create_listener(kind, tmp_path) as listener:
        connection = generator.Connection(address_of(listener), PATIENCE)
        other, _ = listener.accept()
        connection.used = True
        yield connection, other
        connection.close()
        other.close()


def record() -> Record:
    return Record("0", "/", 0.0, 0.0, 0.0, "answered", 0, 0)


def test_a_close_before_the_request_arrives_has_crossed_it(
    pair: tuple[generator.Connection, socket.socket],
) -> None:
    connection, other = pair
    other.close()
    with pytest.raises(generator.CrossedError):
        connection.exchange(b"GET", record())


def test_a_connection_of_which_nothing_is_to_be_read_is_open(
    pair: tuple[generator.Connection, socket.socket],
) -> None:
    connection, other = pair
    assert connection.is_open()
    other.close()
    assert not connection.is_open()


@pytest.mark.parametrize("reads", [True, False])
def test_a_close_after_the_request_has_arrived_has_lost_it(
    pair: tuple[generator.Connection, socket.socket],
    reads: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection, other = pair
    look, looked = connection.is_open, threading.Event()

    def look_and_tell() -> bool:
        is_open = look()
        looked.set()
        return is_open

    def lose() -> None:
        assert other.recv(3, 0 if reads else socket.MSG_PEEK)
        looked.wait(PATIENCE)
        other.close()

    monkeypatch.setattr(connection, "is_open", look_and_tell)

    thread = threading.Thread(target=lose)
    thread.start()
    with pytest.raises(generator.FailedError, match="dropped" if reads else "reset"):
        connection.exchange(b"GET", record())
    thread.join()


def waits(listener: socket.socket) -> bool:
    """Whether somebody is in its queue."""
    return bool(select.select([listener], [], [], 0)[0])


@pytest.mark.parametrize("kind", ["tcp"], indirect=True)
def test_a_request_of_which_a_part_was_never_taken_is_unheard(
    pair: tuple[generator.Connection, socket.socket],
) -> None:
    connection, _ = pair
    connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
    connection._sock.settimeout(2 * generator.ACKNOWLEDGED_S)
    with pytest.raises(generator.FailedError, match="unheard"):
        connection.exchange(b"x" * 250_000, record())


def test_a_connection_that_finds_the_queue_full_is_unheard() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            poll(lambda: waits(listener), "the queue is full")
            with pytest.raises(generator.FailedError, match="unheard"):
                generator.Connection(port, 0.2)
