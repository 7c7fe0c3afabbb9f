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


@pytest.fixture
def listen() -> Iterator[Callable[[Peer], int]]:
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

    def start(peer: Peer) -> int:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=serve, args=(listeners[-1], peer), daemon=True).start()
        return int(listeners[-1].getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def first_record(path: Path, port: int, *options: str) -> Record:
    """Asks until there is a record, which is returned."""
    command = [sys.executable, generator.__file__, path, "--port", str(port), "--clients", "1"]
    process = subprocess.Popen(
        [*command, "--timeout", "0.2", "--pause", "0.05", *options], stdin=subprocess.PIPE
    )
    records = Records(path)
    try:
        poll(records.read, "a record")
    finally:
        process.communicate()
    assert process.returncode == 0
    return records.read()[0]


@pytest.mark.parametrize("outcome", PEERS)
def test_an_outcome_is_told(outcome: str, tmp_path: Path, listen: Callable[[Peer], int]) -> None:
    record = first_record(tmp_path / "records", listen(PEERS[outcome]))
    assert record.outcome == outcome
    assert record.pid == (77 if outcome == "answered" else 0)
    assert 0 < record.started_s <= record.sent_s <= record.ended_s


def test_a_refusal_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    record = first_record(tmp_path / "records", port)
    assert (record.outcome, record.sent_s) == ("refused", 0)


@pytest.fixture
def pair() -> Iterator[tuple[generator.Connection, socket.socket]]:
    """A kept connection of the generator, and its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = generator.Connection(listener.getsockname()[1], 5.0)
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
